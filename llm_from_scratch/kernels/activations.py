"""Element-wise activations and their derivatives; any shape in, the same shape and dtype out.

The backward kernels recompute what they need from the input instead of keeping it. Results below the smallest
normal number may come out as zero in the compiled version: float32 exp has no subnormal results there.
"""

from __future__ import annotations

import math

import numpy as np

from .dispatch import kernel

SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
CUBIC = 0.044715  # of GELU's tanh form


@kernel
def exp(x: np.ndarray) -> np.ndarray:
    """e to the power x; 0 where the result would be subnormal.

    >>> exp(np.array([0.0, 1.0, -np.inf])).round(4)
    array([1.    , 2.7183, 0.    ])
    """
    with np.errstate(over="ignore", under="ignore"):
        y = np.exp(x)
    return np.where(y < np.finfo(x.dtype).tiny, x.dtype.type(0), y)


@kernel
def tanh(x: np.ndarray) -> np.ndarray:
    """The hyperbolic tangent.

    >>> tanh(np.array([0.0, 1.0, -20.0])).round(4)
    array([ 0.    ,  0.7616, -1.    ])
    """
    return np.tanh(x)


@kernel
def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow and without losing the digits of small results.

    >>> sigmoid(np.array([0.0, 2.0, -100.0])).round(4)
    array([0.5   , 0.8808, 0.    ])
    """
    with np.errstate(under="ignore"):
        e = np.exp(-np.abs(x))
    return np.where(x >= 0, x.dtype.type(1), e) / (1 + e)


@kernel
def softplus(x: np.ndarray) -> np.ndarray:
    """ln(1 + exp(x)), a smooth max(x, 0), without overflow and without losing the digits of small results.

    >>> softplus(np.array([0.0, 2.0, -5.0, 1000.0])).round(4)
    array([6.9310e-01, 2.1269e+00, 6.7000e-03, 1.0000e+03])
    """
    with np.errstate(under="ignore"):
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@kernel
def silu(x: np.ndarray) -> np.ndarray:
    """x sigmoid(x), also called swish.

    >>> silu(np.array([0.0, 1.0, -1.0])).round(4)
    array([ 0.    ,  0.7311, -0.2689])
    """
    return x * sigmoid.__wrapped__(x)


@kernel
def silu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy times the derivative of silu: s (1 + x (1 - s)) with s = sigmoid(x).

    >>> silu_backward(np.ones(2), np.array([0.0, 1.0])).round(4)
    array([0.5   , 0.9277])
    """
    s = sigmoid.__wrapped__(x)
    return dy * (s * (1 + x * (1 - s)))


def normal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The standard normal distribution's probability below x and density at x."""
    root_half = math.sqrt(0.5)
    below = [0.5 * math.erfc(-value * root_half) for value in x.ravel().tolist()]  # NumPy has no erf
    with np.errstate(over="ignore", under="ignore"):
        density = np.exp(-0.5 * (x * x)) * x.dtype.type(1.0 / math.sqrt(2.0 * math.pi))
    return np.array(below, x.dtype).reshape(x.shape), density


@kernel
def gelu(x: np.ndarray) -> np.ndarray:
    """x Phi(x), Phi being the probability that a standard normal number is below x.

    >>> gelu(np.array([0.0, 1.0, -1.0])).round(4)
    array([ 0.    ,  0.8413, -0.1587])
    """
    return x * normal(x)[0]


@kernel
def gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy times the derivative of gelu: Phi(x) + x phi(x), phi the density.

    >>> gelu_backward(np.ones(2), np.array([0.0, 1.0])).round(4)
    array([0.5   , 1.0833])
    """
    below, density = normal(x)
    return dy * (below + x * density)


@kernel
def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """The tanh form of gelu, x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).

    Computed as x sigmoid(2u), which is the same function; 1 + tanh u would lose the digits of large negative
    x.

    >>> gelu_tanh(np.array([0.0, 1.0, -1.0])).round(4)
    array([ 0.    ,  0.8412, -0.1588])
    """
    return x * sigmoid.__wrapped__(_twice_inner(x))


@kernel
def gelu_tanh_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy times the derivative of gelu_tanh: s (1 + x (1 - s) v), with s = sigmoid(2u) and v = d(2u) / dx.

    >>> gelu_tanh_backward(np.ones(2), np.array([0.0, 1.0])).round(4)
    array([0.5  , 1.083])
    """
    s = sigmoid.__wrapped__(_twice_inner(x))
    slope = 2 * SQRT_2_OVER_PI * (1 + 3 * CUBIC * (x * x))
    return dy * (s * (1 + x * ((1 - s) * slope)))


