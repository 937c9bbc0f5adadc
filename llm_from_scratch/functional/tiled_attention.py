"""Attention in memory linear in the sequence: softmax(q kᵀ) v by tiles, with every mask of 2023.

The T × S matrix of scores is never whole. The forward takes a block of queries against all the keys it may see; only
each query's log-sum-exp is kept, from which the backward recomputes the probabilities tile by tile.

Glossary: B rows of the batch, H query heads, K key-value heads, G = H / K heads that share one, T queries, S keys,
D width of a head. Source: Dao et al. 2022, arXiv:2205.14135 (recomputation from the log-sum-exp); the tiles here are
long rows instead of squares, because a matrix product through NumPy has a price a call.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import primitive
from ..checks import floating
from ..kernels import attention as kernels
from ..kernels.attention import Masking, Tile

BLOCK = 128  # queries (forward) or keys (backward) in a tile: more wastes products above the diagonal
TILE_BYTES = 1 << 20  # a tile should stay in the second-level cache between its product and its softmax


@primitive
def attention(
    q, k, v, /, *, causal=True, scale=None, window=None, prefix_length=None, segments=None, slopes=None, key_bias=None,
    key_offset=0,
):  # fmt: skip
    """softmax(scale · q kᵀ + biases) v over the keys that each query may see.

    q (B, H, T, D), k (B, K, S, D), v (B, K, S, E) -> (B, H, T, E). K divides H; query head a reads key-value head
    ⌊a K / H⌋.

    causal: query t sees keys j <= t + key_offset. scale: default 1/√D. key_offset: how many keys precede the first
    query (those a memory holds). window: sees only the last `window` of them, itself included. prefix_length: an
    integer or (B,); keys before it are seen by all queries. segments (B, S): document numbers, attention stays inside
    a document. slopes (H,): ALiBi, score -= slope · distance. key_bias (B, S), or (B or 1, H, S) for a bias of each
    head: added to every score of the key; -inf hides it. A query that sees nothing gets zeros.

    >>> q = np.array([[[[0.0], [0.0]]]])                      # equal scores: each query averages what it sees
    >>> attention(q, q, np.array([[[[1.0], [3.0]]]]))
    Tensor([[[[1.],
              [2.]]]])
    """
    masks = _masking(q, k, v, causal, scale, window, prefix_length, segments, slopes, key_bias, key_offset)
    batch, heads, length, _ = q.shape
    # Laid out (B, T, H, E), so that the heads join without a copy; handed out as (B, H, T, E).
    y = np.empty((batch, length, heads, v.shape[3]), q.dtype).transpose(0, 2, 1, 3)
    log_sum_exp = np.empty((batch, heads, length), q.dtype)
    inverse_sum = np.empty((batch, heads, length), q.dtype)
    scratch = _Scratch(q.dtype)
    qg, kg, vg, yg, sums = _grouped(q, k, v, y, inverse_sum[..., None])
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        first, last = _keys_for(start + key_offset, stop + key_offset, k.shape[2], masks)
        for lead, part, head in _shares(qg.shape, (stop - start) * (last - first) * q.itemsize):
            keys, mine = (*lead, slice(first, last)), (*part, slice(start, stop))
            scores = scratch.matmul(0, qg[mine], kg[keys].swapaxes(-1, -2))
            tile = Tile(lead[0].start, head, start, start + key_offset, first)
            kernels.softmax_tile(_flat(scores), log_sum_exp, inverse_sum, tile, *masks)
            np.multiply(scratch.matmul(1, scores, vg[keys]), sums[mine], out=yg[mine])
    return y, (q, k, v, y, log_sum_exp, masks, key_offset)


@attention.backward
def _(dy, saved, needs):
    q, k, v, y, log_sum_exp, masks, offset = saved
    delta = np.einsum("bhte,bhte->bht", dy, y)
    dq = np.zeros(_joined(q), q.dtype).transpose(0, 2, 1, 3)
    dk, dv = (np.zeros(_joined(x), x.dtype).transpose(0, 2, 1, 3) for x in (k, v))
    scratch = _Scratch(q.dtype)
    qg, kg, vg, dqg, dyg = _grouped(q, k, v, dq, dy)
    for start in range(0, k.shape[2], BLOCK):
        stop = min(start + BLOCK, k.shape[2])
        first, last = _queries_for(start, stop, q.shape[2], offset, masks)
        if last <= first:
            continue
        for lead, part, head in _shares(qg.shape, 2 * (last - first) * (stop - start) * q.itemsize):
            rows, keys = (*part, slice(first, last)), (*lead, slice(start, stop))
            scores = scratch.matmul(0, qg[rows], kg[keys].swapaxes(-1, -2))
            dscores = scratch.matmul(1, dyg[rows], vg[keys].swapaxes(-1, -2))
            tile = Tile(lead[0].start, head, first, first + offset, start)
            kernels.softmax_tile_backward(_flat(scores), _flat(dscores), log_sum_exp, delta, tile, *masks)
            if needs[0]:
                dqg[rows] += scratch.matmul(2, dscores, kg[keys])
            target = (lead[0], lead[1], slice(start, stop))
            if needs[1]:
                dk[target] += scratch.matmul(2, dscores.swapaxes(-1, -2), qg[rows]).sum(axis=2)
            if needs[2]:
                dv[target] += scratch.matmul(2, scores.swapaxes(-1, -2), dyg[rows]).sum(axis=2)
    return tuple(gradient if need else None for gradient, need in zip((dq, dk, dv), needs))


def attention_weights(q: np.ndarray, k: np.ndarray, **settings: Any) -> np.ndarray:
    """The probabilities themselves, (B, H, T, S), for looking at: memory grows with T · S. Settings as `attention`.

    >>> attention_weights(np.zeros((1, 1, 2, 1)), np.zeros((1, 1, 2, 1)))
    array([[[[1. , 0. ],
             [0.5, 0.5]]]])
    """
    identity = np.broadcast_to(np.eye(k.shape[2], dtype=q.dtype), (*k.shape[:2], k.shape[2], k.shape[2]))
    return np.ascontiguousarray(attention(q, k, identity, **settings).data)


class _Scratch:
    """Buffers for products, reused from tile to tile."""

    def __init__(self, dtype: np.dtype) -> None:
        self._dtype = dtype
        self._buffers: dict[int, np.ndarray] = {}

    def matmul(self, number: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """a @ b in buffer `number`: valid until that buffer is used again."""
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        shape = (*lead, a.shape[-2], b.shape[-1])
        size = math.prod(shape)
        buffer = self._buffers.get(number)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[number] = np.empty(size, self._dtype)
        return np.matmul(a, b, out=buffer[:size].reshape(shape))


def _joined(x: np.ndarray) -> tuple[int, ...]:
    return x.shape[0], x.shape[2], x.shape[1], x.shape[3]


def _grouped(q, k, v, *like_q):
    """Views with the heads that share a key-value head on an axis of their own: (B, K, G, T, ·) and (B, K, 1, S, ·)."""
    batch, heads = k.shape[:2]
    split = [x.reshape(batch, heads, q.shape[1] // heads, *x.shape[2:]) for x in (q, *like_q)]
    return split[0], k[:, :, None], v[:, :, None], *split[1:]


def _flat(scores: np.ndarray) -> np.ndarray:
    """(b, κ, g, R, C) -> (b, heads, R, C): the heads of a share are neighbours."""
    return scores.reshape(scores.shape[0], -1, *scores.shape[3:])


def _shares(shape: tuple[int, ...], tile_bytes: int) -> Iterator[tuple[tuple, tuple, int]]:
    """Cut (B, K, G) so that each share's tile fits the cache: index for keys, index for queries, first head."""
    batch, groups, size = shape[:3]
    fits = max(1, TILE_BYTES // max(1, tile_bytes))  # tiles of one head
    rows = max(1, fits // (groups * size))
    kv = groups if rows > 1 else max(1, min(groups, fits // size))
    each = size if kv > 1 else max(1, min(size, fits))
    for b in range(0, batch, rows):
        for n in range(0, groups, kv):
            for g in range(0, size, each):
                lead = slice(b, min(b + rows, batch)), slice(n, min(n + kv, groups))
                yield (*lead, slice(None)), (*lead, slice(g, min(g + each, size))), n * size + g


def _keys_for(first: int, last: int, keys: int, masks: Masking) -> tuple[int, int]:
    """The keys that queries first..last-1 (counted in keys) may see: first key, and one past the last."""
    stop = min(keys, max(last, int(masks.prefix.max(initial=0)))) if masks.causal else keys
    start = 0
    if masks.window:
        start = max(0, first - masks.window + 1)
        stop = min(stop, last + masks.window - 1)
    return min(start, stop), stop


def _queries_for(start: int, stop: int, queries: int, offset: int, masks: Masking) -> tuple[int, int]:
    """The queries (counted from 0) that may see keys start..stop-1."""
    first, last = 0, queries
    if masks.causal and start >= int(masks.prefix.max(initial=0)):
        first = max(0, start - offset)
    if masks.window:
        last = min(last, stop + masks.window - 1 - offset)
        first = max(first, start - masks.window + 1 - offset)
    return first, last


def _masking(q, k, v, causal, scale, window, prefix_length, segments, slopes, key_bias, key_offset) -> Masking:
    """Check every argument and fill in the defaults."""
    floating("attention", q, k, v)
    if any(x.ndim != 4 for x in (q, k, v)):
        raise ValueError(f"attention takes (batch, heads, tokens, width); got {q.shape}, {k.shape}, {v.shape}")
    batch, heads, length, width = q.shape
    keys = k.shape[2]
    if k.shape[0] != batch or k.shape[3] != width or v.shape[:3] != k.shape[:3]:
        raise ValueError(f"attention: q {q.shape}, k {k.shape} and v {v.shape} do not fit together")
    if 0 in q.shape or 0 in k.shape or v.shape[3] == 0:
        raise ValueError(f"attention over nothing: q {q.shape}, k {k.shape}, v {v.shape}")
    if heads % k.shape[1]:
        raise ValueError(f"attention: {heads} query heads cannot share {k.shape[1]} key-value heads evenly")
    _integer("key_offset", key_offset, 0)
    if causal and key_offset + length > keys:
        needed = key_offset + length
        raise ValueError(f"attention: {length} queries after {key_offset} keys need {needed} keys, got {keys}")
    if window is not None:
        _integer("window", window, 1)
        if prefix_length is not None:
            raise ValueError("attention: a window and a bidirectional prefix cannot be combined")
    scale = 1.0 / math.sqrt(width) if scale is None else float(scale)
    if not math.isfinite(scale):
        raise ValueError(f"attention: scale must be finite, not {scale}")
    prefix = _array("prefix_length", prefix_length, (batch,), "iu", np.int64)
    if prefix.size and (prefix.min() < 0 or prefix.max() > keys):
        raise ValueError(f"attention: prefix_length must lie in 0..{keys}, got {prefix.min()}..{prefix.max()}")
    segments = _array("segments", segments, (batch, keys), "iu", np.int64)
    if segments.size and key_offset + length > keys:
        raise ValueError(f"attention: segments name {keys} tokens, the queries reach {key_offset + length}")
    slopes = _array("slopes", slopes, (heads,), "fiu", q.dtype)
    key_bias = _key_bias(key_bias, batch, heads, keys, q.dtype)
    if not np.isfinite(slopes).all() or np.isnan(key_bias).any() or np.isposinf(key_bias).any():
        raise ValueError("attention: slopes must be finite, and key_bias finite or -inf")
    return Masking(scale, bool(causal), int(window or 0), prefix, slopes, key_bias, segments)


def _integer(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"attention: {name} must be an integer >= {least}, not {value!r}")


def _array(name: str, value: Any, shape: tuple[int, ...], kinds: str, dtype: Any) -> np.ndarray:
    """`value` as a contiguous array of `shape` (a single number is repeated); size 0 where it is None."""
    if value is None:
        return np.zeros((0,) * len(shape), dtype)
    array = np.asarray(value)
    if array.dtype.kind not in kinds or (array.ndim and array.shape != shape) or (array.ndim == 0 and len(shape) > 1):
        raise ValueError(f"attention: {name} must have shape {shape}, got {array.dtype}{array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, shape), dtype=dtype)


def _key_bias(value: Any, batch: int, heads: int, keys: int, dtype: Any) -> np.ndarray:
    """(B, S) as (B, 1, S); (B or 1, H, S) as it is; size 0 where there is none."""
    if value is None or np.ndim(value) != 3:
        bias = _array("key_bias", value, (batch, keys), "fiu", dtype)
        return bias[:, None] if bias.size else np.zeros((0, 0, 0), dtype)
    return _array("key_bias", value, (batch if len(value) > 1 else 1, heads, keys), "fiu", dtype)


def _example(**settings: Any) -> None:
    def build(rng: np.random.Generator):
        q, k, v = rng.normal(size=(2, 4, 3, 5)), rng.normal(size=(2, 2, 5, 5)), rng.normal(size=(2, 2, 5, 3))
        return (q, k, v), {"key_offset": 2, **settings}

    attention.example(build)


_example()
_example(causal=False, scale=0.3)
_example(window=2, slopes=[0.5, 0.25, 0.125, 0.1])
_example(prefix_length=np.array([4, 0]))
_example(segments=np.array([[0, 0, 0, 1, 1], [0, 1, 1, 1, 1]]))
_example(key_bias=np.array([[-np.inf, -np.inf, -np.inf, 0.3, 0.0], [0.0, 0.1, -np.inf, 0.0, 0.0]]))
_example(key_bias=np.arange(20.0).reshape(1, 4, 5) % 7 / 5)
