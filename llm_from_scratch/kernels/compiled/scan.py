"""Compiled versions of `kernels.scan`: a block of channels at a time, whose state stays in the nearest cache.

Inside, states are (N, d): the innermost loop runs over neighbouring channels, where everything but B and C differs, so
that it needs no sums across lanes.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled
from ..sharing import share
from . import elementary

ALONE = 1 << 20  # numbers of state that are done before another thread would have come
BLOCK = 128  # channels: 16 numbers of state each are 8 KiB in float32, and so is their part of A


def selective_scan(x, delta, A, B, C, D, state, keep, chunk):
    """Compiled twin of `kernels.scan.selective_scan`."""
    (batch, length, channels), width = x.shape, A.shape[1]
    h = np.array(state.swapaxes(1, 2), order="C")
    y, checkpoints = np.empty_like(x), np.empty((batch, -(-length // chunk), width, channels), x.dtype)
    turned, blocks = np.ascontiguousarray(A.T), -(-channels // BLOCK)

    def work(first, last):
        _forward(x, delta, turned, B, C, D, keep, int(chunk), h, y, checkpoints, first * BLOCK, last * BLOCK)

    share(blocks, work, alone=x.size * width < ALONE)
    return y, np.ascontiguousarray(h.swapaxes(1, 2)), checkpoints


def selective_scan_backward(dy, dlast, x, delta, A, B, C, D, keep, checkpoints, chunk):
    """Compiled twin of `kernels.scan.selective_scan_backward`."""
    channels, width = A.shape
    g = np.array(dlast.swapaxes(1, 2), order="C")
    dx, ddelta = np.empty_like(x), np.empty_like(x)
    dA, dB, dC = np.zeros((width, channels), x.dtype), np.zeros_like(B), np.zeros_like(C)
    dD = np.zeros(channels, x.dtype)
    turned = np.ascontiguousarray(A.T)
    _backward(dy, x, delta, turned, B, C, D, keep, checkpoints, int(chunk), g, dx, ddelta, dA, dB, dC, dD)
    return dx, ddelta, np.ascontiguousarray(dA.T), dB, dC, dD, np.ascontiguousarray(g.swapaxes(1, 2))


@compiled
def _forward(x, delta, A, B, C, D, keep, chunk, h, y, checkpoints, first, last):
    """Channels first … last - 1, or as many as there are."""
    width, channels = A.shape
    inputs = np.empty(BLOCK, x.dtype)
    for b in range(x.shape[0]):
        for low in range(first, min(last, channels), BLOCK):
            high = min(low + BLOCK, channels)
            direct, u = D[low:high], inputs[: high - low]
            for t in range(x.shape[1]):
                if t % chunk == 0:
                    for n in range(width):
                        saved, row = checkpoints[b, t // chunk, n, low:high], h[b, n, low:high]
                        for c in range(row.size):
                            saved[c] = row[c]
                now, step, out, going = x[b, t, low:high], delta[b, t, low:high], y[b, t, low:high], keep[b, t]
                for c in range(u.size):
                    u[c] = step[c] * now[c]
                    out[c] = direct[c] * now[c]
                for n in range(width):
                    rate, row, b_n, c_n = A[n, low:high], h[b, n, low:high], B[b, t, n], C[b, t, n]
                    for c in range(u.size):
                        value = going * elementary.exp(step[c] * rate[c]) * row[c] + u[c] * b_n
                        row[c] = value
                        out[c] += c_n * value


@compiled
def _backward(dy, x, delta, A, B, C, D, keep, checkpoints, chunk, g, dx, ddelta, dA, dB, dC, dD):
    kind = x.dtype.type
    width, channels = A.shape
    length = x.shape[1]
    decays = np.empty((chunk, width, BLOCK), x.dtype)
    states = np.empty((chunk + 1, width, BLOCK), x.dtype)  # states[0] is the one before the chunk
    inputs, dinputs, drates = np.empty((chunk, BLOCK), x.dtype), np.empty(BLOCK, x.dtype), np.empty(BLOCK, x.dtype)
    dA_chunk, dD_chunk = np.zeros((width, BLOCK), x.dtype), np.zeros(BLOCK, x.dtype)
    for b in range(x.shape[0]):
        for low in range(0, channels, BLOCK):
            high = min(low + BLOCK, channels)
            size = high - low
            direct = D[low:high]
            for number in range(checkpoints.shape[1] - 1, -1, -1):
                start = number * chunk
                steps = min(chunk, length - start)
                for n in range(width):
                    saved, row = checkpoints[b, number, n, low:high], states[0, n, :size]
                    for c in range(row.size):
                        row[c] = saved[c]
                for k in range(steps):  # forward through the chunk once more
                    now, step, u = x[b, start + k, low:high], delta[b, start + k, low:high], inputs[k, :size]
                    going = keep[b, start + k]
                    for c in range(u.size):
                        u[c] = step[c] * now[c]
                    for n in range(width):
                        rate, b_n = A[n, low:high], B[b, start + k, n]
                        before, row, decay = states[k, n, :size], states[k + 1, n, :size], decays[k, n, :size]
                        for c in range(u.size):
                            fade = going * elementary.exp(step[c] * rate[c])
                            decay[c] = fade
                            row[c] = fade * before[c] + u[c] * b_n
                for k in range(steps - 1, -1, -1):  # and back
                    t = start + k
                    now, step, u, grow = x[b, t, low:high], delta[b, t, low:high], inputs[k, :size], dy[b, t, low:high]
                    du, drate, dd = dinputs[:size], drates[:size], dD_chunk[:size]
                    for c in range(u.size):
                        du[c] = kind(0.0)
                        drate[c] = kind(0.0)
                        dd[c] += grow[c] * now[c]
                    for n in range(width):
                        b_n, c_n = B[b, t, n], C[b, t, n]
                        rate, behind, total = A[n, low:high], g[b, n, low:high], dA_chunk[n, :size]
                        before, row, decay = states[k, n, :size], states[k + 1, n, :size], decays[k, n, :size]
                        db, dc = kind(0.0), kind(0.0)
                        for c in range(u.size):
                            dc += grow[c] * row[c]
                            here = behind[c] + c_n * grow[c]
                            db += here * u[c]
                            du[c] += here * b_n
                            fading = here * decay[c]
                            along = fading * before[c]
                            drate[c] += along * rate[c]
                            total[c] += along * step[c]
                            behind[c] = fading
                        dB[b, t, n] += db
                        dC[b, t, n] += dc
                    first, second = dx[b, t, low:high], ddelta[b, t, low:high]
                    for c in range(u.size):
                        first[c] = step[c] * du[c] + direct[c] * grow[c]
                        second[c] = drate[c] + now[c] * du[c]
                # Chunk by chunk into the totals: long float32 sums keep their digits.
                for n in range(width):
                    part, total = dA_chunk[n, :size], dA[n, low:high]
                    for c in range(part.size):
                        total[c] += part[c]
                        part[c] = kind(0.0)
                part, total = dD_chunk[:size], dD[low:high]
                for c in range(part.size):
                    total[c] += part[c]
                    part[c] = kind(0.0)
