"""Signatures: the smallest value that each of many random linear functions takes on a set of numbers, modulo a prime,
and how many entries of one signature are those of others.

h(x) = (a x + b) mod p with p = 2**61 - 1, a Mersenne prime: as 2**61 = 1 (mod p), a remainder is an addition of high
bits to low ones. The product of two 61-bit numbers does not fit 64 bits, so both factors are cut at bit 31 and no
intermediate sum reaches 2**64. What the smallest values are good for: `data.curation.signatures`.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel

PRIME = (1 << 61) - 1


@kernel
def least_values(numbers: np.ndarray, factors: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """min over x of (a x + b) mod (2**61 - 1): numbers (n,), factors and offsets (k,), all uint64 < 2**61 - 1 -> (k,).

    Of no numbers the least is 2**61 - 1, which no number can reach.

    >>> least_values(*(np.array(values, np.uint64) for values in ([2, 3], [1, PRIME - 1], [5, 5]))).tolist()
    [7, 2]
    """
    high, low = numbers >> np.uint64(31), numbers & np.uint64(2**31 - 1)
    least = np.full(len(factors), PRIME, np.uint64)
    for k, (a, b) in enumerate(zip(factors, offsets, strict=True)):
        a_high, a_low = a >> np.uint64(31), a & np.uint64(2**31 - 1)
        # a x = a_high x_high 2**62 + middle 2**31 + a_low x_low, where 2**62 = 2 and 2**30 middle's high part = 1
        middle = a_high * low + a_low * high
        value = a_high * high * np.uint64(2) + a_low * low + b
        value += (middle >> np.uint64(30)) + ((middle & np.uint64(2**30 - 1)) << np.uint64(31))
        value = (value & np.uint64(PRIME)) + (value >> np.uint64(61))
        least[k] = np.where(value >= PRIME, value - np.uint64(PRIME), value).min(initial=np.uint64(PRIME))
    return least


@least_values.check
def _(numbers, factors, offsets):
    for name, array in (("numbers", numbers), ("factors", factors), ("offsets", offsets)):
        if not isinstance(array, np.ndarray) or array.dtype != np.uint64 or array.ndim != 1:
            got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"least_values: the {name} are a row of uint64, got {got}")
        if array.size and array.max() >= PRIME:
            raise ValueError(f"least_values: the {name} lie below 2**61 - 1, got {array.max()}")
    if factors.shape != offsets.shape:
        raise ValueError(f"least_values: as many factors as offsets are needed, got {factors.size} and {offsets.size}")


@least_values.example
def _(rng):
    edges = np.array([0, 1, 2**30, 2**31 - 1, 2**31, 2**32, PRIME - 2**31, PRIME - 2, PRIME - 1], np.uint64)
    for n, k in ((300, 7), (9, 128), (1, 1), (0, 5), (17, 0)):
        yield tuple(rng.integers(0, PRIME, size, dtype=np.uint64) for size in (n, k, k)), {}
    yield (edges, np.repeat(edges, 9), np.tile(edges, 9)), {}


@kernel
def equal_entries(signatures: np.ndarray, one: np.ndarray) -> np.ndarray:
    """How many entries of each signature are those of one: (n, k) and (k,), both uint16 -> (n,) int64.

    >>> equal_entries(np.array([[1, 2, 3], [1, 0, 3]], np.uint16), np.array([1, 2, 3], np.uint16)).tolist()
    [3, 2]
    """
    return (signatures == one).sum(axis=-1, dtype=np.int64)


@equal_entries.check
def _(signatures, one):
    if not all(isinstance(array, np.ndarray) and array.dtype == np.uint16 for array in (signatures, one)):
        raise TypeError("equal_entries: signatures are arrays of uint16")
    if signatures.ndim != 2 or one.shape != signatures.shape[1:]:
        raise ValueError(f"equal_entries: (n, k) and (k,) are compared, got {signatures.shape} and {one.shape}")


@equal_entries.example
def _(rng):
    for n, k in ((300, 128), (1, 1), (0, 5), (7, 0), (33, 70)):
        yield (rng.integers(0, 3, (n, k), dtype=np.uint16), rng.integers(0, 3, k, dtype=np.uint16)), {}
