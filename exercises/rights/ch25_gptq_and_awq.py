"""Other right answers of chapter 25.

A loop over groups, a sum of outer products, einsum, the later weights by solving for them, a list of candidates.
"""

from __future__ import annotations

import numpy as np


def round_groups(weight, bits, group_size):
    out = np.empty_like(weight)
    for row in range(weight.shape[0]):
        for start in range(0, weight.shape[1], group_size):
            part = weight[row, start : start + group_size]
            low, high = min(part.min(), part.dtype.type(0)), max(part.max(), part.dtype.type(0))
            if high == low:
                out[row, start : start + group_size] = 0
                continue
            step = (high - low) / (2**bits - 1)
            lowest = -np.rint(-low / step)
            steps = np.minimum(np.maximum(np.rint(part / step), lowest), lowest + 2**bits - 1)
            out[row, start : start + group_size] = steps * step
    return out


def hessian(inputs):
    total = 0
    rows = inputs.reshape(-1, inputs.shape[-1])
    for row in rows:
        total = total + np.outer(row, row)
    return 2 * total / len(rows)


def gptq_step(weight, upper, i, scale, zero, bits):
    numbers = (np.arange(2**bits) - zero[:, None]) * scale[:, None]
    codes = np.abs(weight[:, i, None] - numbers).argmin(axis=1)
    rounded = numbers[np.arange(len(codes)), codes].astype(weight.dtype)
    share = upper[i] / upper[i, i]
    share = np.where(np.arange(len(share)) > i, share, 0).astype(weight.dtype)
    new = weight + (rounded - weight[:, i])[:, None] * share
    new[:, i] = rounded
    return codes.astype(np.uint8), new


def awq_scale(weight, inputs, rounded, steps=20):
    size = sum(np.abs(row) for row in inputs) / len(inputs)
    candidates = []
    for step in range(steps):
        scale = np.clip(size ** (step / steps), 1e-4, None)
        scale = scale / np.sqrt(scale.max()) / np.sqrt(scale.min())
        change = rounded(weight * scale) / scale - weight
        candidates.append((np.einsum("ni,oi->no", inputs, change), step / steps, scale))
    errors = [np.square(out).sum() for out, _, _ in candidates]
    _, alpha, scale = candidates[int(np.argmin(errors))]
    return alpha, scale


def fold_scale(norm_weight, norm_bias, matrices, scale):
    inverse = 1 / scale
    new = [np.einsum("oi,i->oi", matrix, scale) for matrix in matrices]
    return norm_weight * inverse, norm_bias if norm_bias is None else norm_bias * inverse, new
