"""Calibration: is a model that says "70 %" right in 70 % of the cases?

Predictions are put into bins by their confidence; the expected calibration error is the mean gap between confidence
and accuracy, weighted by how many fall into each bin. Noise alone makes gaps: of few predictions in many bins even a
perfectly calibrated model shows an error above 0, which is reported beside it. Source: Guo et al. 2017,
arXiv:1706.04599.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scoring.intervals import RESAMPLES, Estimate


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence lies in [low, high): how many, their mean confidence and share right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration(Estimate):
    """value: the expected calibration error; table: the bins that hold something.

    by_chance: the error that a perfectly calibrated model with these confidences would show on average.
    """

    table: tuple[Bin, ...]
    by_chance: float

    def __str__(self) -> str:
        lines = [f"{'confidence':>14}{'predictions':>13}{'mean':>8}{'right':>8}"]
        for b in self.table:
            lines.append(f"{b.low:6.2f} to {b.high:.2f}{b.count:13}{b.confidence:8.2f}{b.accuracy:8.2f}")
        return "\n".join([*lines, f"expected calibration error {self.value:.3f}, by chance alone {self.by_chance:.3f}"])


def calibration(
    confidences: Any, correct: Any, *, bins: int = 10, seed: int = 0, resamples: int = RESAMPLES // 10
) -> Calibration:
    """confidences (N,) from 0 to 1, and whether each prediction was right, (N,). bins: of equal width.

    >>> result = calibration([0.9, 0.9, 0.9, 0.9, 0.6, 0.6], [True, True, True, False, True, False])
    >>> round(result.value, 3)                        # 4/6 of |0.75 - 0.9| + 2/6 of |0.5 - 0.6|
    0.133
    """
    said, right = np.asarray(confidences, np.float64), np.asarray(correct)
    if said.ndim != 1 or right.shape != said.shape or not len(said):
        raise ValueError(f"a confidence and an outcome each were expected, (N,) both, got {said.shape}, {right.shape}")
    if not ((said >= 0) & (said <= 1)).all():  # false for nan, too
        place = int(np.flatnonzero(~((said >= 0) & (said <= 1)))[0])
        raise ValueError(f"confidence {place} is {said[place]}: a probability from 0 to 1 was expected")
    if not np.isin(right, (0, 1)).all():
        raise ValueError("outcomes are True and False")
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins!r}")
    right = right.astype(np.float64)
    place = np.minimum((said * bins).astype(int), bins - 1)
    count, table = len(said), []
    for b in np.unique(place).tolist():
        inside = place == b
        table.append(
            Bin(b / bins, (b + 1) / bins, int(inside.sum()), float(said[inside].mean()), float(right[inside].mean()))
        )
    value = sum(b.count * abs(b.accuracy - b.confidence) for b in table) / count
    rng, resampled, by_chance = np.random.default_rng(seed), [], []
    for _ in range(resamples):
        drawn = rng.integers(0, count, count)
        resampled.append(_error(right[drawn] - said[drawn], place[drawn], bins))
        by_chance.append(_error((rng.random(count) < said) - said, place, bins))
    low, high = (-np.inf, np.inf) if count == 1 else np.quantile(resampled, [0.025, 0.975])
    return Calibration(float(value), (float(low), float(high)), count, tuple(table), float(np.mean(by_chance)))


def _error(gaps: np.ndarray, place: np.ndarray, bins: int) -> float:
    return float(np.abs(np.bincount(place, gaps, minlength=bins)).sum() / len(gaps))
