"""Compiled version of `kernels.embedding`."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled


def embedding_backward(dy, ids, rows):
    if ids.shape != dy.shape[:1]:
        raise ValueError(f"one id a row: ids {ids.shape} do not fit dy {dy.shape}")
    table = np.zeros((rows, dy.shape[1]), dy.dtype)
    outside = _scatter_add(dy, ids.astype(np.int64, copy=False), table)
    if outside >= 0:
        raise ValueError(f"ids[{outside}] is {int(ids[outside])}, but the table has rows 0 to {rows - 1}")
    return table


@compiled
def _scatter_add(dy, ids, table):
    """The index of the first id outside the table, or -1."""
    for n in range(ids.size):
        row = ids[n]
        if row < 0 or row >= table.shape[0]:
            return n
        source, target = dy[n], table[row]
        for i in range(source.size):
            target[i] += source[i]
    return -1
