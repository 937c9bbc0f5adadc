"""Compiled versions of `kernels.long_convolution`: transforms of many channels at once, written out.

Three things make them faster than a library's transform along the time axis. The innermost loops run over LANES
neighbouring channels, so that they vectorise and nothing is ever transposed. The order that the forward transform
leaves its output in is the one that the inverse begins with, so nothing is sorted. And there is no padding: with
weights a^t, a = exp(iπ/2n), what goes round the circle of n places comes back multiplied by a^n = i, and stands in the
imaginary part. One complex transform of size n does what a real one of size 2n would.

Rows of the work arrays hold LANES real parts, then LANES imaginary parts. Radix 4: Cooley & Tukey 1965; the weights:
Crandall & Fagin 1994 ("right-angle" convolution).
"""

from __future__ import annotations

import functools

import numpy as np
from numba.extending import register_jitable

from ..dispatch import SETTINGS, compiled

# What the loops below are made of: compiled as a part of them, not on its own.
part = register_jitable(error_model=SETTINGS["error_model"], fastmath=SETTINGS["fastmath"])

LANES = 32  # channels transformed together; a constant, so that the loops over them need no tail
TAPS = 4  # filter values used in one pass of the direct form


def fft_convolution(x, h, runs):
    """Compiled twin of `kernels.long_convolution.fft_convolution`."""
    y = np.zeros_like(x)
    for size, group in _by_size(runs):
        weights, roots = _constants(size, x.dtype.char)
        _convolve(x, h, group, weights, roots, y)
    return y


def fft_convolution_backward(dy, x, h, runs, needs=(True, True)):
    """Compiled twin of `kernels.long_convolution.fft_convolution_backward`."""
    need_x, need_h = bool(needs[0]), bool(needs[1])
    dx, dh = np.zeros(x.shape if need_x else (1, 0, 0), x.dtype), np.zeros_like(h)
    for size, group in _by_size(runs):
        weights, roots = _constants(size, x.dtype.char)
        _convolve_backward(dy, x, h, group, weights, roots, need_x, need_h, dx, dh)
    return dx if need_x else None, dh if need_h else None


def direct_convolution(x, h, runs):
    """Compiled twin of `kernels.long_convolution.direct_convolution`."""
    y = np.zeros_like(x)
    _direct(x, h, runs, y)
    return y


def direct_convolution_backward(dy, x, h, runs, needs=(True, True)):
    """Compiled twin of `kernels.long_convolution.direct_convolution_backward`."""
    dx, dh = np.zeros_like(x), np.zeros_like(h)
    _direct_backward(dy, x, h, runs, bool(needs[0]), bool(needs[1]), dx, dh)
    return dx if needs[0] else None, dh if needs[1] else None


def _by_size(runs):
    """Runs grouped by the power of two that holds them."""
    sizes = np.array([1 << int(stop - start - 1).bit_length() for _, start, stop in runs], np.int64)
    return [(int(size), np.ascontiguousarray(runs[sizes == size])) for size in np.unique(sizes)]


@functools.lru_cache(maxsize=32)
def _constants(size, char):
    """exp(iπt/2n) for t < n, and exp(-2πik/n) for k < n, each (n, 2)."""
    t = np.arange(size)
    weights, roots = np.exp(0.5j * np.pi * t / size), np.exp(-2j * np.pi * t / size)
    return tuple(np.stack([z.real, z.imag], axis=1).astype(char) for z in (weights, roots))


@part
def _forward(data, roots):
    """Transform the columns in place; the result is left in digit-reversed order."""
    n = data.shape[0]
    size = n
    while size >= 4:
        quarter, stride = size // 4, n // size
        for base in range(0, n, size):
            for j in range(quarter):
                u_re, u_im = roots[j * stride, 0], roots[j * stride, 1]
                v_re, v_im = roots[2 * j * stride, 0], roots[2 * j * stride, 1]
                w_re, w_im = roots[3 * j * stride, 0], roots[3 * j * stride, 1]
                a, b = data[base + j], data[base + j + quarter]
                c, d = data[base + j + 2 * quarter], data[base + j + 3 * quarter]
                for i in range(LANES):
                    a_re, a_im, b_re, b_im = a[i], a[LANES + i], b[i], b[LANES + i]
                    c_re, c_im, d_re, d_im = c[i], c[LANES + i], d[i], d[LANES + i]
                    even_re, even_im, odd_re, odd_im = a_re + c_re, a_im + c_im, b_re + d_re, b_im + d_im
                    p_re, p_im, q_re, q_im = a_re - c_re, a_im - c_im, b_im - d_im, d_re - b_re
                    a[i] = even_re + odd_re
                    a[LANES + i] = even_im + odd_im
                    re, im = p_re + q_re, p_im + q_im
                    b[i] = re * u_re - im * u_im
                    b[LANES + i] = re * u_im + im * u_re
                    re, im = even_re - odd_re, even_im - odd_im
                    c[i] = re * v_re - im * v_im
                    c[LANES + i] = re * v_im + im * v_re
                    re, im = p_re - q_re, p_im - q_im
                    d[i] = re * w_re - im * w_im
                    d[LANES + i] = re * w_im + im * w_re
        size //= 4
    if size == 2:
        for base in range(0, n, 2):
            _sum_and_difference(data[base], data[base + 1])


