"""Compiled version of `kernels.row_products`: tiles of registers, over panels of the matrix that stay in the cache.

A panel is as wide as a tile and DEPTH deep. It is copied, with zeros where the matrix ends, and then met by a tile of
ROWS rows after another. Sums that go on in the next panel are put down and taken up again unchanged. A matrix that lies
the other way round (a tied head) is turned on the way, square by square. FEW rows do not wait for panels, which take
longer to copy than to read: they meet some rows of the matrix after others, where they lie.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dispatch import compiled
from ..sharing import share
from .registers import (
    BYTES,
    MOST_BYTES,
    MOST_ROWS,
    ROWS,
    SQUARE,
    as_columns,
    as_rows,
    copy_lanes,
    multiply_narrow_row,
    multiply_row,
    multiply_tile,
    multiply_turned,
    up,
)

DEPTH = (16 << 10) // BYTES  # of float32: a panel takes half of the first cache
PANELS = 4  # copied at once, so that more of each row of the matrix is read along
BLOCK = 20 * MOST_ROWS  # rows whose stretch of DEPTH stays in the second cache
FEW = 16  # rows at most that meet the matrix where it lies
TOGETHER = 8  # rows of the matrix that one row of x meets side by side: reading all along, as memory likes it
ALONE = 1 << 21  # products that are done before another thread would have come


def row_product(x, matrix):
    """Compiled twin of `kernels.row_products.row_product`."""
    (count, depth), outputs = x.shape, matrix.shape[1]
    if not count or not outputs or not depth:
        return np.zeros((count, outputs), x.dtype)
    upright = matrix.T.flags.c_contiguous and not matrix.flags.c_contiguous
    if not (upright or matrix.flags.c_contiguous) or not matrix.flags.aligned:
        matrix = np.array(matrix, order="C")
    flat = as_strided(matrix, (matrix.size,), (matrix.itemsize,), writeable=False)
    rows = np.array(x, order="C").reshape(-1)  # a copy, writable: one type for every call
    grouped = count > (1 if upright else FEW)
    if grouped:
        rows = _as_groups(rows, count, depth)
    most = MOST_BYTES // x.itemsize
    y = np.empty((up(count, ROWS) if grouped else count, up(outputs, most)), x.dtype)
    panels = -(-outputs // most)

    def work(first, last):
        _row_product(rows, grouped, flat, upright, depth, outputs, first * most, min(last * most, outputs), y)

    share(panels, work, alone=count * depth * outputs < ALONE)
    y = y[:count, :outputs]
    return y if y.flags.c_contiguous else np.ascontiguousarray(y)


@compiled
def _as_groups(x, count, depth):
    """The rows in groups of ROWS, in each of which the ROWS numbers of a place stand together."""
    rows = np.empty(up(count, ROWS) * depth, x.dtype)
    as_columns(x, 0, depth, count, depth, ROWS, rows)
    return rows


@compiled
def _row_product(x, grouped, matrix, upright, depth, outputs, first, last, y):
    """Columns first … last - 1 of y. x: few rows as they are, or grouped as `_as_groups` lays them out."""
    rows, stride = y.shape
    wide = PANELS * BYTES // y.itemsize
    lanes, square = BYTES // y.itemsize, SQUARE // y.itemsize
    panels = np.empty(DEPTH * wide, y.dtype)
    if upright and not grouped:  # one row
        deep = depth // square * square
        whole = first + (last - first) // lanes * lanes if deep else first
        for column in range(first, whole, lanes):
            multiply_turned(x, 0, matrix, column * depth, depth, deep, y, column)
            if deep < depth:
                as_columns(matrix, column * depth + deep, depth, lanes, depth - deep, lanes, panels)
                multiply_narrow_row(x, deep, 0, 1, panels, 0, lanes, depth - deep, y, column, 0, True)
        first = whole
    elif not grouped:
        whole = first + (last - first) // wide * wide
        for start in range(0, depth, TOGETHER):
            for column in range(first, whole, wide):
                for r in range(rows):
                    multiply_row(
                        x, r * depth + start, 0, 1, matrix, start * outputs + column, outputs,
                        min(TOGETHER, depth - start), y, r * stride + column, 0, start > 0,
                    )  # fmt: skip
        first = whole
    for column in range(first, last, wide):
        here = min(wide, last - column)
        count, whole = -(-here // lanes), here // lanes
        for start in range(0, depth, DEPTH):
            deep = min(DEPTH, depth - start)
            if upright:
                as_columns(matrix, column * depth + start, depth, here, deep, lanes, panels)
            else:
                for p in range(deep):
                    for n in range(whole):
                        at = (start + p) * outputs + column + n * lanes
                        copy_lanes(matrix, at, panels, (n * deep + p) * lanes)
                if whole < count:
                    at, rest = start * outputs + column + whole * lanes, panels[whole * deep * lanes :]
                    as_rows(matrix, at, outputs, deep, here - whole * lanes, y.dtype.type(1.0), deep, lanes, rest)
            for low in range(0, rows, BLOCK):
                for n in range(count):
                    panel, at = n * deep * lanes, column + n * lanes
                    if not grouped:
                        for r in range(rows):
                            multiply_narrow_row(
                                x, r * depth + start, 0, 1, panels, panel, lanes, deep, y, r * stride + at, 0, start > 0
                            )
                        continue
                    for r in range(low, min(low + BLOCK, rows), ROWS):
                        multiply_tile(
                            x, r * depth + start * ROWS, 1, ROWS, panels, panel, lanes, deep, y, r * stride + at,
                            stride, start > 0,
                        )  # fmt: skip
