"""Compiled versions of `kernels.signatures`: one pass over the numbers a function, nothing stored but the least."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

PRIME, LOW, LOWER = np.uint64((1 << 61) - 1), np.uint64(2**31 - 1), np.uint64(2**30 - 1)
ONE, THIRTY, CUT, TOP = np.uint64(1), np.uint64(30), np.uint64(31), np.uint64(61)


def least_values(numbers, factors, offsets):
    least = np.empty(factors.size, np.uint64)
    _least_values(numbers >> CUT, numbers & LOW, factors, offsets, least)
    return least


@compiled
def _least_values(high, low, factors, offsets, least):
    for k in range(factors.size):
        a_high, a_low, b = factors[k] >> CUT, factors[k] & LOW, offsets[k]
        smallest = PRIME
        for i in range(high.size):
            middle = a_high * low[i] + a_low * high[i]
            value = ((a_high * high[i]) << ONE) + a_low * low[i] + b
            value += (middle >> THIRTY) + ((middle & LOWER) << CUT)
            value = (value & PRIME) + (value >> TOP)
            value = value - PRIME if value >= PRIME else value
            smallest = min(value, smallest)
        least[k] = smallest


def equal_entries(signatures, one):
    counts = np.empty(len(signatures), np.int64)
    _equal_entries(signatures, one, counts)
    return counts


@compiled
def _equal_entries(signatures, one, counts):
    for row in range(signatures.shape[0]):
        count = 0
        for k in range(one.size):
            count += signatures[row, k] == one[k]
        counts[row] = count
