"""DARE: drop entries of the task vectors at random, make the rest larger, then merge them.

    τ'_i = m_i τ_i / density,    m_i one with probability `density`, else 0        (so that τ'_i is τ_i on average)

What a fine-tune learnt is so spread out that a tenth of its entries, enlarged, does nearly as well; and thinned out,
task vectors are less in each other's way. In place of 1 / density, mergekit 0.1.5 rescales what is left of a tensor
to the sum of magnitudes that the whole had. Source: Yu et al. 2023, arXiv:2311.03099.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .election import check_election, elect, largest, trimmed_count
from .tensors import (
    PIECE,
    Pieces,
    Tensors,
    check_density,
    check_models,
    check_number,
    check_numbers,
    check_sum,
    elementwise,
    over_tensors,
    working,
)

RESCALINGS = ("paper", "mergekit", None)


def dare(
    base: Tensors,
    models: Sequence[Tensors],
    weights: Any,
    *,
    density: Any,
    rng: np.random.Generator | int,
    rescale: str | None = "paper",
    then: str = "linear",
    scale: float = 1.0,
    normalize: bool = False,
    trim: Any = None,
    dialect: str = "mergekit",
) -> Any:
    """The base with the thinned task vectors added ("linear"), or with what TIES makes of them ("ties").

    density: the share of entries kept, one number or one a model. rng: a Generator, or a seed; tensors are drawn in
    the order of the base's, in each model by model. rescale: "paper" (1 / density), "mergekit" (to the old sum of
    magnitudes) or None. normalize: divide by the weights (with "ties": of those that agree). trim: the share of its
    entries that each thinned task vector keeps in TIES' own trimming; None: all. dialect: of TIES, "mergekit" or
    "peft".

    >>> base, tuned = np.zeros(6), np.ones(6)
    >>> dare(base, [tuned], [1.0], density=0.5, rng=0)
    array([0., 0., 0., 2., 2., 2.])

    Raises ValueError for a density outside (0, 1] and for weights that cancel where they divide.
    """
    models = check_models(models)
    densities = check_density(density, len(models))
    trims = None if trim is None else check_density(trim, len(models))
    factor = check_number("scale", scale)
    if rescale not in RESCALINGS:
        raise ValueError(f"rescale must be one of {', '.join(map(repr, RESCALINGS))}, not {rescale!r}")
    if then not in ("linear", "ties"):
        raise ValueError(f"then must be 'linear' or 'ties', not {then!r}")
    if dialect == "authors":
        raise ValueError("TIES after DARE is that of mergekit or of peft: the authors' has no weights")
    if then == "linear":
        if trims is not None:
            raise ValueError("trim belongs to then='ties': a linear merge trims nothing")
        shares = check_numbers("weights", weights, len(models))
        divisor = check_sum(shares) if normalize else 1.0
    else:
        shares, divisor = check_election(dialect, weights, len(models), normalize), 1.0
    generator = np.random.default_rng(rng)

    def merge(start: np.ndarray, *tuned: np.ndarray) -> np.ndarray:
        keep = [_drawn(generator, start.shape, d) for d in densities]
        larger = [_rescaling(rescale, start, m, k, d) for m, k, d in zip(tuned, keep, densities)]
        if then == "linear":
            return _added(start, tuned, keep, [share * f / divisor for share, f in zip(shares, larger)], factor)
        if trims is not None:
            keep = [largest(start, m, trimmed_count(m.size, d), k) for m, k, d in zip(tuned, keep, trims)]
        return elect(start, tuned, keep, shares, scale=factor, normalize=normalize, dialect=dialect, rescaling=larger)

    return over_tensors(merge, base, *models)


def rescaled(start: np.ndarray, tuned: np.ndarray, keep: np.ndarray) -> float:
    """By what the kept entries of a task vector have to grow for the sum of magnitudes to stay; 1 where nothing is
    left.
    """
    work, before, after = working(start.dtype, tuned.dtype), 0.0, 0.0
    first, second, mask = start.reshape(-1), tuned.reshape(-1), keep.reshape(-1)
    for begin in range(0, first.size, PIECE):
        part = slice(begin, begin + PIECE)
        sizes = np.abs(second[part].astype(work, copy=False) - first[part].astype(work, copy=False))
        before += float(sizes.sum(dtype=np.float64))
        after += float(sizes[mask[part]].sum(dtype=np.float64))
    return before / after if before > 1e-7 and after > 1e-7 else 1.0


def _drawn(generator: np.random.Generator, shape: tuple[int, ...], density: float) -> np.ndarray:
    """One with probability `density` in every entry, as booleans."""
    size = int(np.prod(shape))
    if density == 1:
        return np.ones(shape, bool)
    pieces = [generator.random(min(PIECE, size - k), np.float32) < density for k in range(0, size, PIECE)]
    return np.concatenate(pieces or [np.zeros(0, bool)]).reshape(shape)


def _rescaling(kind: str | None, start: np.ndarray, tuned: np.ndarray, keep: np.ndarray, density: float) -> float:
    if kind == "mergekit":
        return 1.0 if density == 1 else rescaled(start, tuned, keep)
    return 1.0 if kind is None else 1.0 / density


def _added(
    start: np.ndarray, tuned: Sequence[np.ndarray], keep: Sequence[np.ndarray], weights: Sequence[float], scale: float
) -> np.ndarray:
    def formula(pieces: Pieces, masks: Pieces) -> np.ndarray:
        origin, *rest = pieces
        total = np.zeros_like(origin)
        for piece, mask, weight in zip(rest, masks, weights):
            total += (piece - origin) * mask * origin.dtype.type(weight)
        return origin + total * origin.dtype.type(scale)

    return elementwise(formula, [start, *tuned], keep)
