"""Compiled versions of `kernels.four_bit`: fifteen comparisons a number one way, a look-up the other, and for
a product one look-up for both numbers of a byte."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

LOW, FOUR = np.uint8(15), np.uint8(4)


def four_bit_encode(values, absmax, borders, order, block_size):
    ranks = np.full(values.size + values.size % 2, (borders < 0).sum(), np.uint8)  # what fills up the last byte is 0
    _nearest(values, absmax, borders, block_size, ranks)
    packed = np.empty(ranks.size // 2, np.uint8)
    _pack(ranks, order, packed)
    return packed


def four_bit_decode(packed, absmax, table, block_size, n):
    values, codes = np.empty(n, absmax.dtype), np.empty(2 * packed.size, np.uint8)
    _unpack(packed, codes)
    _look_up(codes, absmax, table, block_size, values)
    return values


def four_bit_matmul(x, packed, absmax, table, block_size):
    pairs = np.stack([np.repeat(table, 16), np.tile(table, 16)], axis=1)  # what each byte stands for
    y = np.empty(2 * packed.size // x.size, x.dtype)
    _matmul(x, packed, absmax, pairs.reshape(-1), block_size, y)
    return y


@compiled
def _matmul(x, packed, absmax, pairs, block_size, y):
    half, blocks = block_size // 2, x.size // block_size
    for o in range(y.size):
        total = x[0] * 0
        for b in range(blocks):
            at = o * blocks + b
            block, some = packed[at * half : (at + 1) * half], x[b * block_size : (b + 1) * block_size]
            part = x[0] * 0
            for j in range(half):
                k = 2 * np.intp(block[j])
                part += pairs[k] * some[2 * j] + pairs[k + 1] * some[2 * j + 1]
            total += part * absmax[at]
        y[o] = total


@compiled
def _nearest(values, absmax, borders, block_size, ranks):
    """How many borders lie below each value: its rank in the table."""
    kind = values.dtype.type
    for b in range(absmax.size):
        block, out = values[b * block_size : (b + 1) * block_size], ranks[b * block_size : (b + 1) * block_size]
        largest = absmax[b] if absmax[b] > 0 else kind(1)
        for i in range(block.size):
            scaled = block[i] / largest
            rank = np.int32(0)
            for k in range(15):
                rank += np.int32(scaled > borders[k])
            out[i] = rank


@compiled
def _pack(ranks, order, packed):
    for j in range(packed.size):
        packed[j] = (order[ranks[2 * j]] << FOUR) | order[ranks[2 * j + 1]]


@compiled
def _unpack(packed, codes):
    for j in range(packed.size):
        codes[2 * j] = packed[j] >> FOUR
        codes[2 * j + 1] = packed[j] & LOW


@compiled
def _look_up(codes, absmax, table, block_size, values):
    for b in range(absmax.size):
        out, block = values[b * block_size : (b + 1) * block_size], codes[b * block_size : (b + 1) * block_size]
        for i in range(out.size):
            out[i] = table[block[i]] * absmax[b]
