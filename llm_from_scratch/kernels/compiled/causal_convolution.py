"""Compiled versions of `kernels.causal_convolution`: one position at a time, all channels of a tap in one loop.

Filter gradients are summed in blocks of positions first, which keeps float32 sums over many of them accurate.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

BLOCK = 32  # positions summed before they are added to the total


def causal_convolution(x, weight, bias, tail, reach):
    taps, bias, tail = _prepared(x, weight, bias, tail)
    y = np.empty_like(x)
    _forward(x, taps, bias, tail, reach, y)
    return y


def causal_convolution_backward(dy, x, weight, tail, reach, needs=(True, True, True, True)):
    taps, _, tail = _prepared(x, weight, None, tail)
    need_inputs = bool(needs[0] or needs[3])
    dx = np.zeros(x.shape if need_inputs else (1, 0, 0), x.dtype)
    dtail = np.zeros(tail.shape if need_inputs else (1, 0, 0), x.dtype)
    totals = np.zeros((taps.shape[0] + 1, x.shape[2]), x.dtype)  # one row a tap, and the bias
    _backward(dy, x, taps, tail, reach, need_inputs, bool(needs[1]), bool(needs[2]), dx, dtail, totals)
    return (
        dx if needs[0] else None,
        np.ascontiguousarray(totals[:-1][::-1].T) if needs[1] else None,
        totals[-1].copy() if needs[2] else None,
        dtail if needs[3] else None,
    )


def _prepared(x, weight, bias, tail):
    """The taps as rows (W, C), the present input's first; bias and tail with zeros in place of None."""
    bias = np.zeros(x.shape[2], x.dtype) if bias is None else bias
    tail = np.zeros((len(x), weight.shape[1] - 1, x.shape[2]), x.dtype) if tail is None else tail
    return np.ascontiguousarray(weight.T[::-1]), bias, tail


@compiled
def _forward(x, taps, bias, tail, reach, y):
    before = tail.shape[1]
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            out = y[b, t]
            for c in range(out.size):
                out[c] = bias[c]
            for k in range(reach[b, t] + 1):
                row = x[b, t - k] if k <= t else tail[b, before + t - k]
                tap = taps[k]
                for c in range(out.size):
                    out[c] += tap[c] * row[c]


@compiled
def _backward(dy, x, taps, tail, reach, need_inputs, need_weight, need_bias, dx, dtail, totals):
    kind = x.dtype.type
    before = tail.shape[1]
    block = np.zeros_like(totals)
    last = totals.shape[0] - 1
    block_bias = block[last]
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            grow = dy[b, t]
            for k in range(reach[b, t] + 1):
                inside = k <= t
                if need_inputs:
                    out = dx[b, t - k] if inside else dtail[b, before + t - k]
                    tap = taps[k]
                    for c in range(grow.size):
                        out[c] += tap[c] * grow[c]
                if need_weight:
                    row = x[b, t - k] if inside else tail[b, before + t - k]
                    total = block[k]
                    for c in range(grow.size):
                        total[c] += grow[c] * row[c]
            if need_bias:
                for c in range(grow.size):
                    block_bias[c] += grow[c]
            if t % BLOCK == BLOCK - 1 or t == x.shape[1] - 1:
                for k in range(last + 1):
                    part, total = block[k], totals[k]
                    for c in range(grow.size):
                        total[c] += part[c]
                        part[c] = kind(0.0)
