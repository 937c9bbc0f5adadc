"""Combining: an adapter whose change of each matrix is the weighted sum of what others change, exactly.

Low-rank changes are put side by side, which adds their ranks; the factors of each are those with which it acts, so that
rsLoRA's scale is counted. With g = m / n, what DoRA makes of W is W ⊙ g + s A B ⊙ g; such sums are again of this form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .adapted import Adapter, adapted_places, attach, check_name, is_number, parts_of
from .dora import Decomposed
from .ia3 import Factors
from .low_rank import LowRank, LowRankRows


def combine(model: Any, weights: Mapping[str, float], into: str) -> list[str]:
    """Make an adapter of others: {"a": 0.5, "b": 0.5} -> their sum, so weighted, under the name `into`.

    It changes each matrix by the weighted sum of what the others change; `activate(model, into)` lets it act. LoRA,
    rsLoRA and DoRA may be combined with each other, (IA)³ with its like where both have factors on the same side. The
    others are no changes of a matrix.

    ValueError, nothing changed, for unknown names, weights that are no numbers, and what has no such sum.
    """
    check_name(model, into)
    if not weights:
        raise ValueError("combine: no adapter was named: give {'name': weight, …}")
    for name, weight in weights.items():
        if not is_number(weight):
            raise ValueError(f"combine: the weight of {name!r} is a number, not {weight!r}")
    parts = {name: parts_of(model, name) for name in weights}
    places = [path for path in adapted_places(model) if any(path in mine for mine in parts.values())]
    made: dict[str, Adapter] = {}
    for path in places:
        made[path] = _sum(path, [(float(weights[name]), mine[path]) for name, mine in parts.items() if path in mine])
    attach(model, into, made, acting=False)
    return places


def _sum(path: str, terms: list[tuple[float, Any]]) -> Adapter:
    kinds = {type(part) for _, part in terms}
    if kinds == {Factors} and len({part.of_inputs for _, part in terms}) == 1:
        first = terms[0][1]
        new = Factors(first.factors.size, of_inputs=first.of_inputs)
        new.factors.data = 1 + sum(weight * (part.factors.data - 1) for weight, part in terms)
        return new
    if kinds <= {LowRank, Decomposed}:
        return _sum_of_low_ranks(terms)
    if kinds == {LowRankRows}:
        return _side_by_side(LowRankRows, [(weight, part, 1.0) for weight, part in terms])
    techniques = " and ".join(dict.fromkeys(part.technique for _, part in terms))
    if len(kinds) == 1 and kinds != {Factors}:
        raise ValueError(f"combine: a {techniques} is no change of a matrix, and has no weighted sum")
    raise ValueError(f"combine: {path} is changed in different ways ({techniques}), whose sum is neither")


def _sum_of_low_ranks(terms: list[tuple[float, Any]]) -> Adapter:
    with_factors = [
        (weight, part, part.factors().data if isinstance(part, Decomposed) else 1.0) for weight, part in terms
    ]
    decomposed = [part for _, part in terms if isinstance(part, Decomposed)]
    if not decomposed:
        return _side_by_side(LowRank, with_factors)
    # W (1 + c) + L with c = Σ w (g - 1), and L the low-rank part: as DoRA, (W + L / (1 + c)) m / n with m = (1 + c) n.
    scale = np.asarray(1 + sum(weight * (factors - 1) for weight, _, factors in with_factors))
    if (np.abs(scale) < 1e-6).any():
        raise ValueError("combine: with these weights a column of the matrix itself vanishes, which DoRA cannot say")
    low = _side_by_side(LowRank, [(weight, part, factors / scale) for weight, part, factors in with_factors])
    return Decomposed.of(decomposed[0], low, scale)


def _side_by_side(kind: type[LowRank], terms: list[tuple[float, Any, Any]]) -> LowRank:
    """A of all beside each other, B of all below each other, each multiplied by its weight, scale and factors."""
    A = np.concatenate([part.A.data for _, part, _ in terms], axis=1)
    B = np.concatenate([part.B.data * (weight * part.scale) * factors for weight, part, factors in terms])
    new = kind(1, 1, rank=A.shape[1], alpha=A.shape[1], rng=None)  # alpha / rank = 1
    new.A.data, new.B.data = np.ascontiguousarray(A), np.ascontiguousarray(B, A.dtype)
    return new
