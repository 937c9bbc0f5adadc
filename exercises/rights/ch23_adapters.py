"""Other right answers of chapter 23.

The dense matrix made first, einsum, a loop over queries, one pair put behind the other.
"""

from __future__ import annotations

import numpy as np


def lora(x, weight, A, B, alpha, stabilized=False):
    power = 0.5 if stabilized else 1.0
    scaled = A * x.dtype.type(alpha / A.shape[1] ** power)
    return np.einsum("...i,io->...o", x, weight) + np.einsum("...i,ir,ro->...o", x, scaled, B)


def merge_lora(weight, A, B, alpha, stabilized=False):
    merged = weight.copy()
    for r in range(A.shape[1]):
        merged += np.outer(A[:, r], B[r]) * weight.dtype.type(alpha / A.shape[1] ** (0.5 if stabilized else 1))
    return merged


def merge_ia3(weight, bias, factors, side):
    axis = {"inputs": "io,i->io", "outputs": "io,o->io"}[side]
    new = np.einsum(axis, weight, factors)
    if bias is None:
        return new, None
    return new, bias * (factors if side == "outputs" else np.ones_like(bias))


def prefix_attention(q, k, v, prefix_keys, prefix_values):
    out = np.empty_like(q)
    for t, query in enumerate(q):
        keys = np.vstack([prefix_keys, k[: t + 1]])
        scores = keys @ query / q.dtype.type(np.sqrt(q.shape[1]))
        shares = np.exp(scores - scores.max())
        out[t] = (shares / shares.sum()) @ np.vstack([prefix_values, v[: t + 1]])
    return out


def combine_lora(pairs, weights):
    As, Bs = [], []
    for (A, B, scale), weight in zip(pairs, weights):
        As.append(A * A.dtype.type(weight))
        Bs.append(B * B.dtype.type(scale))
    return np.hstack(As), np.vstack(Bs)
