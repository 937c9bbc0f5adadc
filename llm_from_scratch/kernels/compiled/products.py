"""Products of packed codes with one row of whole activations, over a range of tiles: what `packed` is made of.

Sixteen outputs make a vector, a tile has four. Two neighbouring inputs of an output lie side by side, as the processor
wants them that multiplies pairs: of each pair of inputs comes the pair of activations, spread over the vector. Sums are
int32 up to the end of a block of at most 32 inputs, where nothing can overflow them (32 · 128 · 2^14 = 2^26); there
they become floats and meet their scales. Nothing is allocated, no lock held: threads may share out tiles.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled
from . import vectors

TILE = 64
BLOCK = 32  # activations that share a scale
EXPONENT, LEAST, BIAS, PLACES = np.int32(0x7F800000), np.int32(40), np.int32(267), np.int32(23)
FINER, FINEST = np.float32(2.0**15), np.float32(2.0**-15)
ONE, NAN = np.float32(1), np.float32(np.nan)


@compiled
def split_activations(x, whole, scale, sums):
    """x (inputs,) float32 -> whole (2 · inputs,) int16, scale (⌈inputs / 32⌉,), sums (inputs / 8,); see the twin."""
    high, low = whole[: x.size], whole[x.size :]
    for b in range(scale.size):
        part, first, second = x[b * BLOCK : (b + 1) * BLOCK], high[b * BLOCK :], low[b * BLOCK :]
        exponent = _exponent(part)
        if exponent == 255:  # infinite, or no number
            first[: part.size] = 0
            second[: part.size] = 0
            scale[b] = NAN
            continue
        exponent = max(exponent, LEAST)
        inverse = np.int32((BIAS - exponent) << PLACES).view(np.float32)  # 2^13 / the power of two below the largest
        for i in range(part.size):
            scaled = part[i] * inverse
            nearest = np.rint(scaled)
            first[i] = np.int16(nearest)
            second[i] = np.int16(np.rint((scaled - nearest) * FINER))
        scale[b] = ONE / inverse
    for e in range(sums.size):
        eight, total = x[8 * e : 8 * e + 8], np.float32(0)
        for i in range(8):
            total += eight[i]
        sums[e] = total


@compiled(inline="always")
def _exponent(x):
    """The largest exponent as the bits have it: floats of one sign are in the order of their bits."""
    bits, largest = x.view(np.int32), np.int32(0)
    for i in range(bits.size):
        exponent = np.int32(bits[i] & EXPONENT)
        largest = max(largest, exponent)
    return np.int32(largest >> PLACES)


@compiled
def multiply(whole, scale, sums, codes, weight_scale, minimum, group, y, first, last):
    """y[64 t : 64 (t + 1)] for the tiles t in first … last - 1 of a packed weight, its parts flat, codes as uint8.

    whole, scale, sums: of `split_activations`; group: how many inputs share a scale of the weight; y: (tiles · 64,).
    """
    if 4 * codes.size == whole.size * y.size:
        _nibbles(whole, scale, sums, codes, weight_scale, minimum, group, y, first, last)
    else:
        _bytes(whole, scale, sums, codes, weight_scale, minimum, group, y, first, last)


@compiled(inline="always")
def _step(group):
    """How many inputs are summed in int32: as many as share both their scales."""
    return 32 if group % 32 == 0 else 16 if group % 16 == 0 else 8


@compiled(inline="always")
def _sum(sums, i, step):
    """The sum of the activations i … i + step - 1; step is 8, 16 or 32."""
    e = i // 8
    total = sums[e]
    if step > 8:
        total += sums[e + 1]
    if step > 16:
        total += sums[e + 2] + sums[e + 3]
    return total


@compiled(inline="always")
def _close(y, high, low, s, offset, scale, least, at, m, like):
    """y + scale · (s · (high + low / 2^15) + offset) + least · m, at the end of a block: its numbers stand at `at`."""
    both = vectors.add_product(vectors.as_numbers(high, like), vectors.as_numbers(low, like), vectors.spread(FINEST))
    y = vectors.add_product(y, vectors.add_product(offset, both, s), vectors.load(scale, at))
    return vectors.add_product(y, vectors.load(least, at), m)


@compiled
def _nibbles(whole, scale, sums, codes, weight_scale, minimum, group, y, first, last):
    inputs, step, zero = whole.size // 2, _step(group), np.int32(0)
    least, of_least, shift = minimum, np.float32(1), np.float32(0)
    if not minimum.size:  # any numbers, times zero
        least, of_least, shift = weight_scale, np.float32(0), np.float32(-8)
    for t in range(first, last):
        y0 = y1 = y2 = y3 = vectors.spread(np.float32(0))
        for i in range(0, inputs, step):
            at, total = (t * (inputs // group) + i // group) * TILE, _sum(sums, i, step)
            s, offset = vectors.spread(scale[i // BLOCK]), vectors.spread(shift * total)
            m = vectors.spread(of_least * total)
            # Half a tile after the other: its eight sums are what sixteen registers of eight numbers hold.
            h0 = h1 = l0 = l1 = vectors.whole(zero)
            for k in range(i, i + step, 2):
                w = vectors.words(codes, (t * inputs + k) * 32)
                a, b = vectors.nibbles(w, 0), vectors.nibbles(w, 1)
                h0, h1 = vectors.add_pairs(h0, a, whole, k), vectors.add_pairs(h1, b, whole, k)
                l0, l1 = vectors.add_pairs(l0, a, whole, inputs + k), vectors.add_pairs(l1, b, whole, inputs + k)
            y0 = _close(y0, h0, l0, s, offset, weight_scale, least, at, m, y)
            y1 = _close(y1, h1, l1, s, offset, weight_scale, least, at + 16, m, y)
            h2 = h3 = l2 = l3 = vectors.whole(zero)
            for k in range(i, i + step, 2):
                w = vectors.words(codes, (t * inputs + k) * 32)
                a, b = vectors.nibbles(w, 2), vectors.nibbles(w, 3)
                h2, h3 = vectors.add_pairs(h2, a, whole, k), vectors.add_pairs(h3, b, whole, k)
                l2, l3 = vectors.add_pairs(l2, a, whole, inputs + k), vectors.add_pairs(l3, b, whole, inputs + k)
            y2 = _close(y2, h2, l2, s, offset, weight_scale, least, at + 32, m, y)
            y3 = _close(y3, h3, l3, s, offset, weight_scale, least, at + 48, m, y)
        _store(y, t, y0, y1, y2, y3)


@compiled
def _bytes(whole, scale, sums, codes, weight_scale, minimum, group, y, first, last):
    inputs, step, zero = whole.size // 2, _step(group), np.int32(0)
    least, of_least, shift = minimum, np.float32(1), np.float32(0)
    if not minimum.size:  # any numbers, times zero
        least, of_least, shift = weight_scale, np.float32(0), np.float32(0)
    for t in range(first, last):
        y0 = y1 = y2 = y3 = vectors.spread(np.float32(0))
        for i in range(0, inputs, step):
            at, total = (t * (inputs // group) + i // group) * TILE, _sum(sums, i, step)
            s, offset = vectors.spread(scale[i // BLOCK]), vectors.spread(shift * total)
            m = vectors.spread(of_least * total)
            # Half a tile after the other: its eight sums are what sixteen registers of eight numbers hold.
            h0 = h1 = l0 = l1 = vectors.whole(zero)
            for k in range(i, i + step, 2):
                pair = (t * inputs + k) * TILE + 0
                a, b = vectors.signed_bytes(codes, pair), vectors.signed_bytes(codes, pair + 32)
                h0, h1 = vectors.add_pairs(h0, a, whole, k), vectors.add_pairs(h1, b, whole, k)
                l0, l1 = vectors.add_pairs(l0, a, whole, inputs + k), vectors.add_pairs(l1, b, whole, inputs + k)
            y0 = _close(y0, h0, l0, s, offset, weight_scale, least, at, m, y)
            y1 = _close(y1, h1, l1, s, offset, weight_scale, least, at + 16, m, y)
            h2 = h3 = l2 = l3 = vectors.whole(zero)
            for k in range(i, i + step, 2):
                pair = (t * inputs + k) * TILE + 64
                a, b = vectors.signed_bytes(codes, pair), vectors.signed_bytes(codes, pair + 32)
                h2, h3 = vectors.add_pairs(h2, a, whole, k), vectors.add_pairs(h3, b, whole, k)
                l2, l3 = vectors.add_pairs(l2, a, whole, inputs + k), vectors.add_pairs(l3, b, whole, inputs + k)
            y2 = _close(y2, h2, l2, s, offset, weight_scale, least, at + 32, m, y)
            y3 = _close(y3, h3, l3, s, offset, weight_scale, least, at + 48, m, y)
        _store(y, t, y0, y1, y2, y3)


@compiled(inline="always")
def _store(y, t, y0, y1, y2, y3):
    vectors.store(y, t * TILE, y0)
    vectors.store(y, t * TILE + 16, y1)
    vectors.store(y, t * TILE + 32, y2)
    vectors.store(y, t * TILE + 48, y3)
