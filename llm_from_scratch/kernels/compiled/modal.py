"""Compiled versions of `kernels.modal`: the innermost loops run over neighbouring channels, a block of them at a time.

A filter of T values is evaluated in blocks: with t = k b + j, R p^t = (R p^(k b)) p^j. Two tables of √T powers each,
made in float64, serve all T values, and what remains is one complex product a value, of which only the real part is
needed. Derivatives go the same way: d p^(k b + j) = (d p^(k b)) p^j + p^(k b) (d p^j).
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

BLOCK = 128  # channels: states, poles and residues of two modes are 3 KiB in float32


def modal_filter(poles, residues, length):
    """Compiled twin of `kernels.modal.modal_filter`."""
    length = int(length)
    steps = _steps(length)
    starts, inner = _tables(poles, length, steps)
    h = np.empty((length, poles.shape[0]), poles.dtype)
    _filter(_planes(_complex(residues).T * starts, h.dtype), _planes(inner, h.dtype), h)
    return h


def modal_filter_backward(dh, poles, residues):
    """Compiled twin of `kernels.modal.modal_filter_backward`."""
    steps = _steps(len(dh))
    starts, inner = _tables(poles, len(dh), steps)
    ends, slopes = _slopes(_complex(poles).T, starts, inner)
    sums = np.zeros((2, starts.shape[0], starts.shape[1], 2, dh.shape[1]), dh.dtype)
    _filter_backward(dh, _planes(inner, dh.dtype), _planes(slopes, dh.dtype), sums)
    along, across = (sums[i, :, :, 0] + 1j * sums[i, :, :, 1].astype(np.float64) for i in range(2))
    dresidues = (starts.conj() * along).sum(0)
    dpoles = _complex(residues).T.conj() * (ends.conj() * along + starts.conj() * across).sum(0)
    return _pairs(dpoles.T, dh.dtype), _pairs(dresidues.T, dh.dtype)


def modal_scan(x, poles, residues, state, keep, chunk):
    """Compiled twin of `kernels.modal.modal_scan`."""
    batch, length, _ = x.shape
    s = _channels_last(state)
    y, checkpoints = np.empty_like(x), np.empty((batch, -(-length // chunk), *s.shape[1:]), x.dtype)
    _scan(x, _channels_last(poles), _channels_last(residues), keep, int(chunk), s, y, checkpoints)
    return y, _channels_first(s), _channels_first(checkpoints)


def modal_scan_backward(dy, dlast, x, poles, residues, keep, checkpoints, chunk):
    """Compiled twin of `kernels.modal.modal_scan_backward`."""
    g, dx = _channels_last(dlast), np.empty_like(x)
    p, R = _channels_last(poles), _channels_last(residues)
    dp, dR = np.zeros_like(p), np.zeros_like(R)
    _scan_backward(dy, x, p, R, keep, _channels_last(checkpoints), int(chunk), g, dx, dp, dR)
    return dx, _channels_first(dp), _channels_first(dR), _channels_first(g)


def modal_state(x, poles, start):
    """Compiled twin of `kernels.modal.modal_state`."""
    p = _channels_last(poles)
    s = np.zeros((x.shape[0], *p.shape), x.dtype)
    _state(x, p, start, s)
    return _channels_first(s)


def _channels_last(pairs):
    """(…, C, N, 2) -> (…, N, 2, C), a copy."""
    return np.array(np.moveaxis(pairs, -3, -1), order="C")


def _channels_first(planes):
    """(…, N, 2, C) -> (…, C, N, 2)."""
    return np.ascontiguousarray(np.moveaxis(planes, -1, -3))


def _complex(pairs):
    return np.ascontiguousarray(pairs, dtype=np.float64).view(np.complex128)[..., 0]


def _pairs(z, dtype):
    return np.stack([z.real, z.imag], axis=-1).astype(dtype)


def _planes(z, dtype):
    """(K, N, C) of complex -> (K, N, 2, C)."""
    return np.stack([z.real, z.imag], axis=2).astype(dtype)


def _steps(length):
    return max(1, int(np.ceil(np.sqrt(length))))


def _tables(poles, length, steps):
    """p^0, p^b, p^2b, … and p^0 … p^(b-1), each (K, N, C) complex128."""
    p = _complex(poles).T
    inner = np.broadcast_to(p, (steps, *p.shape)).copy()
    inner[:1] = 1
    np.cumprod(inner, axis=0, out=inner)
    starts = np.broadcast_to(inner[-1] * p, (max(1, -(-length // steps)), *p.shape)).copy()
    starts[:1] = 1
    np.cumprod(starts, axis=0, out=starts)
    return starts, inner


def _slopes(p, starts, inner):
    """The derivatives by p of both tables: t p^(t-1), taken from the row before, since p may be zero."""
    steps = len(inner)
    slopes = np.zeros_like(inner)
    slopes[1:] = np.arange(1, steps)[:, None, None] * inner[:-1]
    ends = np.zeros_like(starts)
    ends[1:] = steps * np.arange(1, len(starts))[:, None, None] * starts[:-1] * inner[-1]
    return ends, slopes


@compiled
def _filter(starts, inner, h):
    steps, width = inner.shape[0], inner.shape[1]
    length, channels = h.shape
    kind = h.dtype.type
    for low in range(0, channels, BLOCK):
        high = min(low + BLOCK, channels)
        for t in range(length):
            k, j = t // steps, t % steps
            out = h[t, low:high]
            for c in range(out.size):
                out[c] = kind(0.0)
            for n in range(width):
                a_re, a_im = starts[k, n, 0, low:high], starts[k, n, 1, low:high]
                q_re, q_im = inner[j, n, 0, low:high], inner[j, n, 1, low:high]
                for c in range(out.size):
                    out[c] += a_re[c] * q_re[c] - a_im[c] * q_im[c]


@compiled
def _filter_backward(dh, inner, slopes, sums):
    """sums[0, k] = Σ_j dh conj(p^j), sums[1, k] = Σ_j dh conj(j p^(j-1))."""
    steps, width = inner.shape[0], inner.shape[1]
    length, channels = dh.shape
    for low in range(0, channels, BLOCK):
        high = min(low + BLOCK, channels)
        for t in range(length):
            k, j = t // steps, t % steps
            grow = dh[t, low:high]
            for n in range(width):
                for kind in range(2):
                    table = inner if kind == 0 else slopes
                    q_re, q_im = table[j, n, 0, low:high], table[j, n, 1, low:high]
                    s_re, s_im = sums[kind, k, n, 0, low:high], sums[kind, k, n, 1, low:high]
                    for c in range(grow.size):
                        s_re[c] += grow[c] * q_re[c]
                        s_im[c] -= grow[c] * q_im[c]


@compiled
def _scan(x, p, R, keep, chunk, s, y, checkpoints):
    width, channels = p.shape[0], p.shape[2]
    kind = x.dtype.type
    for b in range(x.shape[0]):
        for low in range(0, channels, BLOCK):
            high = min(low + BLOCK, channels)
            for t in range(x.shape[1]):
                now, out, going = x[b, t, low:high], y[b, t, low:high], keep[b, t]
                if t % chunk == 0:
                    for n in range(width):
                        for part in range(2):
                            kept, held = checkpoints[b, t // chunk, n, part, low:high], s[b, n, part, low:high]
                            for c in range(now.size):
                                kept[c] = held[c]
                for c in range(now.size):
                    out[c] = kind(0.0)
                for n in range(width):
                    p_re, p_im, s_re = p[n, 0, low:high], p[n, 1, low:high], s[b, n, 0, low:high]
                    R_re, R_im, s_im = R[n, 0, low:high], R[n, 1, low:high], s[b, n, 1, low:high]
                    for c in range(now.size):
                        re = going * (p_re[c] * s_re[c] - p_im[c] * s_im[c]) + now[c]
                        im = going * (p_re[c] * s_im[c] + p_im[c] * s_re[c])
                        s_re[c] = re
                        s_im[c] = im
                        out[c] += R_re[c] * re - R_im[c] * im


@compiled
def _scan_backward(dy, x, p, R, keep, checkpoints, chunk, g, dx, dp, dR):
    width, channels = p.shape[0], p.shape[2]
    kind = x.dtype.type
    states = np.empty((chunk + 1, width, 2, BLOCK), x.dtype)
    parts = np.zeros((2, width, 2, BLOCK), x.dtype)  # sums over a chunk: long float32 sums keep their digits
    for b in range(x.shape[0]):
        for low in range(0, channels, BLOCK):
            high = min(low + BLOCK, channels)
            size = high - low
            for number in range(checkpoints.shape[1] - 1, -1, -1):
                start = number * chunk
                steps = min(chunk, x.shape[1] - start)
                for n in range(width):
                    for part in range(2):
                        row, held = states[0, n, part, :size], checkpoints[b, number, n, part, low:high]
                        for c in range(row.size):
                            row[c] = held[c]
                for k in range(steps):  # through the chunk again …
                    now, going = x[b, start + k, low:high], keep[b, start + k]
                    for n in range(width):
                        p_re, a_re, s_re = p[n, 0, low:high], states[k, n, 0, :size], states[k + 1, n, 0, :size]
                        p_im, a_im, s_im = p[n, 1, low:high], states[k, n, 1, :size], states[k + 1, n, 1, :size]
                        for c in range(now.size):
                            s_re[c] = going * (p_re[c] * a_re[c] - p_im[c] * a_im[c]) + now[c]
                            s_im[c] = going * (p_re[c] * a_im[c] + p_im[c] * a_re[c])
                for k in range(steps - 1, -1, -1):  # … and back
                    t = start + k
                    grow, out, going = dy[b, t, low:high], dx[b, t, low:high], keep[b, t]
                    for c in range(grow.size):
                        out[c] = kind(0.0)
                    for n in range(width):
                        p_re, R_re, g_re = p[n, 0, low:high], R[n, 0, low:high], g[b, n, 0, low:high]
                        p_im, R_im, g_im = p[n, 1, low:high], R[n, 1, low:high], g[b, n, 1, low:high]
                        a_re, s_re = states[k, n, 0, :size], states[k + 1, n, 0, :size]
                        a_im, s_im = states[k, n, 1, :size], states[k + 1, n, 1, :size]
                        dp_re, dp_im = parts[0, n, 0, :size], parts[0, n, 1, :size]
                        dR_re, dR_im = parts[1, n, 0, :size], parts[1, n, 1, :size]
                        for c in range(grow.size):
                            dR_re[c] += grow[c] * s_re[c]
                            dR_im[c] -= grow[c] * s_im[c]
                        for c in range(grow.size):
                            re = g_re[c] + grow[c] * R_re[c]
                            out[c] += re
                            g_re[c] = going * re
                            g_im[c] = going * (g_im[c] - grow[c] * R_im[c])
                        for c in range(grow.size):
                            re, im = g_re[c], g_im[c]
                            dp_re[c] += re * a_re[c] + im * a_im[c]
                            dp_im[c] += im * a_re[c] - re * a_im[c]
                        for c in range(grow.size):
                            re, im = g_re[c], g_im[c]
                            g_re[c] = re * p_re[c] + im * p_im[c]
                            g_im[c] = im * p_re[c] - re * p_im[c]
                for n in range(width):
                    for part in range(2):
                        for which in range(2):
                            total = dp[n, part, low:high] if which == 0 else dR[n, part, low:high]
                            piece = parts[which, n, part, :size]
                            for c in range(piece.size):
                                total[c] += piece[c]
                                piece[c] = kind(0.0)


@compiled
def _state(x, p, start, s):
    """The recurrence without outputs: as many products as the sum over powers, and no powers."""
    width, channels = p.shape[0], p.shape[2]
    for b in range(x.shape[0]):
        for low in range(0, channels, BLOCK):
            high = min(low + BLOCK, channels)
            for t in range(start[b], x.shape[1]):
                now = x[b, t, low:high]
                for n in range(width):
                    p_re, s_re = p[n, 0, low:high], s[b, n, 0, low:high]
                    p_im, s_im = p[n, 1, low:high], s[b, n, 1, low:high]
                    for c in range(now.size):
                        re = p_re[c] * s_re[c] - p_im[c] * s_im[c] + now[c]
                        im = p_re[c] * s_im[c] + p_im[c] * s_re[c]
                        s_re[c] = re
                        s_im[c] = im
