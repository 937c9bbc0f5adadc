"""float32 to bfloat16: to the nearest, or up and down by chance so that the mean is right.

bfloat16 is the upper half of a float32: the sign, all 8 bits of the exponent and 7 of 23 bits behind the point. NumPy
and numba know no such number, so that everything here works on bits: uint32 in, uint16 out. The way back is exact, a
shift by 16.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel

# The constants of splitmix64 (Steele, Lea & Flood 2014): a counter times the first, stirred by the two others.
GOLDEN, STIR, STIR_AGAIN = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_INFINITE, _QUIET = 0x7F800000, 0x0040


@kernel
def round_to_nearest(bits: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, of two equally near the even one: bits (N,) uint32 of float32 -> (N,) uint16.

    What lies beyond the largest number by half a step becomes infinite; NaN stays NaN.

    >>> numbers = np.array([1.0, 1.004, 1.0039062, -3.14159], np.float32)
    >>> (round_to_nearest(numbers.view(np.uint32)).astype(np.uint32) << 16).view(np.float32)
    array([ 1.       ,  1.0078125,  1.       , -3.140625 ], dtype=float32)
    """
    odd = (bits >> 16) & 1
    upper = (bits + (0x7FFF + odd)) >> 16
    return np.where(_is_nan(bits), (bits >> 16) | _QUIET, upper).astype(np.uint16)


@kernel
def round_by_chance(bits: np.ndarray, key: int, first: int) -> np.ndarray:
    """One of the two bfloat16 around each number, the nearer one more often: bits (N,) uint32 -> (N,) uint16.

    A number that lies the share p of the way up goes up with probability p, so that the mean over draws is the number;
    what bfloat16 holds exactly stays. The chance is a function of the key and of where a number stands (`first`, the
    place of the first, and on): pieces of an array, in whatever order, get what the whole would. A finite number stays
    finite: there is no going up from the largest.

    >>> numbers = np.full(100_000, 1.002, np.float32)                  # between 1 and 1.0078125
    >>> rounded = (round_by_chance(numbers.view(np.uint32), 7, 0).astype(np.uint32) << 16).view(np.float32)
    >>> np.unique(rounded), round(float(rounded.mean()), 4)
    (array([1.       , 1.0078125], dtype=float32), 1.002)

    Source: Gupta et al. 2015, arXiv:1502.02551, section 3; the draws are those of splitmix64.
    """
    z = np.arange(first + 1, first + 1 + bits.size, dtype=np.uint64) * np.uint64(GOLDEN) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(STIR)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(STIR_AGAIN)
    draw = (z >> np.uint64(48)).astype(np.uint32)  # 0 … 65535, as many as the half that is cut off has values
    upper = (bits + draw) >> 16
    upper -= ((upper & 0x7FFF) == _INFINITE >> 16) & ((bits & 0x7FFFFFFF) < _INFINITE)
    return np.where(_is_nan(bits), (bits >> 16) | _QUIET, upper).astype(np.uint16)


def _is_nan(bits: np.ndarray) -> np.ndarray:
    return (bits & 0x7FFFFFFF) > _INFINITE


@round_to_nearest.check
def _(bits):
    _check_bits(bits)


@round_by_chance.check
def _(bits, key, first):
    _check_bits(bits)
    if not 0 <= key < 2**64 or first < 0:
        raise ValueError(f"the key is a whole number of 64 bits and the place not negative, got {key} and {first}")


def _check_bits(bits: np.ndarray) -> None:
    if bits.dtype != np.uint32 or bits.ndim != 1:
        raise TypeError(f"bits of float32 numbers are a flat array of uint32, got {bits.dtype}{bits.shape}")


@round_to_nearest.example
def _(rng):
    for bits in _all_kinds(rng):
        yield (bits,), {}


@round_by_chance.example
def _(rng):
    for bits in _all_kinds(rng):
        yield (bits, 2**64 - 5, 10**10), {}
        yield (bits, int(rng.integers(2**63)), 0), {}


def _all_kinds(rng):
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-45, 3.4e38, -3.4028235e38, 3.3895314e38]
    yield np.array(special, np.float32).view(np.uint32)
    yield rng.integers(0, 2**32, 10_000, dtype=np.uint32)
    yield np.zeros(0, np.uint32)
