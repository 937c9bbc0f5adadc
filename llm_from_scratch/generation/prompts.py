"""Prompts of unequal length, answered side by side: filled up on the left, continued together, each cut at its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from .continuation import continue_rows
from .rows import left_padded
from .stepping import Stepper


def continue_prompts(
    model: Stepper, prompts: Sequence[Sequence[int] | np.ndarray], *, stop_tokens: Collection[int], **settings: Any
) -> list[np.ndarray]:
    """What comes after each prompt, as ids: with the stop token that ended it, if one did.

    settings: those of `continue_rows`. Raises TypeError or ValueError as it does.

    >>> class Counter:                                   # always expects the next number
    ...     def new_memory(self, batch_size):
    ...         return None
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(10)[(ids[:, -1] + 1) % 10] * 50
    >>> [new.tolist() for new in continue_prompts(Counter(), [[3, 4], [6]], stop_tokens=[9], max_new_tokens=4)]
    [[5, 6, 7, 8], [7, 8, 9]]
    """
    ids, real = left_padded(prompts)
    rows = continue_rows(model, ids, mask=real, stop_tokens=stop_tokens, **settings)
    return [np.array(row.kept, np.int64) for row in rows]
