"""One row at a time: softmax, norms, tables, products and losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import entries

Array = np.ndarray


def rows_of(x: Array) -> Any:
    """The index of every row along the last axis."""
    return np.ndindex(x.shape[:-1])


def softmax(x: Array, axis: int = -1) -> Array:
    """e^(x_i - max) / Σ_j e^(x_j - max) along an axis; zeros where there is nothing but -inf.

    >>> softmax(np.array([0.0, 1.0])).round(4)
    array([0.2689, 0.7311])
    """
    x = np.moveaxis(x, axis, -1)
    y = np.zeros_like(x)
    for n in rows_of(x):
        largest = max(x[n])
        if largest > -math.inf:  # shifted by the largest, nothing overflows, and the shift cancels
            e = [math.exp(a - largest) for a in x[n]]
            y[n] = [a / sum(e) for a in e]
    return np.moveaxis(y, -1, axis)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """x_i - max - ln Σ_j e^(x_j - max) along an axis.

    >>> log_softmax(np.array([0.0, 1.0])).round(4)
    array([-1.3133, -0.3133])
    """
    x = np.moveaxis(x, axis, -1)
    y = np.empty_like(x)
    for n in rows_of(x):
        largest = max(x[n])
        logarithm = math.log(sum(math.exp(a - largest) for a in x[n]))
        y[n] = [a - largest - logarithm for a in x[n]]
    return np.moveaxis(y, -1, axis)


def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5) -> Array:
    """(x - mean) / √(variance + eps) along each row, times weight, plus bias.

    >>> layer_norm(np.array([1.0, 3.0]), None, np.array([0.5, 0.5]), eps=0.0)
    array([-0.5,  1.5])

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, eq. 4.
    """
    y = np.empty_like(x)
    for n in rows_of(x):
        mean = sum(x[n]) / len(x[n])
        variance = sum((a - mean) ** 2 for a in x[n]) / len(x[n])
        for i, a in enumerate(x[n]):
            scaled = (a - mean) / math.sqrt(variance + eps) * (1 if weight is None else weight[i])
            y[n][i] = scaled + (0 if bias is None else bias[i])
    return y


def rms_norm(x: Array, weight: Array | None = None, *, eps: float = 1e-6, eps_outside: bool = False) -> Array:
    """x / √(mean of x² + eps) along each row, times weight; eps_outside: x / (√(mean of x²) + eps).

    >>> rms_norm(np.array([3.0, 4.0]), eps=0.0).round(4)     # √((9 + 16) / 2) = 3.5355
    array([0.8485, 1.1314])

    Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
    """
    y = np.empty_like(x)
    for n in rows_of(x):
        square = sum(a * a for a in x[n]) / len(x[n])
        size = math.sqrt(square) + eps if eps_outside else math.sqrt(square + eps)
        y[n] = [a / size * (1 if weight is None else weight[i]) for i, a in enumerate(x[n])]
    return y


def embedding(weight: Array, ids: Array) -> Array:
    """Row ids[n] of the table for every place n: (V, D), (...) -> (..., D).

    >>> embedding(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.array([2, 0]))
    array([[4., 5.],
           [0., 1.]])
    """
    y = np.empty((*ids.shape, weight.shape[1]), weight.dtype)
    for n in np.ndindex(ids.shape):
        y[n] = weight[ids[n]]
    return y


def linear(x: Array, weight: Array, bias: Array | None = None, *, transposed: bool = False) -> Array:
    """y_o = Σ_i x_i W_io + b_o for every row: (..., I), (I, O), (O,) -> (..., O). transposed: W is stored (O, I).

    >>> linear(np.array([1.0, 2.0]), np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 1.0]]))
    array([1., 2., 5.])
    """
    weight = weight.T if transposed else weight
    y = np.zeros((*x.shape[:-1], weight.shape[1]), x.dtype)
    for n in rows_of(x):
        for o in range(weight.shape[1]):
            total = sum(x[n][i] * weight[i, o] for i in range(weight.shape[0]))
            y[n][o] = total + (0 if bias is None else bias[o])
    return y


def linear_heads(x: Array, weight: Array, bias: Array | None = None, *, heads: int) -> Array:
    """Head h of a token is the h-th part of x W + b: (B, T, I), (I, H·D), (H·D,) -> (B, H, T, D).

    >>> linear_heads(np.array([[[1.0, 2.0]]]), np.eye(2), heads=2).tolist()
    [[[[1.0]], [[2.0]]]]
    """
    y = linear(x, weight, bias)
    width = y.shape[2] // heads
    return np.array([[row[:, h * width : (h + 1) * width] for h in range(heads)] for row in y])


def join_heads(x: Array) -> Array:
    """A token's heads one behind the other: (B, H, T, D) -> (B, T, H·D).

    >>> join_heads(np.array([[[[1.0]], [[2.0]]]])).tolist()
    [[[1.0, 2.0]]]
    """
    return np.array([np.concatenate(list(row), axis=1) for row in x])


def queries_keys_values(
    x: Array, query: Array, key: Array, value: Array, query_bias: Array | None = None, key_bias: Array | None = None,
    value_bias: Array | None = None, *, heads: int, key_value_heads: int,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Each of the three as `linear_heads`, the last two of `key_value_heads` heads.

    >>> q, k, v = queries_keys_values(np.ones((1, 1, 1)), *np.arange(1.0, 4.0).reshape(3, 1, 1), heads=1,
    ...                               key_value_heads=1)
    >>> q.item(), k.item(), v.item()
    (1.0, 2.0, 3.0)
    """
    q = linear_heads(x, query, query_bias, heads=heads)
    k, v = (linear_heads(x, *of, heads=key_value_heads) for of in ((key, key_bias), (value, value_bias)))
    return q, k, v


