"""Compiled versions of `kernels.activations`: one vectorised loop each over the flattened arrays."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from ..dispatch import compiled
from . import elementary

f4 = np.float32
SQRT_2_OVER_PI = 0.7978845608028654
CUBIC = 0.044715


@register_jitable(**elementary.OPTIONS)
def _log1p_single(e):
    # ln(1 + e) = 2 artanh(z) with z = e / (2 + e); for e in 0..1, z is at most 1/3 and eight terms are enough.
    z = e / (f4(2.0) + e)
    w = z * z
    series = f4(1 / 9) + w * (f4(1 / 11) + w * (f4(1 / 13) + w * f4(1 / 15)))
    return f4(2.0) * z * (f4(1.0) + w * (f4(1 / 3) + w * (f4(1 / 5) + w * (f4(1 / 7) + w * series))))


log1p = elementary._by_dtype(lambda x: _log1p_single(x), lambda x: math.log1p(x))
"""ln(1 + x) for x in 0..1, in float32 as a polynomial that vectorises."""


def _one(loop):
    """The Python face of a loop (x, y)."""

    def function(x):
        y = np.empty_like(x)
        loop(x.reshape(-1), y.reshape(-1))
        return y

    return function


def _two(loop):
    """The Python face of a loop (a, b, y) over two arrays of one shape."""

    def function(a, b):
        if a.shape != b.shape:
            raise ValueError(f"arrays of one shape are needed, got {a.shape} and {b.shape}")
        y = np.empty_like(a)
        loop(a.reshape(-1), b.reshape(-1), y.reshape(-1))
        return y

    return function


def _gated_backward(loop):
    """The Python face of a loop (dy, gate, up, dgate, dup)."""

    def function(dy, gate, up):
        if not dy.shape == gate.shape == up.shape:
            raise ValueError(f"arrays of one shape are needed, got {dy.shape}, {gate.shape} and {up.shape}")
        dgate, dup = np.empty_like(gate), np.empty_like(up)
        loop(dy.reshape(-1), gate.reshape(-1), up.reshape(-1), dgate.reshape(-1), dup.reshape(-1))
        return dgate, dup

    return function


def _again(loop):
    """The Python face of a loop that changes its arrays, of one shape."""

    def function(dy, *inputs):
        if any(x.shape != dy.shape for x in inputs):
            raise ValueError(f"arrays of one shape are needed, got {dy.shape} and {[x.shape for x in inputs]}")
        loop(dy.reshape(-1), *(x.reshape(-1) for x in inputs))

    return function


@compiled
def _exp(x, y):
    for i in range(x.size):
        y[i] = elementary.exp(x[i])


@compiled
def _tanh(x, y):
    for i in range(x.size):
        y[i] = elementary.tanh(x[i])


@compiled
def _sigmoid(x, y):
    for i in range(x.size):
        y[i] = elementary.sigmoid(x[i])


@compiled
def _softplus(x, y):
    zero = x.dtype.type(0.0)
    for i in range(x.size):
        y[i] = max(x[i], zero) + log1p(elementary.exp(-abs(x[i])))


@compiled
def _silu(x, y):
    for i in range(x.size):
        y[i] = x[i] * elementary.sigmoid(x[i])


@compiled
def _silu_backward(dy, x, dx):
    one = x.dtype.type(1.0)
    for i in range(x.size):
        s = elementary.sigmoid(x[i])
        dx[i] = dy[i] * (s * (one + x[i] * (one - s)))


@compiled
def _gelu(x, y):
    for i in range(x.size):
        below, _ = elementary.normal(x[i])
        y[i] = x[i] * below


@compiled
def _gelu_backward(dy, x, dx):
    for i in range(x.size):
        below, density = elementary.normal(x[i])
        dx[i] = dy[i] * (below + x[i] * density)


@compiled
def _gelu_tanh(x, y):
    twice, cubic = x.dtype.type(2.0 * SQRT_2_OVER_PI), x.dtype.type(2.0 * SQRT_2_OVER_PI * CUBIC)
    for i in range(x.size):
        u = x[i] * (twice + cubic * (x[i] * x[i]))
        y[i] = x[i] * elementary.sigmoid(u)


@compiled
def _gelu_tanh_backward(dy, x, dx):
    one = x.dtype.type(1.0)
    twice, cubic = x.dtype.type(2.0 * SQRT_2_OVER_PI), x.dtype.type(2.0 * SQRT_2_OVER_PI * CUBIC)
    three_cubic = x.dtype.type(3.0 * 2.0 * SQRT_2_OVER_PI * CUBIC)
    for i in range(x.size):
        square = x[i] * x[i]
        s = elementary.sigmoid(x[i] * (twice + cubic * square))
        dx[i] = dy[i] * (s * (one + x[i] * ((one - s) * (twice + three_cubic * square))))


@compiled
def _swiglu(gate, up, y):
    for i in range(gate.size):
        y[i] = gate[i] * elementary.sigmoid(gate[i]) * up[i]


@compiled
def _swiglu_backward(dy, gate, up, dgate, dup):
    one = gate.dtype.type(1.0)
    for i in range(gate.size):
        s = elementary.sigmoid(gate[i])
        dup[i] = dy[i] * (gate[i] * s)
        dgate[i] = dy[i] * up[i] * (s * (one + gate[i] * (one - s)))


@compiled
def _geglu(gate, up, y):
    for i in range(gate.size):
        below, _ = elementary.normal(gate[i])
        y[i] = gate[i] * below * up[i]


@compiled
def _geglu_backward(dy, gate, up, dgate, dup):
    for i in range(gate.size):
        below, density = elementary.normal(gate[i])
        dup[i] = dy[i] * (gate[i] * below)
        dgate[i] = dy[i] * up[i] * (below + gate[i] * density)


@compiled
def _silu_again(dy, x):
    one = x.dtype.type(1.0)
    for i in range(x.size):
        d, v = dy[i], x[i]
        s = elementary.sigmoid(v)
        x[i] = d * (s * (one + v * (one - s)))
        dy[i] = v * s


@compiled
def _gelu_again(dy, x):
    for i in range(x.size):
        d, v = dy[i], x[i]
        below, density = elementary.normal(v)
        x[i] = d * (below + v * density)
        dy[i] = v * below


@compiled
def _gelu_tanh_again(dy, x):
    one = x.dtype.type(1.0)
    twice, cubic = x.dtype.type(2.0 * SQRT_2_OVER_PI), x.dtype.type(2.0 * SQRT_2_OVER_PI * CUBIC)
    three_cubic = x.dtype.type(3.0 * 2.0 * SQRT_2_OVER_PI * CUBIC)
    for i in range(x.size):
        d, v = dy[i], x[i]
        square = v * v
        s = elementary.sigmoid(v * (twice + cubic * square))
        x[i] = d * (s * (one + v * ((one - s) * (twice + three_cubic * square))))
        dy[i] = v * s


@compiled
def _swiglu_again(dy, gate, up):
    one = gate.dtype.type(1.0)
    for i in range(gate.size):
        d, g, u = dy[i], gate[i], up[i]
        s = elementary.sigmoid(g)
        gate[i] = d * u * (s * (one + g * (one - s)))
        up[i] = d * (g * s)
        dy[i] = g * s * u


@compiled
def _geglu_again(dy, gate, up):
    for i in range(gate.size):
        d, g, u = dy[i], gate[i], up[i]
        below, density = elementary.normal(g)
        gate[i] = d * u * (below + g * density)
        up[i] = d * (g * below)
        dy[i] = g * below * u


exp, tanh, sigmoid, silu = _one(_exp), _one(_tanh), _one(_sigmoid), _one(_silu)
softplus = _one(_softplus)
gelu, gelu_tanh = _one(_gelu), _one(_gelu_tanh)
silu_backward, gelu_backward, gelu_tanh_backward = (
    _two(_silu_backward),
    _two(_gelu_backward),
    _two(_gelu_tanh_backward),
)
swiglu, geglu = _two(_swiglu), _two(_geglu)
swiglu_backward, geglu_backward = _gated_backward(_swiglu_backward), _gated_backward(_geglu_backward)
silu_again, gelu_again, gelu_tanh_again = _again(_silu_again), _again(_gelu_again), _again(_gelu_tanh_again)
swiglu_again, geglu_again = _again(_swiglu_again), _again(_geglu_again)
