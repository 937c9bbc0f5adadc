"""Looking token ids up in a table."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import floating
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


def check_ids(ids: np.ndarray, rows: int) -> None:
    """Raise TypeError unless `ids` are integers, ValueError unless each is in [0, rows).

    >>> check_ids(np.array([[3, 9]]), 5)
    Traceback (most recent call last):
    ValueError: token id 9 at (0, 1) is outside the vocabulary 0..4: were the ids made by this model's tokenizer?
    """
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        raise TypeError(f"token ids are an array of integers, got {getattr(ids, 'dtype', type(ids).__name__)}")
    if ids.size and (ids.min() < 0 or ids.max() >= rows):
        place = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= rows))[0])
        raise ValueError(
            f"token id {int(ids[place])} at {place} is outside the vocabulary 0..{rows - 1}: "
            "were the ids made by this model's tokenizer?"
        )