@part
def _inverse(data, roots):
    """`_forward` undone, but for a factor n: the same steps backwards."""
    n = data.shape[0]
    size = n
    while size >= 4:
        size //= 4
    if size == 2:
        for base in range(0, n, 2):
            _sum_and_difference(data[base], data[base + 1])
    size *= 4
    while size <= n:
        quarter, stride = size // 4, n // size
        for base in range(0, n, size):
            for j in range(quarter):
                u_re, u_im = roots[j * stride, 0], roots[j * stride, 1]
                v_re, v_im = roots[2 * j * stride, 0], roots[2 * j * stride, 1]
                w_re, w_im = roots[3 * j * stride, 0], roots[3 * j * stride, 1]
                a, b = data[base + j], data[base + j + quarter]
                c, d = data[base + j + 2 * quarter], data[base + j + 3 * quarter]
                for i in range(LANES):
                    a_re, a_im, b_re, b_im = a[i], a[LANES + i], b[i], b[LANES + i]
                    c_re, c_im, d_re, d_im = c[i], c[LANES + i], d[i], d[LANES + i]
                    re, im = b_re * u_re + b_im * u_im, b_im * u_re - b_re * u_im
                    b_re, b_im = re, im
                    re, im = c_re * v_re + c_im * v_im, c_im * v_re - c_re * v_im
                    c_re, c_im = re, im
                    re, im = d_re * w_re + d_im * w_im, d_im * w_re - d_re * w_im
                    d_re, d_im = re, im
                    even_re, even_im, odd_re, odd_im = a_re + c_re, a_im + c_im, b_re + d_re, b_im + d_im
                    p_re, p_im, q_re, q_im = a_re - c_re, a_im - c_im, d_im - b_im, b_re - d_re
                    a[i] = even_re + odd_re
                    a[LANES + i] = even_im + odd_im
                    b[i] = p_re + q_re
                    b[LANES + i] = p_im + q_im
                    c[i] = even_re - odd_re
                    c[LANES + i] = even_im - odd_im
                    d[i] = p_re - q_re
                    d[LANES + i] = p_im - q_im
        size *= 4


@part
def _sum_and_difference(a, b):
    for i in range(2 * LANES):
        total, difference = a[i] + b[i], a[i] - b[i]
        a[i] = total
        b[i] = difference


@part
def _load(rows, low, turn, weights, data):
    """Rows of x into the work array, times their weights. turn: 0, or the place of the first row in reversed time."""
    n, length = data.shape[0], rows.shape[0]
    kind = data.dtype.type
    width = min(LANES, rows.shape[1] - low)
    for t in range(n):
        out = data[t]
        for i in range(out.size):
            out[i] = kind(0.0)
    for s in range(min(n, length)):
        t = abs(turn - s)
        row, out_re, out_im = rows[s, low : low + width], data[t, :width], data[t, LANES : LANES + width]
        re, im = weights[t, 0], weights[t, 1]
        for i in range(row.size):
            out_re[i] = re * row[i]
            out_im[i] = im * row[i]


@part
def _store(data, low, turn, weights, rows):
    """Add the real part of the work array, its weights taken off, to those rows that are there."""
    n, length = data.shape[0], rows.shape[0]
    scale = data.dtype.type(1.0 / n)
    width = min(LANES, rows.shape[1] - low)
    for s in range(min(n, length)):
        t = abs(turn - s)
        row, in_re, in_im = rows[s, low : low + width], data[t, :width], data[t, LANES : LANES + width]
        re, im = weights[t, 0] * scale, weights[t, 1] * scale
        for i in range(row.size):
            row[i] += re * in_re[i] + im * in_im[i]


