"""How sure a score is: bootstrap intervals, and the difference of two systems on the same items.

The items that were measured stand for all that might have been: drawn anew from them with replacement, many times, they
show how far the mean would move. Source: Efron 1979; for differences, Koehn 2004 and Berg-Kirkpatrick et al. 2012.
What a bootstrap cannot know: from scores that are all alike it gives an interval without width, so that 20 right of 20
look certain (the rule of three says: at most 3/20 wrong); and items that hang together must be drawn together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 10_000
_AT_ONCE = 2**21  # numbers drawn at a time: 16 MB


@dataclass(frozen=True)
class Estimate:
    """A score, the interval in which the true one lies with 95 % confidence, and from how many items it is.

    >>> result = Estimate(0.5, (0.4, 0.6), 100)
    >>> float(result), print(result)
    0.5 (0.4 to 0.6, n = 100)
    (0.5, None)
    """

    value: float
    interval: tuple[float, float]
    count: int

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.interval[0]:.4g} to {self.interval[1]:.4g}, n = {self.count})"


@dataclass(frozen=True)
class Difference(Estimate):
    """The mean of a - b. p_value: how often chance alone would make a difference of this size, were there none."""

    p_value: float


def bootstrap(
    scores: Any, rng: np.random.Generator | int = 0, *, counts: Any = None, resamples: int = RESAMPLES
) -> Estimate:
    """The mean score of the items with its 95 % interval (percentiles of resampled means).

    scores (N,): one number an item. counts (N,): what each item's score is a sum over, such as the tokens of a text;
    then the value is sum(scores) / sum(counts), and whole items are drawn. rng: a Generator, or a seed.

    A single item says nothing about others: its interval is (-inf, inf). Raises ValueError for no items and for scores
    that are not finite.

    >>> bootstrap([0, 1, 1, 0, 1, 1, 1, 1])
    Estimate(value=0.75, interval=(0.375, 1.0), count=8)
    """
    values = _scores("scores", scores)
    sizes = np.ones(len(values)) if counts is None else _scores("counts", counts)
    if len(sizes) != len(values) or (sizes < 0).any() or not sizes.sum() > 0:
        raise ValueError(f"counts are {len(values)} numbers of at least 0, not all of them 0; got {sizes.shape}")
    value = float(values.sum() / sizes.sum())
    return Estimate(value, _interval(resampled_means(values, sizes, rng, resamples), len(values)), len(values))


def paired_bootstrap(a: Any, b: Any, rng: np.random.Generator | int = 0, *, resamples: int = RESAMPLES) -> Difference:
    """How much better a is than b on the same items: the mean of a - b, its interval, and a two-sided p-value.

    a, b (N,): scores item by item. The p-value is the share of resampled differences, moved so that their mean is 0,
    that are at least as far from 0 as the one measured (the measured one counts among them: it is never 0).

    >>> rng = np.random.default_rng(0)
    >>> skill = rng.normal(size=50)                         # items differ more than systems do: pairing removes that
    >>> result = paired_bootstrap(skill + 0.1 * rng.normal(size=50) + 0.1, skill + 0.1 * rng.normal(size=50))
    >>> round(result.value, 2), result.p_value < 0.001, result.interval[0] > 0
    (0.1, True, True)
    """
    first, second = _scores("a", a), _scores("b", b)
    if len(first) != len(second):
        raise ValueError(f"a paired difference needs the same items twice, got {len(first)} and {len(second)} scores")
    differences = first - second
    value = float(differences.mean())
    means = resampled_means(differences, np.ones(len(differences)), rng, resamples)
    # A hair of tolerance: means that are equal but for the order of their sums count as equal.
    extreme = np.abs(means - value) >= abs(value) - 1e-12 * max(1.0, float(np.abs(differences).max()))
    p_value = float((1 + extreme.sum()) / (1 + len(means)))
    return Difference(value, _interval(means, len(differences)), len(differences), p_value)


def resampled_means(
    values: np.ndarray, counts: np.ndarray, rng: np.random.Generator | int, resamples: int = RESAMPLES
) -> np.ndarray:
    """sum(values) / sum(counts) of items drawn with replacement, (resamples,); nan where all that is drawn counts 0.

    >>> resampled_means(np.array([2.0, 2.0]), np.array([1.0, 1.0]), 0, 3)
    array([2., 2., 2.])
    """
    if isinstance(resamples, bool) or not isinstance(resamples, (int, np.integer)) or resamples < 1:
        raise ValueError(f"resamples must be a positive integer, not {resamples!r}")
    generator, items = np.random.default_rng(rng), len(values)
    means = np.empty(resamples)
    step = max(1, _AT_ONCE // items)
    for start in range(0, resamples, step):
        drawn = generator.integers(0, items, (min(step, resamples - start), items))
        sizes = counts[drawn].sum(axis=1)
        with np.errstate(invalid="ignore"):
            means[start : start + step] = values[drawn].sum(axis=1) / sizes
    return means


def _interval(means: np.ndarray, items: int) -> tuple[float, float]:
    if items == 1:
        return -np.inf, np.inf
    low, high = np.nanquantile(means, [0.025, 0.975])
    return float(low), float(high)


def _scores(name: str, scores: Any) -> np.ndarray:
    array = np.asarray(scores)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise TypeError(f"{name} are numbers, one an item (N,); got {array.dtype} {array.shape}")
    if not len(array):
        raise ValueError(f"{name}: there are no items")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        place = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name}[{place}] is {array[place]}: a score is a finite number")
    return array
