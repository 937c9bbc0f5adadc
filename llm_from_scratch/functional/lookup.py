"""Looking token ids up in a table."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import check_ids, floating
from ..kernels import embedding as kernels


@primitive
def embedding(weight, ids, /):
    """Row `ids[...]` of the table: weight (V, D), ids (...) integers in [0, V) -> (..., D).

    An id outside the table, negative ones included, raises ValueError with its place.

    >>> embedding([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], np.array([2, 0]))
    Tensor([[4., 5.],
            [0., 1.]])
    """
    floating("embedding", weight)
    if weight.ndim != 2:
        raise ValueError(f"embedding needs a table (V, D), got shape {weight.shape}")
    check_ids(ids, weight.shape[0])
    return weight[ids], (weight.shape, ids)


@embedding.backward
def _(dy, saved, needs):
    (rows, width), ids = saved
    return kernels.embedding_backward(dy.reshape(ids.size, width), ids.reshape(-1), rows), None


@embedding.example
def _(rng):
    return (rng.normal(size=(5, 3)), np.array([[0, 4, 4], [2, 0, 4]])), {}
