"""The feed-forward part as one step of the graph: two matrices around an activation, or three with a gate.

The widest arrays of a model lie between these matrices. Here only what goes into the activation is kept: the backward
computes what came out once more, for the price of one look at each number (`kernels.activations.gelu_tanh_again`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import primitive
from ..checks import floating, shapes
from ..kernels import activations as kernels
from ..kernels.row_products import product


def _relu_again(dy: np.ndarray, x: np.ndarray) -> None:
    y = np.maximum(x, 0)
    np.multiply(dy, x > 0, out=x)
    dy[...] = y


# The activation, and its backward together with its output once more.
PLAIN: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "gelu": (kernels.gelu, kernels.gelu_again),
    "gelu_tanh": (kernels.gelu_tanh, kernels.gelu_tanh_again),
    "silu": (kernels.silu, kernels.silu_again),
    "relu": (lambda x: np.maximum(x, 0), _relu_again),
}
GATED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "silu": (kernels.swiglu, kernels.swiglu_again),
    "gelu": (kernels.geglu, kernels.geglu_again),
}


@primitive
def feed_forward(x, up, down, up_bias=None, down_bias=None, /, *, activation="gelu_tanh"):
    """activation(x up + up_bias) down + down_bias.

    x (..., D), up (D, I), down (I, O), up_bias (I,) and down_bias (O,) or None -> (..., O). activation: "gelu" (exact),
    "gelu_tanh", "silu" or "relu".

    >>> feed_forward([[1.0, 2.0]], [[1.0, -1.0], [1.0, 0.0]], [[1.0], [1.0]], activation="relu")    # relu of 3 and -1
    Tensor([[3.]])

    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 2.
    """
    forward, _ = _chosen("feed_forward", activation, PLAIN)
    rows = _checked("feed_forward", x, down, down_bias, (up, up_bias))
    inner = _affine(rows, up, up_bias)
    y = _affine(forward(inner), down, down_bias)
    return y.reshape(*x.shape[:-1], y.shape[1]), (rows, x.shape, up, down, inner, activation)


@feed_forward.backward
def _(dy, saved, needs):
    rows, shape, up, down, inner, activation = saved
    dy2 = dy.reshape(-1, dy.shape[-1])
    dx = dup = ddown = dup_bias = None
    if any(needs[:4]):
        y, dinner = dy2 @ down.T, inner
        PLAIN[activation][1](y, dinner)
        dx = (dinner @ up.T).reshape(shape) if needs[0] else None
        dup = rows.T @ dinner if needs[1] else None
        ddown = y.T @ dy2 if needs[2] else None
        dup_bias = dinner.sum(axis=0) if needs[3] else None
    return dx, dup, ddown, dup_bias, dy2.sum(axis=0) if needs[4] else None


@primitive
def gated_feed_forward(x, gate, up, down, gate_bias=None, up_bias=None, down_bias=None, /, *, activation="silu"):
    """(activation(x gate + gate_bias) ⊙ (x up + up_bias)) down + down_bias: SwiGLU with "silu", GeGLU with "gelu".

    x (..., D), gate and up (D, I), down (I, O), gate_bias and up_bias (I,), down_bias (O,) or None -> (..., O).

    >>> gated_feed_forward([[1.0]], [[1.0]], [[2.0]], [[10.0]])                       # 0.7311 · 2 · 10
    Tensor([[14.6212]])

    Source: Shazeer 2020, arXiv:2002.05202, eq. 6.
    """
    forward, _ = _chosen("gated_feed_forward", activation, GATED)
    rows = _checked("gated_feed_forward", x, down, down_bias, (gate, gate_bias), (up, up_bias))
    opened, inner = _affine(rows, gate, gate_bias), _affine(rows, up, up_bias)
    y = _affine(forward(opened, inner), down, down_bias)
    return y.reshape(*x.shape[:-1], y.shape[1]), (rows, x.shape, gate, up, down, opened, inner, activation)


@gated_feed_forward.backward
def _(dy, saved, needs):
    rows, shape, gate, up, down, dopened, dinner, activation = saved
    dy2 = dy.reshape(-1, dy.shape[-1])
    dx = dgate = dup = ddown = dgate_bias = dup_bias = None
    if any(needs[:6]):
        y = dy2 @ down.T
        GATED[activation][1](y, dopened, dinner)
        if needs[0]:
            dx = dopened @ gate.T
            dx += dinner @ up.T
            dx = dx.reshape(shape)
        dgate = rows.T @ dopened if needs[1] else None
        dup = rows.T @ dinner if needs[2] else None
        ddown = y.T @ dy2 if needs[3] else None
        dgate_bias = dopened.sum(axis=0) if needs[4] else None
        dup_bias = dinner.sum(axis=0) if needs[5] else None
    return dx, dgate, dup, ddown, dgate_bias, dup_bias, dy2.sum(axis=0) if needs[6] else None


def _affine(rows, matrix, bias):
    y = product(rows, matrix)
    if bias is not None:
        y += bias
    return y


def _chosen(name, activation, among):
    if activation not in among:
        raise ValueError(f"{name}: unknown activation {activation!r}: one of {', '.join(among)}")
    return among[activation]


def _checked(name, x, down, down_bias, *first):
    """x as rows; an error unless it fits the matrices in front of the activation, and these and `down` each other."""
    floating(name, x, down, *(matrix for matrix, _ in first))
    matrices = [matrix for matrix, _ in first]
    fits = x.ndim >= 1 and down.ndim == 2
    if not fits or any(matrix.shape != (x.shape[-1], down.shape[0]) for matrix in matrices):
        given = ", ".join(str(matrix.shape) for matrix in (*matrices, down))
        raise ValueError(f"{name}: an input {x.shape} and matrices of (in, out) = {given} do not fit together")
    for matrix, bias in (*first, (down, down_bias)):
        shapes(name, bias=(bias, matrix.shape[1:]))
    return x.reshape(-1, x.shape[-1])


@feed_forward.example
def _(rng):
    return (rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=(5, 3))), {}


for _activation in PLAIN:

    @feed_forward.example
    def _(rng, activation=_activation):
        shapes = (3, 4), (4, 5), (5, 3), (5,), (3,)
        return tuple(rng.normal(size=shape) for shape in shapes), {"activation": activation}


@gated_feed_forward.example
def _(rng):
    return tuple(rng.normal(size=shape) for shape in ((2, 3, 4), (4, 5), (4, 5), (5, 3))), {}


for _activation in GATED:

    @gated_feed_forward.example
    def _(rng, activation=_activation):
        shapes = (3, 4), (4, 5), (4, 5), (5, 3), (5,), (5,), (3,)
        return tuple(rng.normal(size=shape) for shape in shapes), {"activation": activation}
