"""pass@k: how probable it is that one of k samples solves a problem, estimated from n samples without bias.

Of n samples c are right; k of them drawn without replacement are all wrong with probability C(n - c, k) / C(n, k).
(1 - (1 - c/n)^k, which draws with replacement, is too small.) Source: Chen et al. 2021, arXiv:2107.03374, section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..scoring.intervals import Estimate, bootstrap


@dataclass(frozen=True)
class PassRate(Estimate):
    """value: the mean over problems; scores (N,): each problem's pass@k."""

    scores: np.ndarray


def pass_at_k(samples: Any, correct: Any, k: int, *, seed: int = 0) -> PassRate:
    """samples, correct (N,): how many samples each problem got, and how many of them solve it; samples may be a number.

    ValueError for k beyond the samples of some problem (nothing unbiased can be said) and for impossible counts.

    >>> result = pass_at_k(5, [1, 0, 5], k=2)
    >>> result.scores.round(3).tolist(), round(result.value, 3)
    ([0.4, 0.0, 1.0], 0.467)
    """
    right = np.asarray(correct)
    if right.ndim != 1 or right.dtype.kind not in "iu" or not len(right):
        raise ValueError(f"correct must be whole numbers, one a problem (N,), got {right.dtype} {right.shape}")
    total = np.asarray(samples)
    if total.dtype.kind not in "iu" or total.shape not in ((), right.shape):
        raise ValueError(f"samples must be a whole number, or one for each of the {len(right)} problems")
    total = np.broadcast_to(total, right.shape)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k!r}")
    for number, (n, c) in enumerate(zip(total.tolist(), right.tolist())):
        if not 0 <= c <= n:
            raise ValueError(f"problem {number}: {c} right of {n} samples cannot be")
        if k > n:
            raise ValueError(f"problem {number} has {n} samples, too few for pass@{k}: draw more, or lower k")
    scores = np.array([_chance(n, c, int(k)) for n, c in zip(total.tolist(), right.tolist())])
    mean = bootstrap(scores, seed)
    return PassRate(mean.value, mean.interval, mean.count, scores)


def _chance(n: int, c: int, k: int) -> float:
    # C(n - c, k) / C(n, k) as a product of ratios below 1, which cannot overflow
    return 1.0 if n - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
