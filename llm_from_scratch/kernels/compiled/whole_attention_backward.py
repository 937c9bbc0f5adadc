"""The backward of `compiled.whole_attention`: by tiles, a strip of queries and some keys; the log-sum-exp is known.

Five products a tile: the scores again, the gradient of the probabilities, and what reaches queries, keys and values.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dispatch import compiled
from ..sharing import share
from . import elementary
from .registers import BYTES, MOST_BYTES, MOST_ROWS, ROWS, as_columns, as_rows, hand_out, multiply_tile, up
from .scores import bias_of, biased, documents_of, visible

STRIP = 4 * MOST_ROWS  # queries that are worked on together: keys are read once for all of them
KEYS = 192  # keys in a tile of the backward, or in a stretch of the sum over values: what the nearest caches hold
ALONE = 1 << 17  # scores of a row of the batch; fewer are done before another thread would have come
GAP = 16  # between the rows of a strip, or rows of 2^n numbers would meet in one set of the cache


def attend_backward(dy, q, k, v, y, log_sum_exp, needs, offset, *masking):
    """Compiled twin of `kernels.whole_attention.attend_backward`."""
    log_sum_exp, scale, *masks = plain((log_sum_exp, *masking))
    gradients = [np.empty((x.shape[0], x.shape[2], x.shape[1], x.shape[3]), x.dtype) for x in (q, k, v)]
    gradients = [x.transpose(0, 2, 1, 3) for x in gradients]
    arrays = [part for x in (dy, q, k, v, y) for part in memory(x)]
    arrays += [part for x in gradients for part in memory(x, True)]
    sizes = (*k.shape[1:3], q.shape[3], v.shape[3])
    wanted = tuple(bool(need) for need in needs)

    def work(first, last):
        _attend_backward(*arrays, log_sum_exp, first, last, sizes, wanted, int(offset), q.dtype.type(scale), *masks)

    share(k.shape[0] * k.shape[1], work, alone=q.shape[1] * q.shape[2] * k.shape[2] < ALONE)
    return tuple(gradient if need else None for gradient, need in zip(gradients, wanted))


def plain(masking):
    """What there is besides q, k, v, arrays writable and contiguous: one type for every call."""
    return [x if not isinstance(x, np.ndarray) or x.flags.carray else np.array(x, order="C") for x in masking]


def memory(x, writeable=False):
    """An array as the flat stretch of memory that it lies in, and its strides in entries: one type for every layout."""
    size = x.itemsize
    together = x.transpose(0, 2, 1, 3)  # a token's heads side by side: the usual case, and quickly told
    if together.flags.c_contiguous and x.flags.aligned:
        flat = together.reshape(-1)
        flat.flags.writeable = writeable
        return flat, (x.strides[0] // size, x.strides[1] // size, x.strides[2] // size)
    if x.strides[3] != size or any(s < 0 or s % size for s in x.strides) or not x.flags.aligned:
        x = np.array(x, order="C")
    steps = tuple(s // size for s in x.strides[:3])
    span = x.shape[3] + sum((n - 1) * step for n, step in zip(x.shape, steps))
    return as_strided(x, (span,), (size,), writeable=writeable), steps


@compiled
def _attend_backward(
    dy, dy_step, q, q_step, k, k_step, v, v_step, y, y_step, dq, dq_step, dk, dk_step, dv, dv_step, log_sum_exp,
    first_unit, last_unit, sizes, needs, offset, scale, causal, window, prefixes, slopes, key_bias, segments,
):  # fmt: skip
    kind = log_sum_exp.dtype.type
    zero, one, tiny = kind(0.0), kind(1.0), kind(1.1754943508222875e-38)
    key_heads, keys, width, wide_v = sizes
    _, heads, length = log_sum_exp.shape
    group = heads // key_heads
    lanes, most = BYTES // log_sum_exp.itemsize, MOST_BYTES // log_sum_exp.itemsize
    wide, out_width, stride = up(width, most), up(wide_v, most), KEYS + GAP
    padded, rows = up(keys, KEYS), up(length, STRIP)
    key_columns, value_columns = np.empty(padded * width, dy.dtype), np.empty(padded * wide_v, dy.dtype)
    key_rows, queries = np.empty(padded * wide, dy.dtype), np.empty(rows * wide, dy.dtype)
    arriving, to_queries = np.empty(rows * out_width, dy.dtype), np.empty(rows * wide, dy.dtype)
    to_keys, to_values = np.empty(KEYS * wide, dy.dtype), np.empty(KEYS * out_width, dy.dtype)
    weights, dscores = np.zeros(STRIP * stride, dy.dtype), np.zeros(STRIP * stride, dy.dtype)
    delta = np.empty(rows, dy.dtype)
    lows, highs = np.empty(STRIP // ROWS, np.int64), np.empty(STRIP // ROWS, np.int64)
    for unit in range(first_unit, last_unit):
        b, shared = unit // key_heads, unit % key_heads
        as_columns(k, b * k_step[0] + shared * k_step[1], k_step[2], keys, width, lanes, key_columns)
        as_columns(v, b * v_step[0] + shared * v_step[1], v_step[2], keys, wide_v, lanes, value_columns)
        as_rows(k, b * k_step[0] + shared * k_step[1], k_step[2], keys, width, one, keys, wide, key_rows)
        prefix = prefixes[b] if prefixes.size else 0
        documents = documents_of(segments, b)
        for h in range(shared * group, (shared + 1) * group):
            slope = slopes[h] if slopes.size else zero
            bias = bias_of(key_bias, b, h)
            as_rows(q, b * q_step[0] + h * q_step[1], q_step[2], length, width, scale, rows, wide, queries)
            as_rows(dy, b * dy_step[0] + h * dy_step[1], dy_step[2], length, wide_v, one, rows, out_width, arriving)
            for t in range(length):
                at, along = b * y_step[0] + h * y_step[1] + t * y_step[2], zero
                grow, said = arriving[t * out_width : t * out_width + wide_v], y[at : at + wide_v]
                for e in range(said.size):
                    along += grow[e] * said[e]
                delta[t] = along
            to_queries[:] = zero
            for key in range(0, keys, KEYS):
                here = min(KEYS, keys - key)
                to_keys[:] = zero
                to_values[:] = zero
                for start in range(0, length, STRIP):
                    count = min(STRIP, length - start)
                    groups = -(-count // ROWS)
                    for g in range(groups):
                        i = offset + start + g * ROWS
                        lows[g] = visible(i, key, here, causal, window, prefix)[0]
                        highs[g] = visible(i + min(ROWS, count - g * ROWS) - 1, key, here, causal, window, prefix)[1]
                    if highs[groups - 1] <= lows[0]:
                        continue
                    for panel in range(lows[0] // lanes * lanes, highs[groups - 1], lanes):
                        for g in range(groups):
                            if lows[g] < panel + lanes and panel < highs[g]:
                                multiply_tile(
                                    queries, (start + g * ROWS) * wide, wide, 1, key_columns, (key + panel) * width,
                                    lanes, width, weights, g * ROWS * stride + panel, stride, False,
                                )  # fmt: skip
                                multiply_tile(
                                    arriving, (start + g * ROWS) * out_width, out_width, 1, value_columns,
                                    (key + panel) * wide_v, lanes, wide_v, dscores, g * ROWS * stride + panel, stride,
                                    False,
                                )  # fmt: skip
                    for r in range(count):
                        i = offset + start + r
                        low, high = visible(i, key, here, causal, window, prefix)
                        lse = log_sum_exp[b, h, start + r]
                        high = low if lse == -np.inf else high
                        row, drow = weights[r * stride : r * stride + KEYS], dscores[r * stride : r * stride + KEYS]
                        run, drun = row[low:high], drow[low:high]
                        biased(
                            run, i, key + low, slope, bias[key + low : key + high] if bias.size else bias,
                            documents[i] if documents.size else 0,
                            documents[key + low : key + high] if documents.size else documents,
                        )  # fmt: skip
                        along = delta[start + r]
                        for n in range(run.size):
                            p = elementary.exp(run[n] - lse)
                            p = zero if p < tiny else p
                            run[n] = p
                            drun[n] = p * (drun[n] - along)
                        row[:low] = zero
                        row[high:] = zero
                        drow[:low] = zero
                        drow[high:] = zero
                    if needs[0]:
                        for g in range(groups):
                            low, high, at = lows[g], highs[g], (start + g * ROWS) * wide
                            if low < high:
                                for d in range(0, wide, lanes):
                                    multiply_tile(
                                        dscores, g * ROWS * stride + low, stride, 1, key_rows, (key + low) * wide + d,
                                        wide, high - low, to_queries, at + d, wide, True,
                                    )  # fmt: skip
                    first, last = 0, 0
                    for column in range(0, here, ROWS):  # ROWS keys, and the rows that see one of them
                        while first < groups and highs[first] <= column:
                            first += 1
                        while last < groups and lows[last] < column + ROWS:
                            last += 1
                        low, high = first * ROWS, min(last * ROWS, count)
                        if low < high:
                            at = low * stride + column
                            for d in range(0, wide if needs[1] else 0, lanes):
                                multiply_tile(
                                    dscores, at, 1, stride, queries, (start + low) * wide + d, wide, high - low,
                                    to_keys, column * wide + d, wide, True,
                                )  # fmt: skip
                            for e in range(0, out_width if needs[2] else 0, lanes):
                                multiply_tile(
                                    weights, at, 1, stride, arriving, (start + low) * out_width + e, out_width,
                                    high - low, to_values, column * out_width + e, out_width, True,
                                )  # fmt: skip
                again = h > shared * group  # another head has left its part there
                at = b * dk_step[0] + shared * dk_step[1] + key * dk_step[2]
                hand_out(to_keys, wide, here, one, dk, at, dk_step[2], width, again)
                at = b * dv_step[0] + shared * dv_step[1] + key * dv_step[2]
                hand_out(to_values, out_width, here, one, dv, at, dv_step[2], wide_v, again)
            at = b * dq_step[0] + h * dq_step[1]
            hand_out(to_queries, wide, length, scale, dq, at, dq_step[2], width, False)
