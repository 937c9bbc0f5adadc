"""Softmax and its logarithm over the last axis, with their derivatives.

Rows are shifted by their maximum, so nothing overflows. Probabilities too small for a normal number are exact
zeros, because arithmetic on subnormal numbers is many times slower. A row of nothing but -inf, where every
choice is masked, gives zeros (softmax) or -inf (log_softmax) rather than NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .dispatch import kernel


@kernel
def softmax(x: np.ndarray) -> np.ndarray:
    """exp(x) divided by its sum over the last axis.

    >>> softmax(np.array([[0.0, np.log(3.0)], [-np.inf, -np.inf]])).round(4)
    array([[0.25, 0.75],
           [0.  , 0.  ]])
    """
    e = np.exp(x - shift(x))
    total = e.sum(-1, keepdims=True)
    y = e / np.where(total == 0, x.dtype.type(1), total)
    return np.where(y < np.finfo(x.dtype).tiny, x.dtype.type(0), y)


@kernel
def softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The gradient dx = y (dy - sum(dy y)) of softmax, from its output y."""
    return y * (dy - (dy * y).sum(-1, keepdims=True))


@kernel
def log_softmax(x: np.ndarray) -> np.ndarray:
    """x minus the logarithm of the sum of exp(x) over the last axis.

    >>> log_softmax(np.array([0.0, np.log(3.0)])).round(4)
    array([-1.3863, -0.2877])
    """
    shifted = x - shift(x)
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.where(np.isneginf(logarithm), -np.inf, shifted - np.where(np.isneginf(logarithm), 0, logarithm))


@kernel
def log_softmax_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The gradient dx = dy - exp(y) sum(dy) of log_softmax, from its output y."""
    return dy - np.exp(y) * dy.sum(-1, keepdims=True)


def shift(x: np.ndarray) -> np.ndarray:
    """Each row's maximum, or 0 for a row of -inf only, from which -inf - (-inf) would make NaN."""
    largest = x.max(-1, keepdims=True, initial=-np.inf)
    return np.where(np.isneginf(largest), x.dtype.type(0), largest)


def _rows(rng: np.random.Generator) -> Any:
    for shape, scale in (((7,), 1.0), ((3, 4, 9), 1.0), ((33, 70), 40.0), ((0, 5), 1.0), ((4, 0), 1.0)):
        yield rng.normal(size=shape) * scale
    masked = rng.normal(size=(4, 6))
    masked[0, 2:] = masked[1] = -np.inf
    masked[2, 1] = 1e4
    yield masked


@softmax.example
def _(rng):
    for x in _rows(rng):
        yield (x,), {}


@log_softmax.example
def _(rng):
    for x in _rows(rng):
        yield (x,), {}


@softmax_backward.example
def _(rng):
    for x in _rows(rng):
        yield (rng.normal(size=x.shape), softmax.__wrapped__(x)), {}


@log_softmax_backward.example
def _(rng):
    for x in _rows(rng):
        yield (rng.normal(size=x.shape), log_softmax.__wrapped__(x)), {}
