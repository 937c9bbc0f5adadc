"""Other right answers of chapter 17.

A complex transform, the backward as a convolution of reversed rows, real and imaginary parts by hand.
"""

from __future__ import annotations

import numpy as np


def fft_convolution(x, h):
    T, n = len(x), 1
    while n < 2 * len(x) - 1:
        n *= 2
    return np.fft.ifft(np.fft.fft(x, n, axis=0) * np.fft.fft(h, n, axis=0), axis=0).real[:T].astype(x.dtype)


def fft_convolution_backward(dy, x, h):
    back = dy[::-1]
    return fft_convolution(back, h)[::-1].copy(), fft_convolution(back, x)[::-1].copy()


def modal_filter(poles, residues, length):
    weights, rows = residues.copy(), []
    for _ in range(length):
        rows.append(weights.real.sum(axis=1))
        weights = weights * poles
    return np.stack(rows)


def modal_step(x, state, poles, residues, D):
    re = poles.real * state.real - poles.imag * state.imag + x[:, None]
    im = poles.real * state.imag + poles.imag * state.real
    y = (residues.real * re - residues.imag * im).sum(axis=1) + D * x
    return y, (re + 1j * im).astype(state.dtype)


def state_after(x, state, poles):
    for row in x:
        state = poles * state + row[:, None]
    return state
