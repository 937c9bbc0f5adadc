"""NF4, QLoRA's four bits: each weight as one of sixteen quantiles of the normal distribution, scaled block by block.

A matrix (outputs, inputs) is flattened and cut into blocks of 64; a block keeps its largest magnitude (absmax), each
weight the nearest of sixteen numbers times that. Double quantisation then stores the magnitudes themselves in 8 bits:
less their mean, in blocks of 256, as one of 256 numbers of which the small ones lie closer together. That makes
4 + 8/64 + 32/(64·256) = 4.127 bits a weight instead of 4.5.

Source: Dettmers et al. 2023 (QLoRA), arXiv:2305.14314; the 8-bit numbers: Dettmers 2015, arXiv:1511.04561.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from . import four_bit

CODES = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
        0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    np.float32,
)  # fmt: skip
"""What each code stands for, (16,) float32: the published table, `derived_codes` but for the last digits."""

STATISTICS_BLOCK = 256  # magnitudes that share a scale in double quantisation


def derived_codes(offset: float = 0.9677083) -> np.ndarray:
    """Where the table comes from: quantiles of the normal distribution, (16,) float64.

    Quantiles are taken at even steps from `offset` to 1/2, eight above zero and seven below, both reaching the same
    largest value, by which all are divided; zero itself is the sixteenth. The published offset is the mean of
    1 - 1/32 and 1 - 1/30, where the outermost of 16 and of 15 equal shares have their middle.

    >>> float(np.abs(derived_codes() - CODES).max().round(7))          # the published table was made in other precision
    1e-07
    """
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in np.linspace(offset, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in np.linspace(offset, 0.5, 8)[:-1]]
    return np.sort([*below, 0.0, *above]) / above[0]


def quantize(weight: Any, block_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Quantise a matrix (outputs, inputs), or any array of n numbers.

    Returns packed (⌈n / 2⌉,) uint8 and absmax (blocks,) float32. The first of two is in the high half of a byte;
    half way between two codes the lower is taken. float16, bfloat16 and float64 are read as float32. Raises TypeError
    for anything but floating-point numbers, ValueError for such as are not finite in float32 and for a block size
    below 1.

    >>> packed, absmax = quantize(np.array([[2.0, -1.0, 0.0]]))
    >>> [hex(byte) for byte in packed], absmax
    (['0xf2', '0x77'], array([2.], dtype=float32))
    """
    return four_bit.encode(weight, CODES, block_size)


def dequantize(packed: Any, absmax: Any, shape: Sequence[int], block_size: int = 64) -> np.ndarray:
    """The numbers that packed codes stand for, float32 of `shape`: code times absmax of its block.

    Raises ValueError where the parts do not fit shape and block size.

    >>> dequantize(*quantize(np.array([[2.0, -1.0, 0.0]])), (1, 3)).round(3)
    array([[ 2.  , -1.05,  0.  ]], dtype=float32)
    """
    return four_bit.decode(packed, absmax, CODES, shape, block_size)


def dynamic_numbers() -> np.ndarray:
    """The 256 numbers of the 8-bit code, ascending, float32: zero, one, and seven decades of either sign.

    The decade below 10^-i is cut into 2^(6-i) even pieces from a tenth of it on, whose middles are numbers: 64 in the
    highest, one in the lowest. So -1 is not among them, and the largest negative number is -0.993.

    >>> numbers = dynamic_numbers()
    >>> numbers.size, numbers[[0, 127, 255]].round(3).tolist(), int((numbers > 0.1).sum())
    (256, [-0.9929999709129333, 0.0, 1.0], 65)
    """
    positive = []
    for decade in range(7):
        borders = np.linspace(0.1, 1.0, 2 ** (6 - decade) + 1)
        positive += list((borders[1:] + borders[:-1]) / 2 * 10.0**-decade)
    return np.sort([0.0, 1.0, *positive, *(-x for x in positive)]).astype(np.float32)


_NUMBERS = dynamic_numbers()
_BORDERS = (_NUMBERS[1:] + _NUMBERS[:-1]) / 2


def double_quantize(absmax: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Magnitudes (blocks,) in 8 bits: codes (blocks,) uint8, absmax float32 of each 256 of them, and their mean.

    The mean (offset) is taken off first, since magnitudes are all positive. Raises TypeError and ValueError for what is
    not floating-point, not finite, or empty.

    >>> codes, largest, offset = double_quantize(np.array([1.0, 2.0, 3.0], np.float32))
    >>> codes, largest, offset
    (array([  0, 127, 255], dtype=uint8), array([1.], dtype=float32), 2.0)
    """
    absmax = np.asarray(absmax)
    if absmax.dtype.kind != "f" or absmax.ndim != 1 or not absmax.size:
        raise TypeError(f"absmax is an array (blocks,) of floats, got {absmax.dtype} {absmax.shape}")
    if not np.isfinite(absmax).all():
        raise ValueError("absmax holds numbers that are not finite")
    offset = np.float32(absmax.mean(dtype=np.float64))
    centred = absmax.astype(np.float32) - offset
    largest = np.maximum.reduceat(np.abs(centred), np.arange(0, len(centred), STATISTICS_BLOCK))
    scaled = centred / np.repeat(np.where(largest > 0, largest, np.float32(1)), STATISTICS_BLOCK)[: len(centred)]
    return np.searchsorted(_BORDERS, scaled).astype(np.uint8), largest, float(offset)


def double_dequantize(codes: Any, absmax: Any, offset: float) -> np.ndarray:
    """The magnitudes again, (blocks,) float32. A magnitude near zero may come back a little below it.

    >>> double_dequantize(*double_quantize(np.array([1.0, 2.0, 3.0], np.float32))).round(3)
    array([1.007, 2.   , 3.   ], dtype=float32)
    """
    codes, absmax = np.asarray(codes), np.asarray(absmax)
    if codes.dtype != np.uint8 or codes.ndim != 1 or absmax.shape != (-(-len(codes) // STATISTICS_BLOCK),):
        raise ValueError(
            f"codes (blocks,) uint8 and one absmax for each {STATISTICS_BLOCK} of them are needed, "
            f"got {codes.dtype} {codes.shape} and {absmax.shape}"
        )
    return decode_statistics(codes, absmax.astype(np.float32, copy=False), offset)


def decode_statistics(codes: np.ndarray, absmax: np.ndarray, offset: float, first: int = 0) -> np.ndarray:
    """As `double_dequantize`, for codes that begin at block number `first`; unchecked."""
    places = np.arange(first, first + len(codes)) // STATISTICS_BLOCK
    return _NUMBERS[codes] * absmax[places] + np.float32(offset)
