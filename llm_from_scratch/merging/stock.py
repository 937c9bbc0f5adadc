"""Model Stock: how far from the base the mean of a few fine-tunes should stand, from the angles between them.

    t = n cos θ / (1 + (n - 1) cos θ)        merged = t · mean(θ_i) + (1 - t) θ_0        tensor by tensor

If fine-tunes of different seeds lie on a sphere around their common centre, the point of their plane that is nearest to
it can be said without knowing it. cos θ: of the angle between two task vectors, the mean over pairs.
Source: Jang et al. 2024, arXiv:2403.19522.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .averages import combination
from .tensors import PIECE, Tensors, check_models, over_tensors, working

_SINGULAR = 1e-6


def model_stock(base: Tensors, models: Sequence[Tensors]) -> Any:
    """The base and the mean of at least two fine-tunes, mixed in each tensor by how much the fine-tunes agree.

    >>> model_stock(np.zeros(2), [np.array([1.0, 0.0]), np.array([0.0, 1.0])])     # orthogonal: they agree in nothing
    array([0., 0.])
    >>> model_stock(np.zeros(2), [np.array([2.0, 0.0]), np.array([4.0, 0.0])])
    array([3., 0.])
    """
    models = check_models(models, least=2)

    def merge(*arrays: np.ndarray) -> np.ndarray:
        count, cos = len(arrays) - 1, _agreement(arrays)
        divisor = 1 + (count - 1) * cos
        share = (
            count * cos / divisor if abs(divisor) > _SINGULAR else 0.0
        )  # opposed: no point is nearest, the base stays
        return combination(arrays, [1 - share, *[share / count] * count])

    return over_tensors(merge, base, *models)


def _agreement(arrays: Sequence[np.ndarray]) -> float:
    """The mean cosine between two task vectors, the base's array being the first."""
    work = working(*(array.dtype for array in arrays))
    products = np.zeros((len(arrays) - 1, len(arrays) - 1))
    for start in range(0, arrays[0].size, PIECE):
        first, *rest = (array.reshape(-1)[start : start + PIECE].astype(work, copy=False) for array in arrays)
        vectors = np.stack(rest) - first
        products += vectors @ vectors.T
    norms = np.sqrt(products.diagonal())
    pairs = itertools.combinations(range(len(norms)), 2)
    found = [np.clip(products[i, j] / max(norms[i] * norms[j], 1e-6), -1, 1) for i, j in pairs]
    return float(np.mean(found))
