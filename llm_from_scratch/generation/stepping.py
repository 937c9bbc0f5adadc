"""What generation asks of a model, and the two steps that every way of finding tokens is made of.

A model takes the prompts as one chunk; then come single tokens, a row each. What it remembers in between is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .rows import Row, left_padded


class Stepper(Protocol):
    """What generation asks of a model.

    It may also have `position_limit` (how many positions it has, or None) and `end_tokens` (ids that end a text).
    """

    def new_memory(self, batch_size: int) -> Any:
        """An empty memory for so many rows.

        It may have `select(rows)`: keep these rows, in this order, repeats too; and `join(other)`: add another's rows.
        """

    def step(self, ids: Any, memory: Any, mask: Any = None) -> np.ndarray:
        """Continue `memory` by ids (B, T); logits after the last of them, (B, V)."""


def read_prompts(model: Stepper, rows: Sequence[Row]) -> tuple[Any, np.ndarray]:
    """A memory of what the rows hold so far, and the logits (B, V) of what comes next in each."""
    ids, real = left_padded([row.seen for row in rows])
    memory = model.new_memory(len(rows))
    return memory, model.step(ids, memory, None if real.all() else real)


def read_tokens(model: Stepper, tokens: Sequence[int], memory: Any) -> np.ndarray:
    """One more token in each row -> the logits (B, V) of what comes next."""
    return model.step(np.array(tokens, np.int64)[:, None], memory)


def reorder(memory: Any, rows: Sequence[int]) -> None:
    """Keep these rows of what the model remembers, in this order, repeats too. TypeError if its memory cannot."""
    if memory is not None:  # else it looks at the latest tokens only
        _able(memory, "select", "rows")(rows)


def join(memory: Any, other: Any) -> None:
    """Add what the model remembers of other rows behind what it remembers of these. TypeError if it cannot."""
    if memory is not None:
        _able(memory, "join", "other")(other)


def _able(memory: Any, name: str, argument: str) -> Any:
    if not hasattr(memory, name):
        raise TypeError(
            f"rows change places in what the model remembers: {type(memory).__name__} needs {name}({argument})"
        )
    return getattr(memory, name)


def vocabulary_size(model: Stepper) -> int | None:
    """How many tokens the model has; None where it does not say so beforehand."""
    return getattr(getattr(model, "spec", None), "vocab_size", None)


def check_positions(model: Stepper, prompt: int, max_new_tokens: int) -> None:
    """ValueError if a prompt of so many tokens and its continuation need more positions than the model has."""
    limit = getattr(model, "position_limit", None)
    needed = prompt + max_new_tokens - 1  # the last token is chosen, never fed back
    if limit is not None and max_new_tokens and needed > limit:
        raise ValueError(
            f"a prompt of {prompt} tokens and {max_new_tokens} new ones need {needed} positions, "
            f"this model has {limit}: shorten the prompt or ask for fewer tokens"
        )
