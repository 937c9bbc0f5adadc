"""Sums, products, quotients and powers, entry by entry, by NumPy's rules of broadcasting.

Where the forward repeated a number, the backward sums over the repeats (`unbroadcast`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .broadcasting import entrywise, one_dtype, pairs, unbroadcast
from .operators import known_as
from .primitives import primitive
from .tensor import Tensor, as_tensor


@known_as(operator="add", numpy=["add"])
@primitive
def add(a, b, /):
    """a + b, broadcast.

    >>> add([1.0, 2.0], 10.0)
    Tensor([11., 12.])
    """
    a, b = one_dtype(a, b)
    return a + b, (a.shape, b.shape)


@add.backward
def _(dy, shapes, needs):
    return tuple(unbroadcast(dy, shape) if need else None for shape, need in zip(shapes, needs))


@known_as(operator="sub", numpy=["subtract"])
@primitive
def subtract(a, b, /):
    """a - b, broadcast.

    >>> subtract([1.0, 2.0], 10.0)
    Tensor([-9., -8.])
    """
    a, b = one_dtype(a, b)
    return a - b, (a.shape, b.shape)


@subtract.backward
def _(dy, shapes, needs):
    return unbroadcast(dy, shapes[0]) if needs[0] else None, unbroadcast(-dy, shapes[1]) if needs[1] else None


@known_as(operator="mul", numpy=["multiply"])
@primitive
def multiply(a, b, /):
    """a · b entry by entry, broadcast.

    >>> multiply([1.0, 2.0], [3.0, 4.0])
    Tensor([3., 8.])
    """
    a, b = one_dtype(a, b)
    return a * b, (a, b)


@multiply.backward
def _(dy, saved, needs):
    a, b = saved
    return unbroadcast(dy * b, a.shape) if needs[0] else None, unbroadcast(dy * a, b.shape) if needs[1] else None


@known_as("__neg__", numpy=["negative"], method=lambda x: multiply(x, -1.0))
def negative(x: Any) -> Tensor:
    """-x.

    >>> negative([1.0, -2.0])
    Tensor([-1.,  2.])
    """
    return multiply(x, -1.0)


known_as("__pos__", numpy=["positive"])(as_tensor)


@known_as(operator="truediv", numpy=["divide"])
@primitive
def divide(a, b, /):
    """a / b entry by entry, broadcast.

    >>> divide([1.0, 2.0], 4.0)
    Tensor([0.25, 0.5 ])
    """
    a, b = one_dtype(a, b)
    return a / b, (a, b)


@divide.backward
def _(dy, saved, needs):
    a, b = saved
    da = unbroadcast(dy / b, a.shape) if needs[0] else None
    return da, unbroadcast(-dy * a / (b * b), b.shape) if needs[1] else None


@known_as(operator="pow", numpy=["power"])
@primitive
def power(x, exponent, /):
    """x to a power, entry by entry, broadcast. A negative x has a real power only where the exponent is whole.

    >>> power([1.0, 2.0, 3.0], 2)
    Tensor([1., 4., 9.])
    >>> power(2.0, [1.0, 2.0, 3.0])
    Tensor([2., 4., 8.])
    """
    x, exponent = one_dtype(x, exponent)
    y = _raised(x, exponent)
    return y, (x, exponent, y)


@power.backward
def _(dy, saved, needs):
    x, exponent, y = saved
    one = x.dtype.type(1)
    dx = dexponent = None
    if needs[0]:
        # n x^(n-1), except that x^0 is 1 everywhere: at 0 the formula says 0 · 0^-1, which is not a number.
        slope = exponent * _raised(x, np.where(exponent == 0, one, exponent - one))
        dx = unbroadcast(dy * slope, x.shape)
    if needs[1]:
        # x^n ln x, except that 0^n is 0 for every n > 0: there the formula says 0 · ln 0.
        logarithm = np.log(np.where((x == 0) & (exponent >= 0), one, x))
        dexponent = unbroadcast(dy * (y * logarithm), exponent.shape)
    return dx, dexponent


def _raised(x, exponent):
    # NumPy knows shortcuts for plain numbers: x**2 is x · x, x**0.5 a square root.
    return x ** (exponent.item() if exponent.ndim == 0 else exponent)


for _operation in (add, subtract, multiply, divide, power):
    pairs(_operation)
for _exponent in (3, 2, 1, 0.5, 0, -1):  # a constant, not a tensor
    power.example(partial(lambda rng, e: ((rng.uniform(0.5, 2.0, (2, 3)), e), {}), e=_exponent))
for _exponent in (0, 1, 2, 3):  # x^n has a derivative at 0, too
    power.example(partial(lambda rng, e: ((np.array([0.0, 1.5, -0.5]), e), {}), e=_exponent))


@known_as("abs", "__abs__", numpy=["absolute"])
@primitive
def absolute(x, /):
    """|x|; the derivative at 0 is taken as 0.

    >>> absolute([-1.5, 2.0])
    Tensor([1.5, 2. ])
    """
    return np.abs(x), np.sign(x)


@absolute.backward
def _(dy, sign, needs):
    return (dy * sign,)


entrywise(absolute, signed=True)


def _share(dy, saved, needs, wins):
    """The winner takes the gradient; equals take half each, which is what central differences see."""
    a, b = saved
    half = dy.dtype.type(0.5)
    share = wins(a, b) + half * (a == b)
    da = unbroadcast(dy * share, a.shape) if needs[0] else None
    return da, unbroadcast(dy * (1 - share), b.shape) if needs[1] else None


@known_as(numpy=["maximum"])
@primitive
def maximum(a, b, /):
    """The larger of a and b, entry by entry, broadcast.

    >>> maximum([1.0, 5.0], 3.0)
    Tensor([3., 5.])
    """
    a, b = one_dtype(a, b)
    return np.maximum(a, b), (a, b)


@maximum.backward
def _(dy, saved, needs):
    return _share(dy, saved, needs, np.greater)


@known_as(numpy=["minimum"])
@primitive
def minimum(a, b, /):
    """The smaller of a and b, entry by entry, broadcast.

    >>> minimum([1.0, 5.0], 3.0)
    Tensor([1., 3.])
    """
    a, b = one_dtype(a, b)
    return np.minimum(a, b), (a, b)


@minimum.backward
def _(dy, saved, needs):
    return _share(dy, saved, needs, np.less)


for _operation in (maximum, minimum):
    pairs(_operation)
    _operation.example(lambda rng: ((np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, -3.0])), {}))  # a tie