def feed_forward(
    x: Array, up: Array, down: Array, up_bias: Array | None = None, down_bias: Array | None = None, *,
    activation: str = "gelu_tanh",
) -> Array:  # fmt: skip
    """activation(x up + up_bias) down + down_bias.

    >>> feed_forward(np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [1.0, 0.0]]), np.ones((2, 1)), activation="relu")
    array([[3.]])

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 2.
    """
    return linear(getattr(entries, activation)(linear(x, up, up_bias)), down, down_bias)


def gated_feed_forward(
    x: Array, gate: Array, up: Array, down: Array, gate_bias: Array | None = None, up_bias: Array | None = None,
    down_bias: Array | None = None, *, activation: str = "silu",
) -> Array:  # fmt: skip
    """(activation(x gate + gate_bias) ⊙ (x up + up_bias)) down + down_bias.

    >>> gated_feed_forward(*np.array([1.0, 1.0, 2.0, 10.0]).reshape(4, 1, 1)).round(4)       # 0.7311 · 2 · 10
    array([[14.6212]])

    Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    """
    opened = getattr(entries, activation)(linear(x, gate, gate_bias))
    return linear(opened * linear(x, up, up_bias), down, down_bias)


def cross_entropy(
    logits: Array,
    targets: Array,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    normaliser: float | None = None,
) -> Array:
    """-ln softmax(logits) at the target, averaged over the targets that count (or summed, or each).

    >>> cross_entropy(np.log(np.array([[1.0, 3.0], [1.0, 1.0]])), np.array([1, 0])).round(4)     # (ln 4/3 + ln 2) / 2
    np.float64(0.4904)
    """
    losses = np.zeros(targets.shape, logits.dtype)
    for n in np.ndindex(targets.shape):
        if targets[n] != ignore_index:
            losses[n] = -log_softmax(logits[n])[targets[n]]
    if reduction == "none":
        return losses
    count = np.sum(targets != ignore_index) if normaliser is None else normaliser
    return losses.dtype.type(losses.sum() / (count if reduction == "mean" else 1))


def add_low_rank(y: Array, x: Array, A: Array, B: Array, *, scale: float = 1.0) -> Array:
    """y_o + scale Σ_i x_i Σ_r A_ir B_ro: (..., O), (..., I), (I, R), (R, O).

    >>> add_low_rank(np.ones(2), np.array([1.0, 2.0]), np.ones((2, 1)), np.array([[10.0, 0.0]]), scale=0.5)
    array([16.,  1.])
    """
    return y + scale * linear(x, linear(A, B))


def linear_cross_entropy(
    x: Array,
    weight: Array,
    targets: Array,
    bias: Array | None = None,
    *,
    normaliser: float | None = None,
    transposed: bool = False,
) -> Array:
    """The cross-entropy of the logits x W + b.

    >>> linear_cross_entropy(np.eye(2), np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, -100])).round(4)
    np.float64(0.1269)
    """
    return cross_entropy(linear(x, weight, bias, transposed=transposed), targets, normaliser=normaliser)


def skew_divergence(
    student: Array, teacher: Array, counts: Array | None = None, *, beta: float, temperature: float = 1.0
) -> Array:
    """KL(T | M) / (1 - β) + KL(S | M) / β with M = β T + (1 - β) S; KL(T | S) at β = 0, KL(S | T) at β = 1.

    >>> student, teacher = np.log([0.5, 0.5]), np.log([0.25, 0.75])
    >>> skew_divergence(student, teacher, beta=0.0).round(4)         # 3/4 ln 3 - ln 2
    np.float64(0.1308)

    Source: Agarwal et al. 2023, arXiv:2306.13649, eq. 1, divided by β (1 - β).
    """

    def divergence(p: Any, q: Any) -> float:
        return sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0)

    y = np.zeros(student.shape[:-1], student.dtype)
    for n in rows_of(student):
        if counts is None or counts[n]:
            s, t = softmax(student[n] / temperature), softmax(teacher[n] / temperature)
            if beta == 0:
                y[n] = divergence(t, s)
            elif beta == 1:
                y[n] = divergence(s, t)
            else:
                m = [beta * a + (1 - beta) * b for a, b in zip(t, s)]
                y[n] = divergence(t, m) / (1 - beta) + divergence(s, m) / beta
    return y
