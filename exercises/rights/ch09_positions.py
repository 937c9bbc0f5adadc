"""Other right answers of chapter 9: rotation as complex numbers, slopes picked from a longer list, an indexed shift."""

from __future__ import annotations

import math

import numpy as np


def rotate(x, positions, base=10000.0, interleaved=False):
    half = x.shape[-1] // 2
    turns = np.exp(1j * np.multiply.outer(positions, base ** -(np.arange(half) / half)))
    a, b = (x[..., ::2], x[..., 1::2]) if interleaved else np.split(x, 2, axis=-1)
    z = (a + 1j * b) * turns
    joined = np.stack([z.real, z.imag], axis=-1) if interleaved else np.stack([z.real, z.imag], axis=-2)
    return joined.reshape(x.shape).astype(x.dtype)


def neighbours_to_halves(weight, heads):
    parts = [half for head in np.split(weight, heads) for half in (head[::2], head[1::2])]
    return np.concatenate(parts)


def alibi_slopes(heads, bias_max=8.0):
    power = 2 ** math.ceil(math.log2(heads))
    steps = np.array([2.0 ** (-bias_max * (a + 1) / power) for a in range(power)])
    return steps if power == heads else np.concatenate([steps[1::2], steps[::2]])[:heads]


def dynamic_base(base, width, length, trained, factor=1.0):
    if length <= trained:
        return base
    return base * math.exp(math.log(1 + factor * (length / trained - 1)) / (1 - 2 / width))


def relative_shift(scores):
    i, j = np.indices(scores.shape[-2:])
    last = scores.shape[-1] - 1
    return np.where(j <= i, scores[..., i, np.clip(last - i + j, 0, last)], 0).astype(scores.dtype)
