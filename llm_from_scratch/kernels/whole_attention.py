"""Attention over whole sequences, forward and backward, in memory linear in their length: softmax(q kᵀ) v by strips.

A strip of queries meets all keys that they may see, the scores become probabilities, the values are added up, and the
strip is gone when the next one begins: the T × S matrix is never whole. Only each query's log-sum-exp is kept, from
which the backward recomputes the probabilities (Dao et al. 2022, arXiv:2205.14135).

Glossary: B rows of the batch, H query heads, K key-value heads, G = H / K heads that share one, T queries, S keys, D
width of a head, E width of a value.
"""

from __future__ import annotations

import numpy as np

from .attention import Masking, Tile, softmax_tile, softmax_tile_backward
from .dispatch import kernel

BLOCK = 128  # queries in a strip


@kernel(contiguous=False)
def attend(q, k, v, offset, *masking):
    """softmax(scale · q kᵀ + biases) v, and each query's log-sum-exp.

    q (B, H, T, D), k (B, K, S, D), v (B, K, S, E); offset: how many keys precede the first query; masking: the fields
    of `attention.Masking` -> y (B, H, T, E), log_sum_exp (B, H, T)
    """
    batch, heads, length, _ = q.shape
    # Laid out (B, T, H, E), so that the heads join without a copy; handed out as (B, H, T, E).
    y = np.empty((batch, length, heads, v.shape[3]), q.dtype).transpose(0, 2, 1, 3)
    log_sum_exp = np.empty((batch, heads, length), q.dtype)
    inverse_sum = np.empty_like(log_sum_exp)
    qg, yg, sums = (_grouped(x, k) for x in (q, y, inverse_sum[..., None]))
    for b, start, stop, first, last in _strips(q, k, offset, masking):
        keys, mine = (b, slice(None), None, slice(first, last)), (b, ..., slice(start, stop), slice(None))
        scores = qg[mine] @ k[keys].swapaxes(-1, -2)
        softmax_tile(_flat(scores), log_sum_exp, inverse_sum, Tile(b, 0, start, start + offset, first), *masking)
        yg[mine] = scores @ v[keys] * sums[mine]
    return y, log_sum_exp


@kernel(contiguous=False)
def attend_backward(dy, q, k, v, y, log_sum_exp, needs, offset, *masking):
    """The gradients of q, k and v, each None where `needs` does not want it.

    With p the probabilities and dp = dy vᵀ: dscore = p (dp - Σ p dp), where Σ p dp = dy · y. Then dq = scale · dscore
    k, dk = scale · dscoreᵀ q and dv = pᵀ dy, the last two summed over the heads that share a key.
    """
    delta = (dy * y).sum(-1)
    dq, dk, dv = (np.zeros((len(x), x.shape[2], x.shape[1], x.shape[3]), x.dtype) for x in (q, k, v))
    dq, dk, dv = (x.transpose(0, 2, 1, 3) for x in (dq, dk, dv))
    qg, dqg, dyg = (_grouped(x, k) for x in (q, dq, dy))
    for b, start, stop, first, last in _strips(q, k, offset, masking):
        keys, mine = (b, slice(None), None, slice(first, last)), (b, ..., slice(start, stop), slice(None))
        scores, dscores = qg[mine] @ k[keys].swapaxes(-1, -2), dyg[mine] @ v[keys].swapaxes(-1, -2)
        tile = Tile(b, 0, start, start + offset, first)
        softmax_tile_backward(_flat(scores), _flat(dscores), log_sum_exp, delta, tile, *masking)  # scores are now p
        dqg[mine] = dscores @ k[keys]
        dk[b, :, first:last] += (dscores.swapaxes(-1, -2) @ qg[mine]).sum(axis=1)
        dv[b, :, first:last] += (scores.swapaxes(-1, -2) @ dyg[mine]).sum(axis=1)
    return tuple(gradient if need else None for gradient, need in zip((dq, dk, dv), needs))


def _strips(q, k, offset, masking):
    """Row of the batch, a strip's first query and one past its last, the first key it may see and one past the last."""
    masks, keys = Masking(*masking), k.shape[2]
    for b in range(len(q)):
        for start in range(0, q.shape[2], BLOCK):
            stop = min(start + BLOCK, q.shape[2])
            first, last = 0, keys
            if masks.causal:
                last = min(keys, max(stop + offset, int(masks.prefix[b]) if masks.prefix.size else 0))
            if masks.window:
                first = max(0, start + offset - masks.window + 1)
                last = min(last, stop + offset + masks.window - 1)
            if first < last:
                yield b, start, stop, first, last
            else:  # nothing to be seen: any key will do, all are hidden
                yield b, start, stop, 0, 1


