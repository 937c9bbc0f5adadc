"""Chinchilla's first approach: whichever training curve is lowest at so many FLOPs tells the size to take.

A curve is a run seen on its way: after D tokens it has spent 6ND. Mind what its middle is: with a schedule made for the
end, a run that is stopped half-way is worse than one planned for half as long.

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checking import number, series


@dataclass(frozen=True)
class Envelope:
    """The lowest loss at each of `flops` (n,), and the size and data of the curve that has it, all (n,)."""

    flops: np.ndarray
    losses: np.ndarray
    parameters: np.ndarray
    tokens: np.ndarray


def lower_envelope(curves: Sequence[tuple[Any, Any, Any]], *, points: int = 200) -> Envelope:
    """The lowest of `curves`, each (parameters, tokens (t,), losses (t,)), at `points` budgets, evenly in their
    logarithm.

    Between the points of a curve its loss is a line over log FLOPs; beyond its ends it is not guessed. Budgets that
    fewer than two sizes reach are left out, for there is nothing to choose. Raises ValueError where none remains.

    >>> found = lower_envelope([(1, [1, 10, 100], [3, 2, 1.9]), (10, [1, 10], [2.5, 1.0])], points=3)
    >>> found.parameters
    array([ 1., 10.])
    """
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise ValueError(f"points must be a whole number of at least 2, got {points!r}")
    if not curves:
        raise ValueError("there are no training curves")
    lines = []
    for parameters, tokens, losses in curves:
        size = number("parameters", parameters)
        tokens, losses = series(tokens=tokens, losses=losses)
        if (np.diff(tokens) <= 0).any():
            raise ValueError("the tokens of a training curve must grow from point to point")
        lines.append((size, np.log(6 * size * tokens), losses))
    sizes = np.array([size for size, _, _ in lines])
    grid = np.linspace(min(x[0] for _, x, _ in lines), max(x[-1] for _, x, _ in lines), points)
    seen = np.array([np.interp(grid, x, y, left=np.inf, right=np.inf) for _, x, y in lines])
    several = np.array([len(set(sizes[np.isfinite(column)])) > 1 for column in seen.T])
    if not several.any():
        raise ValueError("no two curves of different sizes have a budget in common: train longer, or more sizes")
    grid, seen = grid[several], seen[:, several]
    best = sizes[seen.argmin(axis=0)]
    return Envelope(np.exp(grid), seen.min(axis=0), best, np.exp(grid) / (6 * best))
