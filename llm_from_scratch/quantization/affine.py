"""Absmax and zero-point: evenly spaced whole numbers, with a scale for a tensor, for each row, or for groups of a row.

Absmax divides by the largest magnitude: codes lie around zero, -127 … 127 in 8 bits, and zero is code 0. Zero-point
spends its codes, 0 … 255, on the range from the smallest number to the largest, zero always in it: better where numbers
are lopsided, as after an activation function. What both give is read by one formula, (code - zero) · scale. Kept for
any array; a matrix of weights with its group numbers is a `Grid` (`grid.py`).

Source: Jacob et al. 2017, arXiv:1712.05877, eq. 1; Dettmers et al. 2022, arXiv:2208.07339, section 2.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .grid import check_bits, check_group_size, fit, nearest_codes


class Quantized(NamedTuple):
    """Codes with what reads them: values = (codes - zero) · scale.

    codes: (...) int8 (absmax) or uint8 (zero-point). scale, zero: one number for the tensor, (), or (..., groups) for
    the groups of each row, a single one if a row is a group. zero is None for absmax, where it is 0.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero: np.ndarray | None

    def values(self) -> np.ndarray:
        """The numbers that the codes stand for, (...), in the scale's dtype."""
        grouped = self.codes.reshape(*self.scale.shape, -1).astype(self.scale.dtype)
        if self.zero is not None:
            grouped = grouped - self.zero[..., None]
        return (grouped * self.scale[..., None]).reshape(self.codes.shape)


def absmax_quantize(x: Any, *, bits: int = 8, per: str | int = "tensor") -> Quantized:
    """Codes -(2^(bits - 1) - 1) … 2^(bits - 1) - 1, in steps of the largest magnitude over the last: (...) -> (...).

    per: what shares a scale: "tensor", "row" (along the last axis), or a number of neighbours in a row, which must
    divide it. Halves go to the even code; zeros alone keep being zeros. float16 and bfloat16 are read as float32.
    Raises TypeError for anything but floating-point numbers, ValueError for such as are not finite, for nothing at all,
    for bits outside 2..8, and for a group that does not divide a row.

    >>> absmax_quantize([0.5, -1.0, 0.1]).codes, absmax_quantize([0.5, -1.0, 0.1], bits=3).values().round(2)
    (array([  64, -127,   13], dtype=int8), array([ 0.67, -1.  ,  0.  ]))
    """
    x, grouped = _grouped(x, per)
    last = 2 ** (check_bits(bits) - 1) - 1
    scale = np.abs(grouped).max(axis=-1) / grouped.dtype.type(last)
    # Below the smallest normal number a division by the scale would overflow, so what is so small counts as zero.
    scale = np.where(scale < np.finfo(scale.dtype).tiny, scale.dtype.type(0), scale)
    codes = np.rint(grouped / np.where(scale > 0, scale, np.inf)[..., None]).astype(np.int8)
    return Quantized(codes.reshape(x.shape), scale, None)


def zero_point_quantize(x: Any, *, bits: int = 8, per: str | int = "tensor") -> Quantized:
    """Codes 0 … 2^bits - 1 over the range of the numbers, widened to zero: (...) -> (...). As `absmax_quantize`.

    >>> lopsided = np.array([0.0, 0.3, 0.8, 1.5])
    >>> zero_point_quantize(lopsided, bits=2).values(), absmax_quantize(lopsided, bits=2).values()
    (array([0. , 0.5, 1. , 1.5]), array([0. , 0. , 1.5, 1.5]))
    """
    x, grouped = _grouped(x, per)
    scale, zero = fit(grouped, check_bits(bits))
    codes = nearest_codes(grouped, scale[..., None], zero[..., None], bits)
    return Quantized(codes.reshape(x.shape), scale, zero)


def _grouped(x: Any, per: Any) -> tuple[np.ndarray, np.ndarray]:
    """The array, checked, and the same with the numbers that share a scale on the last axis."""
    array = np.asarray(x)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise TypeError(f"floating-point numbers can be quantised, not {array.dtype}: convert with .astype(np.float32)")
    if not array.size:
        raise ValueError(f"there is nothing to quantise in an array of shape {array.shape}")
    if not np.isfinite(array).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"the number at {place} is {array[place]}: only finite numbers can be quantised")
    array = array if array.dtype.char in "fd" else array.astype(np.float32)
    if per == "tensor":
        return array, array.reshape(-1)
    if isinstance(per, str) and per != "row":
        raise ValueError(f"per is 'tensor', 'row' or a number of neighbours that share a scale, not {per!r}")
    if array.ndim == 0:
        raise ValueError("a single number has no rows: per='tensor'")
    size = check_group_size(None if per == "row" else per, array.shape[-1])
    return array, array.reshape(*array.shape[:-1], -1, size)
