"""One position at a time: attention, rotary positions, convolutions and recurrences.

Glossary: B rows of a batch, H heads, T queries or positions, S keys, D width of a head, C channels, N numbers of state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .rows import softmax

Array = np.ndarray


def attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    causal: bool = True,
    scale: float | None = None,
    window: int | None = None,
    prefix_length: Any = None,
    segments: Array | None = None,
    slopes: Any = None,
    key_bias: Array | None = None,
    key_offset: int = 0,
) -> Array:
    """Σ_j p_j v_j for every query, p the softmax of scale · q·k_j + biases over the keys j that it may see.

    q (B, H, T, D), k (B, K, S, D), v (B, K, S, E) -> (B, H, T, E). Query t stands at i = t + key_offset.

    >>> q = np.zeros((1, 1, 2, 1))                                # equal scores: each averages what it sees
    >>> attention(q, q, np.array([[[[1.0], [3.0]]]])).ravel()
    array([1., 2.])

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 1; slopes: Press et al. 2021, arXiv:2108.12409.
    """
    batch, heads, length, width = q.shape
    scale = 1 / math.sqrt(width) if scale is None else scale
    prefix = np.broadcast_to(0 if prefix_length is None else prefix_length, batch)
    y = np.zeros((batch, heads, length, v.shape[3]), q.dtype)
    for b, h, t in np.ndindex(batch, heads, length):
        mine, i = h * k.shape[1] // heads, t + key_offset  # heads that are neighbours share keys and values
        seen, scores = [], []
        for j in range(k.shape[2]):
            sees = not causal or j <= i or j < prefix[b]
            sees = sees and (window is None or abs(i - j) < window)
            if sees and (segments is None or segments[b, i] == segments[b, j]):
                score = scale * sum(q[b, h, t, d] * k[b, mine, j, d] for d in range(width))
                score -= 0 if slopes is None else slopes[h] * abs(i - j)
                seen.append(j)
                scores.append(score + _bias_of_key(key_bias, b, h, j))
        if seen:
            for j, p in zip(seen, softmax(np.array(scores))):
                y[b, h, t] += p * v[b, mine, j]
    return y


def relative_attention(
    q: Array,
    k: Array,
    v: Array,
    relative: Array,
    content_bias: Array,
    position_bias: Array,
    *,
    scale: float | None = None,
    key_offset: int = 0,
    key_bias: Array | None = None,
    segments: Array | None = None,
) -> Array:
    """Causal attention with the scores scale · [(q_i + u)·k_j + (q_i + v)·r_{i-j}], u and v the two biases.

    q (B, H, T, D), k (B, H, S, D), v (B, H, S, E), relative (H, distances, D), biases (H, D) -> (B, H, T, E)

    >>> zero, one = np.zeros((1, 1, 3, 1)), np.ones((1, 1))
    >>> values, one_back = np.array([1.0, 3.0, 8.0]), np.array([0.0, 50.0, 0.0])      # prefers the key one place back
    >>> relative_attention(zero, zero, values.reshape(1, 1, 3, 1), one_back.reshape(1, 3, 1), one, one).ravel()
    array([1., 1., 3.])

    Source: Dai et al. 2019, arXiv:1901.02860, section 3.3.
    """
    batch, heads, length, width = q.shape
    scale = 1 / math.sqrt(width) if scale is None else scale
    y = np.zeros((batch, heads, length, v.shape[3]), q.dtype)
    for b, h, t in np.ndindex(batch, heads, length):
        i = t + key_offset
        seen = [j for j in range(i + 1) if segments is None or segments[b, i] == segments[b, j]]
        scores = []
        for j in seen:
            to_key = (q[b, h, t] + content_bias[h]) * k[b, h, j]
            to_distance = (q[b, h, t] + position_bias[h]) * relative[h, i - j]
            scores.append(scale * (sum(to_key) + sum(to_distance)) + _bias_of_key(key_bias, b, h, j))
        for j, p in zip(seen, softmax(np.array(scores))):
            y[b, h, t] += p * v[b, h, j]
    return y


def _bias_of_key(bias: Array | None, b: int, h: int, j: int) -> float:
    """What is added to every score of key j: bias (B, S), or (B or 1, H, S)."""
    if bias is None:
        return 0.0
    return bias[b, j] if bias.ndim == 2 else bias[b if len(bias) > 1 else 0, h, j]


def rotary(
    x: Array,
    *,
    positions: Array,
    base: float = 10000.0,
    rotary_dims: int | None = None,
    interleaved: bool = False,
    inverse_frequency: Array | None = None,
) -> Array:
    """Pair n of each head's coordinates turned by position · base^(-2n / r): (B, H, T, D) -> (B, H, T, D).

    r = rotary_dims coordinates take part. Pairs are (n, n + r/2), or (2n, 2n + 1) if interleaved.

    >>> rotary(np.array([[[[1.0, 0.0]]]]), positions=np.array([1])).ravel().round(4)     # one radian
    array([0.5403, 0.8415])

    Source: Su et al. 2021, arXiv:2104.09864, eq. 34.
    """
    batch, _, length, width = x.shape
    turning = width if rotary_dims is None else rotary_dims
    if inverse_frequency is None:
        inverse_frequency = np.array([base ** (-2 * n / turning) for n in range(turning // 2)])
    pairs = inverse_frequency.shape[-1]
    rates = np.broadcast_to(inverse_frequency, (batch, length, pairs))
    places = np.broadcast_to(positions, (batch, length))
    y = x.copy()
    for b, h, t in np.ndindex(x.shape[:3]):
        for n in range(pairs):
            one, other = (2 * n, 2 * n + 1) if interleaved else (n, n + pairs)
            cos, sin = math.cos(places[b, t] * rates[b, t, n]), math.sin(places[b, t] * rates[b, t, n])
            y[b, h, t, one] = x[b, h, t, one] * cos - x[b, h, t, other] * sin
            y[b, h, t, other] = x[b, h, t, other] * cos + x[b, h, t, one] * sin
    return y


def _reach(segments: Array | None, b: int, t: int) -> Iterator[int]:
    """How far back position t may look within its document: 0, 1, … The first document goes on before the row."""
    k = 0
    while segments is None or k > t or segments[b, t - k] == segments[b, t]:
        yield k
        k += 1


def causal_convolution(
    x: Array, weight: Array, bias: Array | None = None, tail: Array | None = None, *, segments: Array | None = None
) -> Array:
    """y[t] = bias + Σ_k weight[:, W - 1 - k] x[t - k] over the last W inputs: (B, T, C), (C, W) -> (B, T, C).

    tail (B, W - 1, C): the inputs before x, in place of zeros. segments (B, T): nothing from another document.

    >>> causal_convolution(np.array([[[1.0], [2.0], [3.0]]]), np.array([[10.0, 1.0]])).ravel()     # x[t] + 10 x[t-1]
    array([ 1., 12., 23.])
    """
    width = weight.shape[1]
    y = np.zeros_like(x)
    for b, t in np.ndindex(x.shape[:2]):
        y[b, t] = 0 if bias is None else bias
        for k, _ in zip(_reach(segments, b, t), range(width)):
            past = x[b, t - k] if k <= t else 0 if tail is None else tail[b, t - k]  # counted from the end
            y[b, t] += weight[:, width - 1 - k] * past
    return y


def long_convolution(
    x: Array, h: Array, D: Array | None = None, *, segments: Array | None = None, method: str = "direct"
) -> Array:
    """y[t] = h[0] x[t] + h[1] x[t - 1] + … + h[t] x[0], and D x[t]: (B, T, C), filters (K, C) -> (B, T, C).

    >>> long_convolution(np.array([[[1.0], [2.0], [3.0]]]), np.array([[1.0], [10.0], [100.0]])).ravel()
    array([  1.,  12., 123.])

    Source: Poli et al. 2023, arXiv:2302.10866.
    """
    y = np.zeros_like(x)
    for b, t in np.ndindex(x.shape[:2]):
        for k, _ in zip(_reach(segments, b, t), range(min(t + 1, len(h)))):
            y[b, t] += h[k] * x[b, t - k]
        y[b, t] += 0 if D is None else D * x[b, t]
    return y


def modal_filter(poles: Array, residues: Array, *, length: int) -> Array:
    """h[t] = Re Σ_n R_n p_n^t: poles and residues (C, N, 2), pairs of real and imaginary part -> (length, C).

    >>> modal_filter(np.array([[[0.5, 0.0]]]), np.array([[[3.0, 0.0]]]), length=3).ravel()
    array([3.  , 1.5 , 0.75])

    Source: Massaroli et al. 2023, arXiv:2310.18780, section 3.
    """
    h = np.zeros((length, len(poles)), poles.dtype)
    for t, c in np.ndindex(h.shape):
        for p, R in zip(poles[c], residues[c]):
            h[t, c] += (complex(*R) * complex(*p) ** t).real
    return h


def modal_scan(
    x: Array,
    poles: Array,
    residues: Array,
    D: Array | None = None,
    state: Array | None = None,
    *,
    segments: Array | None = None,
) -> tuple[Array, Array]:
    """s_t = p s_{t-1} + x_t and y_t = Re Σ_n R_n s_t + D x_t: y (B, T, C) and the last state (B, C, N, 2).

    >>> y, last = modal_scan(np.array([[[1.0], [0.0]]]), np.array([[[0.5, 0.0]]]), np.array([[[3.0, 0.0]]]))
    >>> y.ravel(), last.ravel()
    (array([3. , 1.5]), array([0.5, 0. ]))

    Source: Massaroli et al. 2023, arXiv:2310.18780, with the present input in the state.
    """
    batch, length, channels = x.shape
    y, last = np.zeros_like(x), np.zeros((batch, *poles.shape), x.dtype)
    for b, c in np.ndindex(batch, channels):
        s = [0j if state is None else complex(*state[b, c, n]) for n in range(poles.shape[1])]
        for t in range(length):
            begins = segments is not None and t > 0 and segments[b, t] != segments[b, t - 1]
            s = [(0 if begins else complex(*p) * old) + x[b, t, c] for p, old in zip(poles[c], s)]
            y[b, t, c] = sum((complex(*R) * new).real for R, new in zip(residues[c], s))
            y[b, t, c] += 0 if D is None else D[c] * x[b, t, c]
        last[b, c] = [(new.real, new.imag) for new in s]
    return y, last


def selective_scan(
    x: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    D: Array | None = None,
    state: Array | None = None,
    *,
    segments: Array | None = None,
) -> tuple[Array, Array]:
    """h_t = e^(Δ_t A) h_{t-1} + Δ_t B_t x_t and y_t = C_t · h_t + D x_t: y (B, T, d) and the last state (B, d, N).

    >>> one = np.ones((1, 3, 1))
    >>> selective_scan(one, one, -np.ones((1, 1)), one, one)[0].ravel().round(4)     # h = h / e + 1
    array([1.    , 1.3679, 1.5032])

    Source: Gu & Dao 2023, arXiv:2312.00752, eqs. 2 and 4, algorithm 2.
    """
    batch, length, channels = x.shape
    y, last = np.zeros_like(x), np.zeros((batch, *A.shape), x.dtype)
    for b, c in np.ndindex(batch, channels):
        h = [0.0 if state is None else state[b, c, n] for n in range(A.shape[1])]
        for t in range(length):
            if segments is not None and t > 0 and segments[b, t] != segments[b, t - 1]:
                h = [0.0 for _ in h]
            for n in range(A.shape[1]):
                h[n] = math.exp(delta[b, t, c] * A[c, n]) * h[n] + delta[b, t, c] * B[b, t, n] * x[b, t, c]
            y[b, t, c] = sum(C[b, t, n] * h[n] for n in range(A.shape[1])) + (0 if D is None else D[c] * x[b, t, c])
        last[b, c] = h
    return y, last
