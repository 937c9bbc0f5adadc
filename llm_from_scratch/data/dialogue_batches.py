"""Dialogues as examples to train on: shifted by one, cut to the context between two turns, and packed into rows.

A dialogue that is too long loses whole exchanges (what was asked, and what was answered), so that no answer is cut in
the middle and none is trained without its question. System messages at the beginning stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ChatTemplate
from .encoding import Messages, encode_dialogue, find_template
from .packing import IGNORE, Batch, pack_examples

TOO_LONG = ("front", "back", "leave out", "error")


def dialogue_example(ids: np.ndarray, trained: np.ndarray) -> dict[str, np.ndarray]:
    """ids (T + 1,), trained (T + 1,) -> {"ids": (T,), "targets": (T,)}: what is not trained is no target.

    >>> example = dialogue_example(np.array([5, 6, 7]), np.array([False, False, True]))
    >>> example["ids"].tolist(), example["targets"].tolist()
    ([5, 6], [-100, 7])
    """
    if ids.shape != trained.shape or ids.ndim != 1 or len(ids) < 2:
        raise ValueError(f"ids and trained must be two equal rows of at least 2, got {ids.shape} and {trained.shape}")
    return {"ids": ids[:-1], "targets": np.where(trained[1:], ids[1:], IGNORE)}


def dialogue_examples(
    tokenizer: Tokenizer,
    dialogues: Iterable[Messages],
    *,
    context: int,
    template: str | ChatTemplate | None = None,
    train_on: str = "assistant",
    too_long: str = "front",
) -> list[dict[str, np.ndarray]]:
    """Dialogues -> examples {"ids", "targets"} of at most `context` tokens, for `ExampleSampler` or `pack_dialogues`.

    too_long: what becomes of a longer one. "front": it loses its first exchanges; "back": its last ones; "leave out";
    "error". One that does not fit with a single exchange is left out, so that fewer examples may come out than
    dialogues went in.

    Raises ValueError naming the dialogue that does not fit the template (`encode_dialogue`) or, with "error", the
    context, and when nothing is left.
    """
    if context < 1 or too_long not in TOO_LONG:
        raise ValueError(f"context must be at least 1 and too_long one of {TOO_LONG}, got {context} and {too_long!r}")
    if train_on == "last" and too_long == "back":
        raise ValueError(
            'the last answer is the first to go where too_long is "back": with train_on="last" cut the front'
        )
    chosen = find_template(tokenizer, template)
    examples, number = [], -1
    for number, dialogue in enumerate(dialogues):
        longest = 0
        for messages in _shorter(dialogue, too_long):
            try:
                example = dialogue_example(*encode_dialogue(tokenizer, messages, template=chosen, train_on=train_on))
            except (ValueError, TypeError) as error:
                raise type(error)(f"dialogue {number}: {error}") from None
            longest = longest or len(example["ids"])
            if len(example["ids"]) <= context:
                examples.append(example)
                break
        else:
            if too_long == "error":
                raise ValueError(f"dialogue {number} has {longest} tokens, more than the context of {context}")
    if not examples:
        raise ValueError(
            f"none of the {number + 1} dialogues fits a context of {context} tokens: there is nothing left"
        )
    return examples


def pack_dialogues(
    examples: Iterable[dict[str, Any]], batch_size: int, context: int, *, pad_id: int = 0
) -> Iterator[Batch]:
    """Examples {"ids", "targets"} -> batches of rows {"ids", "targets", "segments"}, several examples in a row.

    No example is cut, and none sees another: attention stays inside equal segments, a scan begins anew. See
    `pack_examples`; rows by themselves, for `ExampleSampler`, are what `packed_rows` gives.
    """
    pairs = ((np.asarray(example["ids"]), np.asarray(example["targets"])) for example in examples)
    return pack_examples(pairs, batch_size, context, pad_id=pad_id)


def packed_rows(examples: Iterable[dict[str, Any]], context: int, *, pad_id: int = 0) -> list[dict[str, np.ndarray]]:
    """`pack_dialogues` row by row: examples {"ids", "targets", "segments"} of `context` tokens each.

    >>> example = {"ids": [5, 6], "targets": [-100, 7]}
    >>> [row["segments"].tolist() for row in packed_rows([example] * 3, 5)]
    [[0, 0, 1, 1, -1], [0, 0, -1, -1, -1]]
    """
    return [
        {name: array[row] for name, array in batch.items()}
        for batch in pack_dialogues(examples, 64, context, pad_id=pad_id)
        for row in range(len(batch["ids"]))
    ]


def _shorter(dialogue: Messages, too_long: str) -> Iterator[Messages]:
    """The dialogue, then what is left of it when it loses one exchange after the other."""
    yield dialogue
    if too_long not in ("front", "back"):
        return
    roles = [message.get("role") for message in dialogue]
    first = next((k for k, role in enumerate(roles) if role not in ("system", "developer")), len(roles))
    begins = [k for k in range(first, len(roles)) if k == first or (roles[k] == "user" and roles[k - 1] != "user")]
    if too_long == "front":
        for start in begins[1:]:
            if "assistant" in roles[start:]:
                yield [*dialogue[:first], *dialogue[start:]]
    else:
        for end in reversed(begins[1:]):
            if "assistant" in roles[:end]:
                yield list(dialogue[:end])