def _grouped(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """(B, H, ...) -> (B, K, G, ...): the heads that share a key-value head on an axis of their own."""
    return x.reshape(len(x), k.shape[1], -1, *x.shape[2:])


def _flat(scores: np.ndarray) -> np.ndarray:
    """(K, G, R, C) -> (1, H, R, C)."""
    return scores.reshape(1, -1, *scores.shape[2:])


@attend.check
def _check(q, k, v, offset, *masking):
    batch, heads, length, width = q.shape
    masks, keys = Masking(*masking), k.shape[2]
    fits = k.shape == (batch, k.shape[1], keys, width) and v.shape[:3] == k.shape[:3] and heads % k.shape[1] == 0
    fits &= offset >= 0 and masks.window >= 0 and min(*q.shape, *k.shape, *v.shape) > 0
    fits &= not masks.causal or offset + length <= keys
    fits &= masks.prefix.shape in ((0,), (batch,)) and masks.slopes.shape in ((0,), (heads,))
    fits &= not masks.prefix.size or 0 <= masks.prefix.min() <= masks.prefix.max() <= keys
    bias = masks.key_bias
    fits &= not bias.size or (bias.shape[0] in (1, batch) and bias.shape[1] in (1, heads) and bias.shape[2] == keys)
    fits &= not masks.segments.size or (masks.segments.shape == (batch, keys) and offset + length <= keys)
    if not fits:  # the loops index with them
        shapes = f"q {q.shape}, k {k.shape}, v {v.shape}"
        raise ValueError(f"attention: {shapes}, key_offset {offset} and what masks them do not fit together")


@attend_backward.check
def _(dy, q, k, v, y, log_sum_exp, needs, offset, *masking):
    _check(q, k, v, offset, *masking)
    if not dy.shape == y.shape == (*q.shape[:3], v.shape[3]) or log_sum_exp.shape != q.shape[:3]:
        raise ValueError(f"attention of q {q.shape}: dy {dy.shape}, y {y.shape} and {log_sum_exp.shape} do not fit")


def _cases(rng: np.random.Generator):
    nothing, none = np.zeros((0, 0, 0)), np.zeros((0, 0), np.int64)
    no_prefix, no_slopes = np.zeros(0, np.int64), np.zeros(0)
    for batch, heads, groups, length, keys, width, wide in (
        (2, 4, 2, 5, 9, 3, 2),
        (1, 2, 2, 130, 130, 20, 33),
        (1, 2, 1, 61, 205, 7, 8),
        (1, 4, 2, 2, 300, 4, 4),
    ):
        q = rng.normal(size=(batch, length, heads, width)).transpose(0, 2, 1, 3)
        k, v = rng.normal(size=(batch, groups, keys, width)), rng.normal(size=(batch, groups, keys, wide))
        dy, offset = rng.normal(size=(batch, heads, length, wide)), keys - length
        slopes = rng.uniform(0.1, 1, heads)
        bias = np.where(rng.random((batch, 1, keys)) < 0.3, -np.inf, 0.5)
        bias[0, :, : offset + 2] = -np.inf  # queries that see nothing
        by_head, prefix = rng.normal(size=(1, heads, keys)), rng.integers(0, keys + 1, batch)
        segments = np.sort(rng.integers(0, 3, (batch, keys)))
        for masks in (
            Masking(0.5, True, 0, no_prefix, no_slopes, nothing, none),
            Masking(0.5, True, 3, no_prefix, slopes, nothing, none),
            Masking(0.5, True, 0, prefix, slopes, by_head, none),
            Masking(0.5, True, 0, no_prefix, no_slopes, bias, segments),
            Masking(0.5, False, 2, no_prefix, slopes, bias + by_head, none),
            Masking(0.5, False, 0, no_prefix, no_slopes, nothing, segments),
        ):
            yield (q, k, v), dy, offset, masks


@attend.example
def _(rng):
    for arrays, _, offset, masks in _cases(rng):
        yield (*arrays, offset, *masks), {}


@attend_backward.example
def _(rng):
    for arrays, dy, offset, masks in _cases(rng):
        y, log_sum_exp = attend.__wrapped__(*arrays, offset, *masks)
        for needs in ((True, True, True), (False, True, False)):
            yield (dy, *arrays, y, log_sum_exp, needs, offset, *masks), {}