def _twice_inner(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return (2 * SQRT_2_OVER_PI) * (x + CUBIC * (x * x * x))


@kernel
def swiglu(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """silu(gate) up, for two arrays of one shape.

    >>> swiglu(np.array([1.0, -1.0]), np.array([2.0, 2.0])).round(4)
    array([ 1.4621, -0.5379])
    """
    return silu.__wrapped__(gate) * up


@kernel
def swiglu_backward(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients (dgate, dup) of swiglu."""
    return silu_backward.__wrapped__(dy * up, gate), dy * silu.__wrapped__(gate)


@kernel
def geglu(gate: np.ndarray, up: np.ndarray) -> np.ndarray:
    """gelu(gate) up, for two arrays of one shape.

    >>> geglu(np.array([1.0, -1.0]), np.array([2.0, 2.0])).round(4)
    array([ 1.6827, -0.3173])
    """
    return gelu.__wrapped__(gate) * up


@kernel
def geglu_backward(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients (dgate, dup) of geglu."""
    return gelu_backward.__wrapped__(dy * up, gate), dy * gelu.__wrapped__(gate)


# In the backward of a layer behind an activation both are wanted: what went into that layer, and the gradient of what
# went into the activation. One exponential serves both, and only the activation's input has to be kept till then.


@kernel(writes=("dy", "x"))
def silu_again(dy: np.ndarray, x: np.ndarray) -> None:
    """The backward of silu and its output once more, in place: x becomes its gradient, dy becomes silu(x).

    >>> dy, x = np.ones(2), np.array([0.0, 1.0])
    >>> silu_again(dy, x)
    >>> x.round(4), dy.round(4)
    (array([0.5   , 0.9277]), array([0.    , 0.7311]))
    """
    x[...], dy[...] = silu_backward.__wrapped__(dy, x), silu.__wrapped__(x)


@kernel(writes=("dy", "x"))
def gelu_again(dy: np.ndarray, x: np.ndarray) -> None:
    """The same for gelu: x becomes its gradient, dy becomes gelu(x)."""
    x[...], dy[...] = gelu_backward.__wrapped__(dy, x), gelu.__wrapped__(x)


@kernel(writes=("dy", "x"))
def gelu_tanh_again(dy: np.ndarray, x: np.ndarray) -> None:
    """The same for gelu_tanh: x becomes its gradient, dy becomes gelu_tanh(x)."""
    x[...], dy[...] = gelu_tanh_backward.__wrapped__(dy, x), gelu_tanh.__wrapped__(x)


@kernel(writes=("dy", "gate", "up"))
def swiglu_again(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> None:
    """The same for swiglu: gate and up become their gradients, dy becomes swiglu(gate, up)."""
    y = swiglu.__wrapped__(gate, up)
    gate[...], up[...] = swiglu_backward.__wrapped__(dy, gate, up)
    dy[...] = y


@kernel(writes=("dy", "gate", "up"))
def geglu_again(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> None:
    """The same for geglu: gate and up become their gradients, dy becomes geglu(gate, up)."""
    y = geglu.__wrapped__(gate, up)
    gate[...], up[...] = geglu_backward.__wrapped__(dy, gate, up)
    dy[...] = y


def _arrays(count):
    """Cases with `count` arrays each: usual sizes, far out on both sides, more dimensions, none at all."""

    def cases(rng):
        for shape, scale in (((37,), 1.0), ((64,), 30.0), ((2, 3, 5), 4.0), ((0, 4), 1.0), ((), 1.0)):
            yield tuple(np.asarray(rng.normal(size=shape) * scale) for _ in range(count)), {}

    return cases


for _one in (exp, tanh, sigmoid, softplus, silu, gelu, gelu_tanh):
    _one.example(_arrays(1))
_again = silu_again, gelu_again, gelu_tanh_again
for _two in (silu_backward, gelu_backward, gelu_tanh_backward, swiglu, geglu, *_again):
    _two.example(_arrays(2))
for _three in (swiglu_backward, geglu_backward, swiglu_again, geglu_again):
    _three.example(_arrays(3))
