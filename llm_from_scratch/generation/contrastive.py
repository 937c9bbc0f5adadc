"""Contrastive search: of the few most probable tokens the one that least resembles what was there before.

A model that goes round in circles is in the same states again. So every candidate is read, and what the head would read
next, its state, is compared with those of all tokens before; nothing is drawn.

Source: Su et al. 2022, arXiv:2202.06417, section 4.2, eq. 5; its alpha is `penalty_alpha`, its k `top_k`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .rows import Row, left_padded
from .sampling import Sampling
from .stepping import Stepper, reorder
from .truncation import softmax


class StateStepper(Stepper, Protocol):
    """A model that shows its states."""

    def step_states(self, ids: Any, memory: Any, mask: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """As `step`, with what the head reads at each of the ids: (B, T, width), and the logits (B, V)."""


def add_contrasting_tokens(
    model: StateStepper, rows: Sequence[Row], sampling: Sampling, *, penalty_alpha: float, top_k: int
) -> None:
    """Continue every row by the candidate with the largest (1 - alpha) · probability - alpha · greatest likeness."""
    running, (ids, real) = list(rows), left_padded([row.seen for row in rows])
    memory = model.new_memory(len(running))
    states, logits = model.step_states(ids, memory, None if real.all() else real)
    before = [directions(states[place][real[place]]) for place in range(len(running))]  # of each row: (tokens, width)
    while True:
        scores = np.stack([sampling.adjust(line, row.seen) for line, row in zip(logits, running)])
        k = min(top_k, scores.shape[1])
        tried = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        reorder(memory, np.repeat(np.arange(len(running)), k).tolist())
        states, logits = model.step_states(tried.reshape(-1, 1), memory)
        new = directions(states[:, 0]).reshape(len(running), k, -1)
        going = []
        for place, row in enumerate(running):
            likeness = (new[place] @ before[place].T).max(axis=1)
            value = (1 - penalty_alpha) * softmax(scores[place])[tried[place]] - penalty_alpha * likeness
            value[scores[place][tried[place]] == -np.inf] = -np.inf
            best = int(value.argmax())
            row.add(int(tried[place, best]))
            before[place] = np.concatenate([before[place], new[place, best : best + 1]])
            going += [] if row.ended else [place * k + best]
        if not going:
            return
        reorder(memory, going)
        logits, before = logits[going], [before[choice // k] for choice in going]
        running = [running[choice // k] for choice in going]


def directions(states: np.ndarray) -> np.ndarray:
    """Every state (..., width) at length 1: products of two are the cosine between them.

    >>> directions(np.array([[3.0, 4.0], [0.0, 2.0]]))
    array([[0.6, 0.8],
           [0. , 1. ]])
    """
    return states / np.maximum(np.linalg.norm(states, axis=-1, keepdims=True), np.finfo(states.dtype).tiny)
