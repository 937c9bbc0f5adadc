"""Preferences as examples: a prompt with two answers, encoded once, of which only the answers are learned from.

A pair is {"chosen_ids", "chosen_targets", "rejected_ids", "rejected_targets"}, a row of tokens each, and after
`reference_pairs` also {"reference_chosen", "reference_rejected"}. Nothing is ever cut off: an answer that lost its end,
or all of its tokens, would teach something that nobody prefers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..data.dialogue_batches import dialogue_example
from ..data.encoding import encode_dialogue
from ..tokenizers import Tokenizer
from .references import SIDES

Example = dict[str, Any]
Messages = Sequence[Mapping[str, Any]]


def encode_pairs(
    tokenizer: Tokenizer, preferences: Iterable[Mapping[str, Any]], *, template: Any = None, context: int | None = None
) -> list[Example]:
    """Preferences {"prompt", "chosen", "rejected"} (messages each, as `read_preferences` gives) -> pairs.

    template: as for `encode_dialogue`. context: the longest row that the model takes.

    Raises ValueError or TypeError naming the pair: answers that are equal or empty, a row longer than `context`, or a
    conversation that the template does not take.
    """
    pairs = []
    for number, preference in enumerate(preferences):
        if not isinstance(preference, Mapping) or not {"prompt", *SIDES} <= set(preference):
            raise ValueError(f"pair {number} must have 'prompt', 'chosen' and 'rejected', got {preference!r:.80}")
        pair: Example = {}
        for side in SIDES:
            try:
                answer = encode_answer(tokenizer, preference["prompt"], preference[side], template=template)
                if context is not None and len(answer["ids"]) > context:
                    raise ValueError(
                        f"{len(answer['ids'])} tokens do not fit into the context of {context}: "
                        "leave the pair out, nothing is cut off"
                    )
            except (TypeError, ValueError) as error:
                raise type(error)(f"pair {number}, {side}: {error}") from None
            pair |= {f"{side}_{name}": array for name, array in answer.items()}
        if all(np.array_equal(pair[f"chosen_{name}"], pair[f"rejected_{name}"]) for name in ("ids", "targets")):
            raise ValueError(f"pair {number}: the chosen and the rejected answer are equal; leave the pair out")
        pairs.append(pair)
    return pairs


def encode_answer(tokenizer: Tokenizer, prompt: Messages, answer: Messages, *, template: Any = None) -> Example:
    """A prompt and what comes after it -> {"ids": (T,), "targets": (T,)}; only assistant turns of `answer` count.

    The token that ends a turn is a target, too. Raises ValueError for an answer without an assistant's words.
    """
    for name, messages in (("prompt", prompt), ("answer", answer)):
        if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence) or not messages:
            raise TypeError(f"the {name} is a list of at least one message {{'role', 'content'}}, got {messages!r:.60}")
    ids, trained = encode_dialogue(tokenizer, [*prompt, *answer], template=template)
    spoken = sum(message["role"] == "assistant" for message in answer)
    if not spoken:
        raise ValueError("the assistant says nothing in it")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], trained]).astype(np.int8)) == 1)
    turns = spoken + sum(message["role"] == "assistant" for message in prompt)
    if len(edges) != turns:
        raise ValueError(
            f"the template shows {len(edges)} of {turns} assistant turns apart: nothing says which to train"
        )
    trained = trained & (np.arange(len(ids)) >= edges[-spoken])  # turns of the prompt are read, not learned
    return dialogue_example(ids, trained)
