"""Compiled versions of `kernels.bfloat16`: one pass over memory each."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled


def round_to_nearest(bits):
    upper = np.empty(bits.size, np.uint16)
    _to_nearest(bits, upper)
    return upper


def round_by_chance(bits, key, first):
    upper = np.empty(bits.size, np.uint16)
    _by_chance(bits, np.uint64(key), np.uint64(first), upper)
    return upper


@compiled
def _to_nearest(bits, upper):
    for i in range(bits.size):
        b = bits[i]
        nearest = (b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        quiet = (b >> np.uint32(16)) | np.uint32(0x40)
        upper[i] = quiet if (b & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000) else nearest


@compiled
def _by_chance(bits, key, first, upper):
    for i in range(bits.size):
        z = (first + np.uint64(i) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        b = bits[i]
        chosen = (b + np.uint32(z >> np.uint64(48))) >> np.uint32(16)
        size = b & np.uint32(0x7FFFFFFF)
        past = (size < np.uint32(0x7F800000)) & ((chosen & np.uint32(0x7FFF)) == np.uint32(0x7F80))
        chosen = chosen - np.uint32(1) if past else chosen
        quiet = (b >> np.uint32(16)) | np.uint32(0x40)
        upper[i] = quiet if size > np.uint32(0x7F800000) else chosen
