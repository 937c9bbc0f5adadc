"""Matrices in four bits a number: any table of sixteen numbers, any size of blocks, each with its largest magnitude.

What the tables are stands in `nf4.py` and `fp4.py`; what is done with the largest magnitudes, in `nf4.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import four_bit as kernels


def encode(weight: Any, table: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantise the flattened array: (…) of n floating-point numbers -> packed (⌈n / 2⌉,) uint8, absmax (blocks,).

    Raises TypeError for anything but floating-point numbers, ValueError for such as are not finite in float32 and for
    a block size below 1.
    """
    values = np.asarray(weight)
    if values.dtype.kind not in "fV" or values.dtype.kind == "V" and values.dtype.name != "bfloat16":
        raise TypeError(f"weights are floating-point numbers, got {values.dtype}: convert with .astype(np.float32)")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(values.reshape(-1), np.float32)
    if not np.isfinite(values).all():
        place = np.unravel_index(int(np.flatnonzero(~np.isfinite(values))[0]), np.shape(weight))
        raise ValueError(
            f"the weight at {tuple(map(int, place))} is {np.asarray(weight)[place]}: "
            "only numbers that are finite in float32 can be quantised"
        )
    size = positive(block_size)
    absmax = np.maximum.reduceat(np.abs(values), np.arange(0, len(values), size)) if len(values) else values
    return kernels.four_bit_encode(values, absmax, *kernels.ranked(table), size), absmax


def decode(packed: Any, absmax: Any, table: np.ndarray, shape: Sequence[int], block_size: int) -> np.ndarray:
    """The numbers again, float32 of `shape`. Raises ValueError where the parts do not fit shape and block size."""
    packed, absmax = np.asarray(packed), np.asarray(absmax)
    if packed.dtype != np.uint8 or absmax.dtype.kind != "f":
        raise TypeError(f"packed codes are uint8 and absmax floats, got {packed.dtype} and {absmax.dtype}")
    shape = tuple(shape)
    count = int(np.prod(shape, dtype=np.int64))
    parts = packed.reshape(-1), absmax.reshape(-1).astype(np.float32, copy=False)
    return kernels.four_bit_decode(*parts, table, positive(block_size), count).reshape(shape)


def positive(block_size: Any) -> int:
    """The block size; ValueError unless it is a positive integer."""
    if isinstance(block_size, bool) or not isinstance(block_size, (int, np.integer)) or block_size < 1:
        raise ValueError(f"block_size must be a positive integer, not {block_size!r}")
    return int(block_size)
