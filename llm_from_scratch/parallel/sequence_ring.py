"""Attention over a sequence that is divided among ranks: keys and values go round, queries stay.

Each rank holds a piece of every row. In each of `size` steps it meets the keys and values of one piece, keeps a running
maximum and sum as online softmax does, and hands the piece on to its neighbour; no rank ever holds the whole. In the
backward the pieces go round once more, and take their gradients with them.

Glossary: B rows of the batch, H query heads, K key-value heads, G = H / K, T tokens of a piece, D width of a head.
Source: Liu et al. 2023, arXiv:2310.01889; this is its plain form, with the scores of a pair of pieces whole.
"""

from __future__ import annotations

import math

import numpy as np

from ..autograd import primitive
from ..checks import floating
from .collectives import handed_round
from .communicator import Alone


@primitive
def ring_attention(q, k, v, /, *, comm, causal=True, scale=None):
    """softmax(scale · q kᵀ) v, where this rank holds tokens rank · T to (rank + 1) · T of each row.

    q (B, H, T, D), k (B, K, T, D), v (B, K, T, E), the pieces of this rank -> (B, H, T, E), its piece of the result.
    scale: default 1/√D.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> same = np.zeros((1, 1, 1, 1))                           # equal scores: a query averages what it sees
    >>> values = lambda ranks: same + ranks.rank
    >>> run_ranks(3, lambda ranks: ring_attention(same, same, values(ranks), comm=ranks).item())
    [0.0, 0.5, 1.0]
    """
    floating("ring_attention", q, k, v)
    if any(x.ndim != 4 for x in (q, k, v)) or q.shape[2] != k.shape[2] or k.shape[:3] != v.shape[:3]:
        raise ValueError(f"ring_attention: q {q.shape}, k {k.shape} and v {v.shape} are no pieces of one sequence")
    if q.shape[1] % k.shape[1] or q.shape[3] != k.shape[3] or q.shape[0] != k.shape[0]:
        raise ValueError(f"ring_attention: queries {q.shape} do not fit keys {k.shape}")
    scale = 1.0 / math.sqrt(q.shape[3]) if scale is None else float(scale)
    grouped = _grouped(q, k.shape[1])
    top = np.full((*grouped.shape[:-1], 1), -np.inf, q.dtype)
    total, y = np.zeros_like(top), np.zeros((*grouped.shape[:-1], v.shape[3]), q.dtype)
    at_hand: tuple[np.ndarray, ...] = k, v
    for step in range(comm.size):
        if (hidden := _hidden(comm, step, causal, q.shape[2])) is not True:
            scores = _scores(grouped, at_hand[0], scale, hidden)
            higher = np.maximum(top, scores.max(-1, keepdims=True))
            e, shrunk = np.exp(scores - higher), np.exp(top - higher)
            total = total * shrunk + e.sum(-1, keepdims=True)
            y = y * shrunk + e @ at_hand[1][:, :, None]
            top = higher
        if step < comm.size - 1:
            at_hand = handed_round(comm, *at_hand)
    y /= total
    y = y.reshape(*q.shape[:3], v.shape[3])
    return y, (q, k, v, y, top + np.log(total), comm, causal, scale)


@ring_attention.backward
def _(dy, saved, needs):
    q, k, v, y, log_sum_exp, comm, causal, scale = saved
    q, dy, y = (_grouped(x, k.shape[1]) for x in (q, dy, y))
    delta = (dy * y).sum(-1, keepdims=True)
    dq = np.zeros_like(q)
    round_trip: tuple[np.ndarray, ...] = k, v, np.zeros_like(k), np.zeros_like(v)
    for step in range(comm.size):
        k, v, dk, dv = round_trip
        if (hidden := _hidden(comm, step, causal, q.shape[3])) is not True:
            p = np.exp(_scores(q, k, scale, hidden) - log_sum_exp)
            dscores = p * (dy @ v[:, :, None].swapaxes(-1, -2) - delta) * scale
            dq += dscores @ k[:, :, None]
            dk = dk + (dscores.swapaxes(-1, -2) @ q).sum(2)
            dv = dv + (p.swapaxes(-1, -2) @ dy).sum(2)
        round_trip = handed_round(comm, k, v, dk, dv)  # after the last step they are home
    return dq.reshape(q.shape[0], -1, *q.shape[3:]), *round_trip[2:]


def _grouped(x: np.ndarray, key_value_heads: int) -> np.ndarray:
    """(B, H, T, D) -> (B, K, G, T, D)."""
    return x.reshape(x.shape[0], key_value_heads, -1, *x.shape[2:])


def _hidden(comm, step, causal, length):
    """Which keys of the piece that is here at this step are hidden: True for all, None for none, or (T, T) of bool."""
    source = (comm.rank - step) % comm.size
    if not causal or source < comm.rank:
        return None
    return True if source > comm.rank else np.triu(np.ones((length, length), bool), 1)


def _scores(q, k, scale, hidden):
    scores = q @ k[:, :, None].swapaxes(-1, -2) * scale
    if hidden is not None:
        scores[..., hidden] = -np.inf
    return scores


@ring_attention.example
def _(rng):
    q, k, v = rng.normal(size=(2, 4, 3, 5)), rng.normal(size=(2, 2, 3, 5)), rng.normal(size=(2, 2, 3, 4))
    return (q, k, v), {"comm": Alone()}


@ring_attention.example
def _(rng):
    q, k, v = rng.normal(size=(3, 1, 2, 3, 4))
    return (q, k, v), {"comm": Alone(), "causal": False, "scale": 0.3}
