"""Compiled version of `kernels.whole_attention`: a head at a time, its products in registers.

Keys and values of a head are laid out once for the products that want them (`_as_columns`, `_as_rows`), zeros where a
tile of registers reaches beyond them. Then a strip of queries meets all keys that its rows may see, so that a row's
maximum is known before its exponentials; the backward goes by tiles, because there the log-sum-exp is known.

A row's result depends on nothing but its query and the keys that it sees: each sum runs over those keys from the first
to the last, wherever they stand and whatever rows share the strip. Keys that padding hides at either end are left out
of the run, not just out of the sum.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled
from ..sharing import share
from .registers import BYTES, MOST_BYTES, ROWS, as_columns, as_rows, hand_out, multiply_narrow_row, multiply_tile, up
from .scores import bias_of, documents_of, seen, to_probabilities, visible
from .whole_attention_backward import ALONE, GAP, KEYS, STRIP, attend_backward, memory, plain

__all__ = ["attend", "attend_backward"]
FEW = 4  # so few queries read values as they lie, and no tile waits for more rows: the same sums for less


def attend(q, k, v, offset, *masking):
    """Compiled twin of `kernels.whole_attention.attend`."""
    scale, *masks = plain(masking)
    batch, heads, length, _ = q.shape
    y = np.empty((batch, length, heads, v.shape[3]), q.dtype).transpose(0, 2, 1, 3)
    log_sum_exp = np.empty((batch, heads, length), q.dtype)
    arrays = [part for x in (q, k, v) for part in memory(x)] + [*memory(y, True)]
    sizes = (*k.shape[1:3], q.shape[3], v.shape[3])

    loop = _attend_few if length <= FEW else _attend

    def work(first, last):
        loop(*arrays, log_sum_exp, first, last, sizes, int(offset), q.dtype.type(scale), *masks)

    share(batch * heads, work, alone=heads * length * k.shape[2] < ALONE)
    return y, log_sum_exp


@compiled
def _attend(
    q, q_step, k, k_step, v, v_step, y, y_step, log_sum_exp, first_unit, last_unit, sizes, offset, scale, causal,
    window, prefixes, slopes, key_bias, segments,
):  # fmt: skip
    kind = log_sum_exp.dtype.type
    zero, one = kind(0.0), kind(1.0)
    key_heads, keys, width, wide_v = sizes
    _, heads, length = log_sum_exp.shape
    lanes = BYTES // log_sum_exp.itemsize
    most = MOST_BYTES // log_sum_exp.itemsize
    out_width, stride = up(wide_v, most), up(keys, most) + GAP
    columns = np.empty(up(keys, most) * width, log_sum_exp.dtype)
    values = np.empty(keys * out_width, log_sum_exp.dtype)
    queries, scores = np.empty(STRIP * width, log_sum_exp.dtype), np.empty(STRIP * stride, log_sum_exp.dtype)
    out, inverse = np.empty(STRIP * out_width, log_sum_exp.dtype), np.empty(STRIP, log_sum_exp.dtype)
    lows, highs = np.empty(STRIP // ROWS, np.int64), np.empty(STRIP // ROWS, np.int64)
    packed = -1
    for unit in range(first_unit, last_unit):
        b, h = unit // heads, unit % heads
        shared = h // (heads // key_heads)
        if packed != b * key_heads + shared:
            packed = b * key_heads + shared
            as_columns(k, b * k_step[0] + shared * k_step[1], k_step[2], keys, width, lanes, columns)
            as_rows(v, b * v_step[0] + shared * v_step[1], v_step[2], keys, wide_v, one, keys, out_width, values)
        prefix = prefixes[b] if prefixes.size else 0
        slope = slopes[h] if slopes.size else zero
        bias = bias_of(key_bias, b, h)
        documents = documents_of(segments, b)
        for start in range(0, length, STRIP):
            count = min(STRIP, length - start)
            groups = -(-count // ROWS)
            as_rows(
                q, b * q_step[0] + h * q_step[1] + start * q_step[2], q_step[2], count, width, scale, groups * ROWS,
                width, queries,
            )  # fmt: skip
            for g in range(groups):
                i = offset + start + g * ROWS
                lows[g] = visible(i, 0, keys, causal, window, prefix)[0]
                highs[g] = visible(i + min(ROWS, count - g * ROWS) - 1, 0, keys, causal, window, prefix)[1]
            origin = lows[0] // lanes * lanes  # the key in column 0
            for panel in range(origin, highs[groups - 1], lanes):
                for g in range(groups):
                    if lows[g] < panel + lanes and panel < highs[g]:
                        multiply_tile(
                            queries, g * ROWS * width, width, 1, columns, panel * width, lanes, width,
                            scores, g * ROWS * stride + panel - origin, stride, False,
                        )  # fmt: skip
            for r in range(count):
                i, g = offset + start + r, r // ROWS
                mine = documents[i] if documents.size else 0
                low, high = seen(i, 0, keys, causal, window, prefix, bias, mine, documents)
                row = scores[r * stride + lows[g] - origin : r * stride + highs[g] - origin]
                run = row[low - lows[g] : high - lows[g]]
                log_sum_exp[b, h, start + r], inverse[r] = to_probabilities(
                    run, i, low, slope, bias[low:high] if bias.size else bias, mine,
                    documents[low:high] if documents.size else documents,
                )  # fmt: skip
                row[: low - lows[g]] = zero
                row[high - lows[g] :] = zero
            for key in range(lows[0], highs[groups - 1], KEYS):
                for g in range(groups):
                    low, high = max(lows[g], key), min(highs[g], key + KEYS)
                    if low < high:
                        for e in range(0, out_width, lanes):
                            multiply_tile(
                                scores, g * ROWS * stride + low - origin, stride, 1, values, low * out_width + e,
                                out_width, high - low, out, g * ROWS * out_width + e, out_width, low > lows[g],
                            )  # fmt: skip
            for r in range(count):
                at = b * y_step[0] + h * y_step[1] + (start + r) * y_step[2]
                to, row = y[at : at + wide_v], out[r * out_width : r * out_width + wide_v]
                if lows[r // ROWS] < highs[r // ROWS]:
                    for e in range(to.size):
                        to[e] = row[e] * inverse[r]
                else:
                    to[:] = zero


@compiled
def _attend_few(
    q, q_step, k, k_step, v, v_step, y, y_step, log_sum_exp, first_unit, last_unit, sizes, offset, scale, causal,
    window, prefixes, slopes, key_bias, segments,
):  # fmt: skip
    kind = log_sum_exp.dtype.type
    zero, one = kind(0.0), kind(1.0)
    key_heads, keys, width, wide_v = sizes
    _, heads, length = log_sum_exp.shape
    lanes = BYTES // q.itemsize
    scores, query = np.empty(keys + lanes, q.dtype), np.empty(width, q.dtype)
    panel, out = np.empty(lanes * max(keys, width), q.dtype), np.empty(up(wide_v, lanes), q.dtype)
    for unit in range(first_unit, last_unit):
        b, h = unit // heads, unit % heads
        k_at = b * k_step[0] + h // (heads // key_heads) * k_step[1]
        v_at = b * v_step[0] + h // (heads // key_heads) * v_step[1]
        prefix = prefixes[b] if prefixes.size else 0
        slope = slopes[h] if slopes.size else zero
        bias = bias_of(key_bias, b, h)
        documents = documents_of(segments, b)
        for t in range(length):
            i = offset + t
            mine = documents[i] if documents.size else 0
            low, high = seen(i, 0, keys, causal, window, prefix, bias, mine, documents)
            run, count = scores[: high - low], high - low
            as_rows(q, b * q_step[0] + h * q_step[1] + t * q_step[2], 0, 1, width, scale, 1, width, query)
            for n in range(0, count, lanes):
                as_columns(k, k_at + (low + n) * k_step[2], k_step[2], min(lanes, count - n), width, lanes, panel)
                multiply_narrow_row(query, 0, 0, 1, panel, 0, lanes, width, scores, n, 0, False)
            log_sum_exp[b, h, t], inverse = to_probabilities(
                run, i, low, slope, bias[low:high] if bias.size else bias, mine,
                documents[low:high] if documents.size else documents,
            )  # fmt: skip
            out[:] = zero
            for e in range(0, wide_v if count else 0, lanes):
                at = v_at + low * v_step[2] + e
                if e + lanes <= wide_v:
                    multiply_narrow_row(scores, 0, 0, 1, v, at, v_step[2], count, out, e, 0, False)
                else:
                    as_rows(v, at, v_step[2], count, wide_v - e, one, count, lanes, panel)
                    multiply_narrow_row(scores, 0, 0, 1, panel, 0, lanes, count, out, e, 0, False)
            at = b * y_step[0] + h * y_step[1] + t * y_step[2]
            hand_out(out, wide_v, 1, inverse, y, at, 0, wide_v, False)
