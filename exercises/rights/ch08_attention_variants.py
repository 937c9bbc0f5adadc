"""Other right answers of chapter 8: heads repeated, masks from triangles, one token written after the other."""

from __future__ import annotations

import numpy as np


def grouped_attention(q, k, v):
    share = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, share, axis=1), np.repeat(v, share, axis=1)
    scores = np.einsum("bhtd,bhsd->bhts", q, k) * q.shape[-1] ** -0.5
    scores[..., np.triu_indices(q.shape[2], 1)[0], np.triu_indices(q.shape[2], 1)[1]] = -1e30
    scores -= scores.max(-1)[..., None]
    e = np.exp(scores)
    return np.einsum("bhts,bhsd->bhtd", e / e.sum(-1)[..., None], v)


def window_mask(queries, keys, window=None, offset=0):
    mask = np.tri(queries, keys, offset, dtype=bool)
    return mask if window is None else mask & ~np.tri(queries, keys, offset - window, dtype=bool)


def rolling_write(slots, position, new):
    slots = np.array(slots)
    for token in new:
        slots[position % len(slots)] = token
        position += 1
    if position < len(slots):
        return slots, slots[:position].copy()
    return slots, np.roll(slots, -(position % len(slots)), axis=0)


def cache_bytes(key_value_heads, head_dim, tokens, windows=None, bytes_each=2):
    total = 0
    for i, heads in enumerate(key_value_heads):
        limit = windows[i] if windows else None
        total += 2 * heads * head_dim * (tokens if limit is None or limit > tokens else limit)
    return total * bytes_each


def average_heads(matrix, heads, shared):
    size, share = matrix.shape[1] // heads, heads // shared
    blocks = np.split(matrix, heads, axis=1)
    made = [sum(blocks[c * share : (c + 1) * share]) / share for c in range(shared)]
    return np.hstack(made).astype(matrix.dtype)[:, : shared * size]


def repaired_step(q, k, v, keys, values, window=None):
    if window is not None:
        start = max(0, keys.shape[1] - window + 1)
        keys, values = keys[:, start:], values[:, start:]
    keys, values = np.append(keys, k[:, None], 1), np.append(values, v[:, None], 1)
    y = np.empty_like(q)
    for a in range(len(q)):
        mine = a * len(keys) // len(q)
        scores = keys[mine] @ q[a] / np.sqrt(q.shape[1])
        e = np.exp(scores - scores.max())
        y[a] = e @ values[mine] / e.sum()
    return y, keys, values
