"""The k-th smallest of more numbers than memory holds: a histogram of their leading bits, then of the bits that follow.

Non-negative floats are in the order of their bits read as whole numbers. Sixteen bits at a time say which value it
is, to the last bit, in two passes over float32 (four over float64).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

_BITS = 16


def kth_smallest(
    pieces: Callable[[], Iterable[Sequence[np.ndarray]]], ranks: Sequence[int], dtype: Any = np.float32
) -> list[float]:
    """Of several rows of numbers at once, each row's number of the given rank (1: its smallest); 0.0 for rank 0.

    pieces: every call gives the rows anew, in pieces [of row 0, of row 1, …]; no number is negative. dtype: float32 or
    float64, to which they are converted. ValueError for a rank that a row does not have.

    >>> kth_smallest(lambda: [[np.array([5.0, 0.5])], [np.array([2.0, 3.0])]], [3])
    [3.0]
    """
    kind = np.dtype(f"u{np.dtype(dtype).itemsize}")
    left, found = list(ranks), [0] * len(ranks)  # ranks among the numbers that begin with the bits found
    for shift in range(8 * kind.itemsize - _BITS, -1, -_BITS):
        counts = np.zeros((len(ranks), 1 << _BITS), np.int64)
        for rows in pieces():
            for row, piece in enumerate(rows):
                bits = piece.astype(dtype, copy=False).view(kind)
                if shift + _BITS < 8 * kind.itemsize:
                    bits = bits[bits >> kind.type(shift + _BITS) == found[row]]
                digits = (bits >> kind.type(shift)) & kind.type((1 << _BITS) - 1)
                counts[row] += np.bincount(digits.astype(np.intp), minlength=1 << _BITS)
        for row, reached in enumerate(np.cumsum(counts, axis=1)):
            if left[row] > reached[-1]:
                raise ValueError(f"there is no number of rank {ranks[row]} in row {row}")
            digit = int(np.searchsorted(reached, left[row])) if left[row] else 0
            left[row] -= int(reached[digit - 1]) if digit else 0
            found[row] = found[row] << _BITS | digit
    return [float(np.array(bits, kind).view(dtype)) for bits in found]