@compiled
def _convolve(x, h, runs, weights, roots, y):
    n = len(weights)
    filters, data = np.empty((n, 2 * LANES), x.dtype), np.empty((n, 2 * LANES), x.dtype)
    for low in range(0, x.shape[2], LANES):
        _load(h[:n], low, 0, weights, filters)
        _forward(filters, roots)
        for r in range(len(runs)):
            row, start, stop = runs[r, 0], runs[r, 1], runs[r, 2]
            _load(x[row, start:stop], low, 0, weights, data)
            _forward(data, roots)
            for k in range(n):
                a, f = data[k], filters[k]
                for i in range(LANES):
                    re = a[i] * f[i] - a[LANES + i] * f[LANES + i]
                    im = a[i] * f[LANES + i] + a[LANES + i] * f[i]
                    a[i] = re
                    a[LANES + i] = im
            _inverse(data, roots)
            _store(data, low, 0, weights, y[row, start:stop])


@compiled
def _convolve_backward(dy, x, h, runs, weights, roots, need_x, need_h, dx, dh):
    """Both gradients are causal convolutions of what arrives, in reversed time: place n - 1 - t stands for t."""
    n = len(weights)
    kind = x.dtype.type
    filters, inputs = np.empty((n, 2 * LANES), x.dtype), np.empty((n, 2 * LANES), x.dtype)
    data, total = np.empty((n, 2 * LANES), x.dtype), np.empty((n, 2 * LANES), x.dtype)
    for low in range(0, x.shape[2], LANES):
        if need_x:
            _load(h[:n], low, 0, weights, filters)
            _forward(filters, roots)
        for k in range(n):
            out = total[k]
            for i in range(out.size):
                out[i] = kind(0.0)
        for r in range(len(runs)):
            row, start, stop = runs[r, 0], runs[r, 1], runs[r, 2]
            _load(dy[row, start:stop], low, n - 1, weights, data)
            _forward(data, roots)
            if need_h:
                _load(x[row, start:stop], low, 0, weights, inputs)
                _forward(inputs, roots)
                for k in range(n):
                    a, f, out = data[k], inputs[k], total[k]
                    for i in range(LANES):
                        out[i] += a[i] * f[i] - a[LANES + i] * f[LANES + i]
                        out[LANES + i] += a[i] * f[LANES + i] + a[LANES + i] * f[i]
            if need_x:
                for k in range(n):
                    a, f = data[k], filters[k]
                    for i in range(LANES):
                        re = a[i] * f[i] - a[LANES + i] * f[LANES + i]
                        im = a[i] * f[LANES + i] + a[LANES + i] * f[i]
                        a[i] = re
                        a[LANES + i] = im
                _inverse(data, roots)
                _store(data, low, n - 1, weights, dx[row, start:stop])
        if need_h:
            _inverse(total, roots)
            _store(total, low, n - 1, weights, dh[:n])


@compiled
def _direct(x, h, runs, y):
    nothing = np.zeros(x.shape[2], x.dtype)
    for r in range(len(runs)):
        row, start, stop = runs[r, 0], runs[r, 1], runs[r, 2]
        for t in range(start, stop):
            out = y[row, t]
            taps = min(t - start + 1, h.shape[0])
            for k in range(0, taps, TAPS):  # several taps a pass: `out` is read and written less often
                # Taps that reach beyond the beginning meet zeros, so that zeros which do stand there change no bit.
                x0, h0 = x[row, t - k], h[k]
                x1, h1 = (x[row, t - k - 1], h[k + 1]) if k + 1 < taps else (nothing, nothing)
                x2, h2 = (x[row, t - k - 2], h[k + 2]) if k + 2 < taps else (nothing, nothing)
                x3, h3 = (x[row, t - k - 3], h[k + 3]) if k + 3 < taps else (nothing, nothing)
                for c in range(out.size):
                    out[c] += (h0[c] * x0[c] + h1[c] * x1[c]) + (h2[c] * x2[c] + h3[c] * x3[c])


@compiled
def _direct_backward(dy, x, h, runs, need_x, need_h, dx, dh):
    for r in range(len(runs)):
        row, start, stop = runs[r, 0], runs[r, 1], runs[r, 2]
        for k in range(min(stop - start, h.shape[0])):
            tap, total = h[k], dh[k]
            for t in range(start + k, stop):
                grow = dy[row, t]
                if need_x:
                    out = dx[row, t - k]
                    for c in range(grow.size):
                        out[c] += tap[c] * grow[c]
                if need_h:
                    past = x[row, t - k]
                    for c in range(grow.size):
                        total[c] += past[c] * grow[c]
