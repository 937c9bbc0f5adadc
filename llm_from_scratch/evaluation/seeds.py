"""What a claim about a method rests on: several runs that differ in their seed only.

From few runs the interval is Student's: a bootstrap of three numbers cannot know how far the fourth would fall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scoring.intervals import Estimate

# The 97.5 % points of Student's t for 1 to 30 degrees of freedom.
_STUDENT = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281, 2.2010, 2.1788, 2.1604, 2.1448,
    2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484,
    2.0452, 2.0423,
)  # fmt: skip


@dataclass(frozen=True)
class Seeds(Estimate):
    """value: the mean over runs; spread: their standard deviation; scores: each run's."""

    spread: float
    scores: np.ndarray


def over_seeds(scores: Any) -> Seeds:
    """The mean of one score a seed, with its 95 % interval by Student's t; a single run has no interval.

    >>> result = over_seeds([0.70, 0.74, 0.72])
    >>> round(result.value, 2), [round(edge, 2) for edge in result.interval]
    (0.72, [0.67, 0.77])
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"a finite score for each seed (N,) was expected, got {scores!r:.80}")
    mean, freedom = float(values.mean()), len(values) - 1
    if not freedom:
        return Seeds(mean, (-np.inf, np.inf), 1, np.nan, values)
    spread = float(values.std(ddof=1))
    quantile = _STUDENT[freedom - 1] if freedom <= 30 else 1.96 + 2.4 / freedom
    half = quantile * spread / len(values) ** 0.5
    return Seeds(mean, (mean - half, mean + half), len(values), spread, values)
