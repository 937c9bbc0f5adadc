"""Elementary differentiable operations, and the operators of `Tensor`.

Each follows NumPy's rules, broadcasting included: where the forward repeated a number, the backward sums over the
repeats (`unbroadcast`). The blocks of a language model, with backwards of their own, are in `functional/`.
"""

from __future__ import annotations

from functools import partial
from numbers import Real
from typing import Any

import numpy as np

from .primitive import primitive
from .tensor import Tensor


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum `gradient` down to `shape`, undoing NumPy's broadcasting of `shape` to `gradient.shape`.

    >>> unbroadcast(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    >>> unbroadcast(np.ones((2, 3)), (2, 1))
    array([[3.],
           [3.]])
    """
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)  # axes that broadcasting put in front
    stretched = tuple(extra + i for i, n in enumerate(shape) if n == 1 and gradient.shape[extra + i] != 1)
    return gradient.sum(axis=tuple(range(extra)) + stretched, keepdims=True).reshape(shape)


def _pair(rng: np.random.Generator) -> tuple[tuple[np.ndarray, np.ndarray], dict[str, Any]]:
    return (rng.normal(size=(2, 3, 4)), rng.uniform(0.5, 2.0, size=(3, 1))), {}


@primitive
def add(a, b, /):
    """a + b, broadcast.

    >>> add([1.0, 2.0], 10.0)
    Tensor([11., 12.])
    """
    return a + b, (a.shape, b.shape)


@add.backward
def _(dy, shapes, needs):
    return tuple(unbroadcast(dy, shape) if need else None for shape, need in zip(shapes, needs))


@primitive
def subtract(a, b, /):
    """a - b, broadcast.

    >>> subtract([1.0, 2.0], 10.0)
    Tensor([-9., -8.])
    """
    return a - b, (a.shape, b.shape)


@subtract.backward
def _(dy, shapes, needs):
    return unbroadcast(dy, shapes[0]) if needs[0] else None, unbroadcast(-dy, shapes[1]) if needs[1] else None


@primitive
def multiply(a, b, /):
    """a · b entry by entry, broadcast.

    >>> multiply([1.0, 2.0], [3.0, 4.0])
    Tensor([3., 8.])
    """
    return a * b, (a, b)


@multiply.backward
def _(dy, saved, needs):
    a, b = saved
    return unbroadcast(dy * b, a.shape) if needs[0] else None, unbroadcast(dy * a, b.shape) if needs[1] else None


@primitive
def divide(a, b, /):
    """a / b entry by entry, broadcast.

    >>> divide([1.0, 2.0], 4.0)
    Tensor([0.25, 0.5 ])
    """
    return a / b, (a, b)


@divide.backward
def _(dy, saved, needs):
    a, b = saved
    da = unbroadcast(dy / b, a.shape) if needs[0] else None
    return da, unbroadcast(-dy * a / (b * b), b.shape) if needs[1] else None


for _operation in (add, subtract, multiply, divide):
    _operation.example(_pair)


@primitive
def power(x, /, *, exponent):
    """x to a fixed power.

    >>> power([1.0, 2.0, 3.0], exponent=2)
    Tensor([1., 4., 9.])
    """
    if not isinstance(exponent, Real):
        raise TypeError(f"power takes a number as exponent, not {type(exponent).__name__}")
    exponent = float(exponent)
    return x**exponent, (x, exponent)


@power.backward
def _(dy, saved, needs):
    x, exponent = saved
    return (exponent * x ** (exponent - 1.0) * dy,)


@primitive
def exp(x, /):
    """e to the x.

    >>> exp([0.0, 1.0])
    Tensor([1.    , 2.7183])
    """
    y = np.exp(x)
    return y, y


@exp.backward
def _(dy, y, needs):
    return (dy * y,)


@primitive
def log(x, /):
    """The natural logarithm.

    >>> log([1.0, 10.0])
    Tensor([0.    , 2.3026])
    """
    return np.log(x), x


@log.backward
def _(dy, x, needs):
    return (dy / x,)


for _operation in (exp, log):
    _operation.example(lambda rng: ((rng.uniform(0.5, 2.0, size=(2, 3)),), {}))
for _exponent in (3, 0.5, -1):
    power.example(partial(lambda rng, e: ((rng.uniform(0.5, 2.0, size=(2, 3)),), {"exponent": e}), e=_exponent))


@primitive
def matmul(a, b, /):
    """Matrix product over the last two axes, the others broadcast: (..., M, K), (..., K, N) -> (..., M, N).

    >>> matmul([[1.0, 2.0]], [[3.0], [4.0]])
    Tensor([[11.]])
    """
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"matmul takes matrices (two axes or more), not shapes {a.shape} and {b.shape}")
    return a @ b, (a, b)


@matmul.backward
def _(dy, saved, needs):
    a, b = saved
    da = unbroadcast(dy @ b.swapaxes(-1, -2), a.shape) if needs[0] else None
    return da, unbroadcast(a.swapaxes(-1, -2) @ dy, b.shape) if needs[1] else None


matmul.example(lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5))), {}))
matmul.example(lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(2, 1, 4, 5))), {}))


@primitive
def total(x, /, *, axis=None, keepdims=False):
    """The sum over `axis` (all of them by default).

    >>> total([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.])
    """
    y = np.asarray(x.sum(axis=axis, keepdims=keepdims))
    return y, (x.shape, np.asarray(x.sum(axis=axis, keepdims=True)).shape)


@total.backward
def _(dy, shapes, needs):
    shape, kept = shapes
    return (np.broadcast_to(dy.reshape(kept), shape),)


for _settings in ({}, {"axis": 1}, {"axis": (0, -1), "keepdims": True}):
    total.example(partial(lambda rng, s: ((rng.normal(size=(2, 3, 4)),), s), s=_settings))


@primitive
def reshape(x, /, *, shape):
    """The same entries in another shape.

    >>> reshape([1.0, 2.0, 3.0, 4.0], shape=(2, -1))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return x.reshape(shape), x.shape


@reshape.backward
def _(dy, shape, needs):
    return (dy.reshape(shape),)


reshape.example(lambda rng: ((rng.normal(size=(2, 6)),), {"shape": (3, -1)}))


@primitive
def transpose(x, /, *, axes):
    """Axes in another order (a view: nothing is copied).

    >>> transpose([[1.0, 2.0], [3.0, 4.0]], axes=(1, 0))
    Tensor([[1., 3.],
            [2., 4.]])
    """
    return x.transpose(axes), axes


@transpose.backward
def _(dy, axes, needs):
    return (dy.transpose(np.argsort(axes)),)


transpose.example(lambda rng: ((rng.normal(size=(2, 3, 4)),), {"axes": (2, 0, 1)}))


@primitive
def take(x, /, *, index):
    """x[index], NumPy's indexing in full (slices, integers, arrays of integers or booleans).

    >>> take([1.0, 2.0, 3.0], index=slice(1, None))
    Tensor([2., 3.])
    """
    y = np.asarray(x[index])
    return y, (x.shape, x.dtype, index)


@take.backward
def _(dy, saved, needs):
    shape, dtype, index = saved
    dx = np.zeros(shape, dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts):
        dx[index] = dy
    else:
        np.add.at(dx, index, dy)  # an entry may have been taken more than once
    return (dx,)


for _index in (slice(1, None), (Ellipsis, None, 1), np.array([0, 1, 1])):
    take.example(partial(lambda rng, i: ((rng.normal(size=(2, 3)),), {"index": i}), i=_index))


@primitive
def concatenate(*arrays, axis=0):
    """Tensors joined along one axis.

    >>> concatenate([1.0], [2.0, 3.0])
    Tensor([1., 2., 3.])
    """
    return np.concatenate(arrays, axis=axis), ([array.shape[axis] for array in arrays], axis)


@concatenate.backward
def _(dy, saved, needs):
    sizes, axis = saved
    return tuple(np.split(dy, np.cumsum(sizes)[:-1], axis=axis))


concatenate.example(lambda rng: ((rng.normal(size=(2, 3)), rng.normal(size=(2, 1))), {"axis": 1}))


def mean(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`.

    >>> mean(Tensor([1.0, 2.0, 6.0]))
    Tensor(3.)
    """
    y = total(x, axis=axis, keepdims=keepdims)
    return y * (y.size / x.size)
