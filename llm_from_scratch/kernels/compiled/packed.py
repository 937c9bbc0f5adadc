"""Compiled versions of `kernels.packed`; the products of few rows themselves stand in `products.py`."""

from __future__ import annotations

import numpy as np
from numba import carray

from ..dispatch import compiled
from ..sharing import share, share_calls
from ..token_matrices import address
from . import products, vectors
from .atomics import bytes_at, floats, whole
from .calls import SIGNATURE
from .products import TILE
from .registers import BYTES, ROWS, multiply_few_rows, multiply_narrow_row, multiply_tile
from .row_products import row_product

WORTH_SHARING = 2**20  # products: from some 30 microseconds on
LANES = BYTES // 4  # outputs in a panel, as wide as a tile of registers
DEPTH = 768  # inputs of a panel: 48 or 96 KB, which stream from the second cache as fast as they are used
FEW = 4  # rows of the smaller tile


def packed_matmul(x, codes, scale, minimum):
    """Compiled twin of `kernels.packed.packed_matmul`: tile by tile, so that all rows meet its codes in the cache."""
    if x.dtype == np.float64:
        return x @ packed_expand(codes, scale, minimum)
    y, group = np.empty((len(x), len(codes) * TILE), x.dtype), x.shape[1] // scale.shape[1]
    weight = codes.reshape(-1).view(np.uint8), scale.reshape(-1), minimum.reshape(-1), group
    few = x.size * y.shape[1] < WORTH_SHARING
    share(len(codes), lambda first, last: _rows(x, weight, y, first, last), alone=few)
    return y


def packed_product(x, codes, scale, minimum):
    """Compiled twin of `kernels.packed.packed_product`: codes become numbers in the cache, a panel at a time."""
    if x.dtype == np.float64:
        return row_product(x, packed_expand(codes, scale, minimum))
    inputs, y = x.shape[1], np.empty((len(x), len(codes) * TILE), x.dtype)
    sizes = len(x), inputs, y.shape[1], codes.size, inputs // scale.shape[1], minimum.size
    words = np.array([*map(address, (x, codes, scale, minimum, y)), *sizes], np.int64)
    few = x.size * y.shape[1] < WORTH_SHARING
    share_calls(_panel.address, words, y.shape[1] // LANES, alone=few, keep=(x, codes, scale, minimum, y))
    return y


def packed_expand(codes, scale, minimum, out=None):
    """Compiled twin of `kernels.packed.packed_expand`."""
    tiles, inputs = len(codes), 2 * codes.shape[1]
    weights = np.empty((inputs, tiles * TILE), scale.dtype) if out is None else out
    weight = codes.reshape(-1).view(np.uint8), scale.reshape(-1), minimum.reshape(-1), inputs // scale.shape[1]
    few = weights.size < WORTH_SHARING // 4  # to write a number takes as long as four products
    share(tiles, lambda first, last: _expand(weight, weights, first, last), alone=few)
    return weights


@compiled
def _rows(x, weight, y, first, last):
    rows, inputs = x.shape
    whole, sums = np.empty((rows, 2 * inputs), np.int16), np.empty((rows, inputs // 8), x.dtype)
    scale = np.empty((rows, -(-inputs // products.BLOCK)), x.dtype)
    for n in range(rows):
        products.split_activations(x[n], whole[n], scale[n], sums[n])
    for t in range(first, last):
        for n in range(rows):
            products.multiply(whole[n], scale[n], sums[n], *weight, y[n], t, t + 1)


@compiled
def _expand(weight, weights, first, last):
    """The tiles first … last - 1 of the numbers (inputs, tiles · 64)."""
    inputs, width = weights.shape
    for column in range(first * TILE, last * TILE, TILE):
        _numbers(weight, inputs, column, TILE, 0, inputs, weights.reshape(-1), column, width)


@compiled
def _numbers(weight, inputs, column, wide, start, stop, out, at, row):
    """What the codes stand for, of `wide` outputs of a tile from `column` on and of the inputs start … stop - 1.

    The first stands at out[at], the next output beside it, the next input `row` places further.
    """
    codes, scale, minimum, group = weight
    four_bits, kind = codes.size < scale.size * group, scale.dtype.type
    shift = kind(-8 if four_bits else 0)  # where codes count from, if there is no minimum
    tile, first = column // TILE, column % TILE
    while start < stop:
        end = min(stop, (start // group + 1) * group)
        for n in range(0, wide, 16):
            place = (tile * (inputs // group) + start // group) * TILE + first + n
            s, to = vectors.load(scale, place), at + n
            least = vectors.add_product(vectors.spread(kind(0)), s, vectors.spread(shift))
            if minimum.size:
                least = vectors.load(minimum, place)
            for i in range(start, end, 2):
                if four_bits:
                    w = vectors.nibbles(vectors.words(codes, (tile * inputs + i) * 32), (first + n) // 16)
                else:
                    w = vectors.signed_bytes(codes, (tile * inputs + i) * TILE + 2 * (first + n))
                even, odd = vectors.bits(w, 0, 16), vectors.bits(w, 16, 16)
                vectors.store(out, to, vectors.add_product(least, vectors.as_numbers(even, scale), s))
                vectors.store(out, to + row, vectors.add_product(least, vectors.as_numbers(odd, scale), s))
                to += 2 * row
        at += (end - start) * row
        start = end


@compiled(signature=SIGNATURE)
def _panel(words, share):
    """LANES columns of y = x W. What a panel of codes stands for meets all rows while it is near.

    Two threads get equal numbers of such panels where whole tiles would be an odd number.
    """
    told = carray(whole(words), (11,))
    rows, inputs, width, group, column = told[5], told[6], told[7], told[9], share * LANES
    x, y = carray(floats(told[0]), (rows * inputs,)), carray(floats(told[4]), (rows * width,))
    codes, scale = carray(bytes_at(told[1]), (told[8],)), carray(floats(told[2]), (inputs // group * width,))
    weight = codes, scale, carray(floats(told[3]), (told[10],)), group
    panel = np.empty(DEPTH * LANES, np.float32)
    for start in range(0, inputs, DEPTH):
        deep, r, add = min(DEPTH, inputs - start), 0, start > 0
        _numbers(weight, inputs, column, LANES, start, start + deep, panel, 0, LANES)
        while r < rows:
            at, to = r * inputs + start, r * width + column
            if r + ROWS <= rows:
                multiply_tile(x, at, inputs, 1, panel, 0, LANES, deep, y, to, width, add)
                r += ROWS
            elif r + FEW <= rows:
                multiply_few_rows(x, at, inputs, 1, panel, 0, LANES, deep, y, to, width, add)
                r += FEW
            else:
                multiply_narrow_row(x, at, inputs, 1, panel, 0, LANES, deep, y, to, width, add)
                r += 1
