"""Attention in memory linear in the sequence: softmax(q kᵀ) v by tiles, with every mask of 2023.

The T × S matrix of scores is never whole. The forward takes a strip of queries against all the keys it may see; only
each query's log-sum-exp is kept, from which the backward recomputes the probabilities.

Glossary: B rows of the batch, H query heads, K key-value heads, T queries, S keys, D width of a head.
Source: Dao et al. 2022, arXiv:2205.14135; how it goes is told in `kernels.whole_attention`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import primitive
from ..checks import floating
from ..kernels import whole_attention as kernels
from ..kernels.attention import Masking


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
    y, log_sum_exp = kernels.attend(q, k, v, key_offset, *masks)
    return y, (q, k, v, y, log_sum_exp, masks, key_offset)


@attention.backward
def _(dy, saved, needs):
    q, k, v, y, log_sum_exp, masks, offset = saved
    return kernels.attend_backward(dy, q, k, v, y, log_sum_exp, needs, offset, *masks)


def attention_weights(q: np.ndarray, k: np.ndarray, **settings: Any) -> np.ndarray:
    """The probabilities themselves, (B, H, T, S), for looking at: memory grows with T · S. Settings as `attention`.

    >>> attention_weights(np.zeros((1, 1, 2, 1)), np.zeros((1, 1, 2, 1)))
    array([[[[1. , 0. ],
             [0.5, 0.5]]]])
    """
    identity = np.broadcast_to(np.eye(k.shape[2], dtype=q.dtype), (*k.shape[:2], k.shape[2], k.shape[2]))
    return np.ascontiguousarray(attention(q, k, identity, **settings).data)


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
    if (slopes.size and not np.isfinite(slopes).all()) or (key_bias.size and not (key_bias < np.inf).all()):
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
