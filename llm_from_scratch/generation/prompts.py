"""Prompts of unequal length, answered side by side: filled up on the left, continued together, each cut at its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from .continuation import Stepper, generate


def left_padded(prompts: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids -> ids (N, longest), and which of them are real: all end at one place.

    >>> left_padded([[5], [6, 7]])
    (array([[0, 5],
           [6, 7]]), array([[False,  True],
           [ True,  True]]))
    """
    width = max(map(len, prompts))
    ids, real = np.zeros((len(prompts), width), np.int64), np.zeros((len(prompts), width), bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], real[row, width - len(prompt) :] = prompt, True
    return ids, real


def continue_prompts(
    model: Stepper, prompts: Sequence[Sequence[int] | np.ndarray], *, stop_tokens: Collection[int], **settings: Any
) -> list[np.ndarray]:
    """What comes after each prompt, as ids: with the stop token that ended it, if one did.

    settings: those of `generate`. Raises TypeError or ValueError as it does.

    >>> class Counter:                                   # always expects the next number
    ...     def new_memory(self, batch_size):
    ...         return None
    ...     def step(self, ids, memory, mask=None):
    ...         return np.eye(10)[(ids[:, -1] + 1) % 10] * 50
    >>> [new.tolist() for new in continue_prompts(Counter(), [[3, 4], [6]], stop_tokens=[9], max_new_tokens=4)]
    [[5, 6, 7, 8], [7, 8, 9]]
    """
    ids, real = left_padded(prompts)
    written = generate(model, ids, mask=real, stop_tokens=stop_tokens, **settings)[:, ids.shape[1] :]
    ends = np.isin(written, list(stop_tokens))
    return [new[: end.argmax() + 1] if end.any() else new for new, end in zip(written, ends)]
