"""The gradient of an embedding table: rows of a gradient added up by token id.

The forward is plain indexing and needs no kernel.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel


@kernel
def embedding_backward(dy: np.ndarray, ids: np.ndarray, rows: int) -> np.ndarray:
    """Add row n of `dy` to row `ids[n]` of a table of zeros.

    dy (N, D), ids (N,) integers in [0, rows) -> (rows, D). An id outside raises ValueError. The rows are
    added in the order in which they come, so that results repeat bit for bit.

    >>> embedding_backward(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2, 0, 2]), 3)
    array([[3., 4.],
           [0., 0.],
           [6., 8.]])
    """
    if ids.shape != dy.shape[:1]:
        raise ValueError(f"one id a row: ids {ids.shape} do not fit dy {dy.shape}")
    outside = np.flatnonzero((ids < 0) | (ids >= rows))
    if outside.size:
        n = int(outside[0])
        raise ValueError(f"ids[{n}] is {int(ids[n])}, but the table has rows 0 to {rows - 1}")
    table = np.zeros((rows, dy.shape[1]), dy.dtype)
    np.add.at(table, ids, dy)
    return table


@embedding_backward.example
def _(rng):
    yield (rng.normal(size=(40, 5)), rng.integers(0, 7, 40), 7), {}
    yield (rng.normal(size=(300, 64)), rng.integers(0, 1000, 300).astype(np.int32), 1000), {}
    yield (np.zeros((0, 3)), np.zeros(0, np.int64), 4), {}
