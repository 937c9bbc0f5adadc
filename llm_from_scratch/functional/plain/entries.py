"""One entry at a time: activations, plain and gated, and dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def entry_by_entry(function: Callable[..., float], *arrays: Array) -> Array:
    """The function of one entry (of each array), for all of them."""
    y = np.empty_like(arrays[0])
    for index in np.ndindex(y.shape):
        y[index] = function(*(float(array[index]) for array in arrays))
    return y


def relu(x: Array) -> Array:
    """max(x, 0).

    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return entry_by_entry(lambda a: a if a > 0 else 0.0, x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x).

    >>> sigmoid(np.array([0.0, 2.0])).round(4)
    array([0.5   , 0.8808])
    """
    return entry_by_entry(lambda a: 1 / (1 + math.exp(-a)), x)


def softplus(x: Array) -> Array:
    """ln(1 + e^x).

    >>> softplus(np.array([0.0, 2.0])).round(4)
    array([0.6931, 2.1269])
    """
    return entry_by_entry(lambda a: math.log(1 + math.exp(a)), x)


def silu(x: Array) -> Array:
    """x / (1 + e^-x).

    >>> silu(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7311])

    Source: Elfwing et al. 2017, arXiv:1702.03118.
    """
    return entry_by_entry(lambda a: a / (1 + math.exp(-a)), x)


def gelu(x: Array) -> Array:
    """x Φ(x), with Φ(x) = (1 + erf(x / √2)) / 2.

    >>> gelu(np.array([1.0, -1.0])).round(4)
    array([ 0.8413, -0.1587])

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
    """
    return entry_by_entry(lambda a: a * (1 + math.erf(a / math.sqrt(2))) / 2, x)


def gelu_tanh(x: Array) -> Array:
    """x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.

    >>> gelu_tanh(np.array([1.0, -1.0])).round(4)
    array([ 0.8412, -0.1588])

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
    """
    return entry_by_entry(lambda a: a * (1 + math.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))) / 2, x)


def swiglu(gate: Array, up: Array) -> Array:
    """silu(gate) · up, entry by entry.

    >>> swiglu(np.array([1.0, -1.0]), np.array([2.0, 2.0])).round(4)
    array([ 1.4621, -0.5379])

    Source: Shazeer 2020, arXiv:2002.05202, eq. 5.
    """
    return silu(gate) * up


def geglu(gate: Array, up: Array) -> Array:
    """gelu(gate) · up, entry by entry.

    >>> geglu(np.array([1.0, -1.0]), np.array([2.0, 2.0])).round(4)
    array([ 1.6827, -0.3173])

    Source: Shazeer 2020, arXiv:2002.05202, eq. 5.
    """
    return gelu(gate) * up


def dropout(x: Array, *, rate: float, rng: Any) -> Array:
    """Each entry 0 with probability `rate`, else divided by 1 - rate.

    >>> sorted(set(dropout(np.ones(100), rate=0.5, rng=0).tolist()))
    [0.0, 2.0]

    Source: Srivastava et al. 2014, JMLR 15.
    """
    if rng is None:
        return x
    rng = np.random.default_rng(rng)
    return entry_by_entry(lambda a: a / (1 - rate) if rng.random(dtype=np.float32) >= rate else 0.0, x)
