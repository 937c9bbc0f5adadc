"""Compiled versions of `kernels.attention`.

Causality and a window allow one run of neighbouring keys a query, so the loops go over that run alone and the rest of
the row is set to zero. Each pass is written over a slice from its first element, the form that LLVM vectorises.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled
from . import elementary
from .scores import bias_of, biased, documents_of, seen, to_probabilities, visible


def _check(scores, rows, tile, masking):
    """The bounds that the loops below rely on."""
    b, h, r, c = scores.shape
    batch, head, query, position, key = tile
    _, _, _, prefix, slopes, key_bias, segments = masking
    inside = min(tile) >= 0 and batch + b <= rows.shape[0] and head + h <= rows.shape[1] and query + r <= rows.shape[2]
    inside &= not prefix.size or batch + b <= prefix.size
    inside &= not slopes.size or head + h <= slopes.size
    inside &= not key_bias.size or (
        key_bias.shape[0] in (1, rows.shape[0])
        and key_bias.shape[1] in (1, rows.shape[1])
        and key + c <= key_bias.shape[2]
    )
    inside &= not segments.size or (batch + b <= segments.shape[0] and max(key + c, position + r) <= segments.shape[1])
    if not inside:
        raise ValueError(f"the tile {tuple(tile)} of shape {scores.shape} reaches beyond the arrays it describes")


def softmax_tile(scores, log_sum_exp, inverse_sum, tile, *masking):
    """Compiled twin of `kernels.attention.softmax_tile`."""
    _check(scores, log_sum_exp, tile, masking)
    if inverse_sum.shape != log_sum_exp.shape:
        raise ValueError(f"inverse_sum has shape {inverse_sum.shape}, log_sum_exp {log_sum_exp.shape}")
    scale, *masks = masking
    _softmax_tile(scores, log_sum_exp, inverse_sum, *tile, scores.dtype.type(scale), *masks)


def softmax_tile_backward(scores, dprobabilities, log_sum_exp, delta, tile, *masking):
    """Compiled twin of `kernels.attention.softmax_tile_backward`."""
    _check(scores, log_sum_exp, tile, masking)
    if dprobabilities.shape != scores.shape or delta.shape != log_sum_exp.shape:
        raise ValueError("dprobabilities must have the shape of scores, and delta that of log_sum_exp")
    scale, *masks = masking
    _softmax_tile_backward(scores, dprobabilities, log_sum_exp, delta, *tile, scores.dtype.type(scale), *masks)


@compiled
def _softmax_tile(
    scores, log_sum_exp, inverse_sum, batch, head, query, position, key, scale, causal, window, prefix, slopes,
    key_bias, segments,
):  # fmt: skip
    zero = scores.dtype.type(0.0)
    for b in range(scores.shape[0]):
        first_keys = prefix[batch + b] if prefix.size else 0
        documents = documents_of(segments, batch + b)
        for h in range(scores.shape[1]):
            slope = slopes[head + h] if slopes.size else zero
            bias = bias_of(key_bias, batch + b, head + h)
            for r in range(scores.shape[2]):
                row, i = scores[b, h, r], position + r
                mine = documents[i] if documents.size else 0
                lo, hi = seen(i, key, row.size, causal, window, first_keys, bias, mine, documents)
                run = row[lo:hi]
                for n in range(run.size):
                    run[n] *= scale
                log_sum_exp[batch + b, head + h, query + r], inverse_sum[batch + b, head + h, query + r] = (
                    to_probabilities(
                        run, i, key + lo, slope, bias[key + lo : key + hi] if bias.size else bias, mine,
                        documents[key + lo : key + hi] if documents.size else documents,
                    )
                )  # fmt: skip
                row[:lo] = zero
                row[hi:] = zero


@compiled
def _softmax_tile_backward(
    scores, dprobabilities, log_sum_exp, delta, batch, head, query, position, key, scale, causal, window, prefix,
    slopes, key_bias, segments,
):  # fmt: skip
    kind = scores.dtype.type
    zero = kind(0.0)
    tiny = kind(1.1754943508222875e-38)
    for b in range(scores.shape[0]):
        first_keys = prefix[batch + b] if prefix.size else 0
        bias_row = batch + b if key_bias.shape[0] > 1 else 0
        for h in range(scores.shape[1]):
            slope = slopes[head + h] if slopes.size else zero
            bias_head = head + h if key_bias.shape[1] > 1 else 0
            for r in range(scores.shape[2]):
                row, drow = scores[b, h, r], dprobabilities[b, h, r]
                i = position + r
                lo, hi = visible(i, key, row.size, causal, window, first_keys)
                lse = log_sum_exp[batch + b, head + h, query + r]
                if lse == -np.inf:
                    hi = lo
                run, drun = row[lo:hi], drow[lo:hi]
                bias = key_bias[bias_row, bias_head, key + lo : key + hi] if key_bias.size else run[:0]
                theirs = segments[batch + b, key + lo : key + hi] if segments.size else segments.reshape(-1)[:0]
                mine = segments[batch + b, i] if segments.size else 0
                for n in range(run.size):
                    run[n] *= scale
                biased(run, i, key + lo, slope, bias, mine, theirs)
                along = delta[batch + b, head + h, query + r]
                for n in range(run.size):
                    p = elementary.exp(run[n] - lse)
                    p = zero if p < tiny else p
                    run[n] = p
                    drun[n] = scale * p * (drun[n] - along)
                row[:lo] = zero
                row[hi:] = zero
                drow[:lo] = zero
                drow[hi:] = zero
