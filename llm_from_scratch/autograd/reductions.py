"""Many entries into one: sums, means, extremes, products, and running sums, over one axis, several, or all.

`axis` and `keepdims` are NumPy's; a negative axis counts from the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..checks import floating
from .broadcasting import normal
from .operators import known_as
from .primitives import primitive

Axis = Any  # an integer, a tuple of them, or None for all


def _axes(x: np.ndarray, axis: Axis) -> tuple[int, ...]:
    """The axes as numbers from 0; NumPy's AxisError for one that does not exist or stands twice."""
    if axis is None:
        return tuple(range(x.ndim))
    return np.lib.array_utils.normalize_axis_tuple(axis, x.ndim)


def _kept(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the reduced axes as ones."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _entries(name: str, x: np.ndarray, axes: tuple[int, ...]) -> int:
    """How many entries go into each result; ValueError for none."""
    count = math.prod(x.shape[i] for i in axes)
    if not count:
        raise ValueError(f"{name} over nothing is undefined: shape {x.shape}, axes {axes}")
    return count


@known_as("sum", numpy=["add.reduce"])
@primitive
def total(x, /, axis=None, keepdims=False):
    """The sum over `axis` (all of them by default).

    >>> total([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Tensor([4., 6.])
    """
    axes = _axes(x, axis)
    return x.sum(axis=axes, keepdims=keepdims), (x.shape, axes)


@total.backward
def _(dy, saved, needs):
    shape, axes = saved
    return (np.broadcast_to(dy.reshape(_kept(shape, axes)), shape),)


@known_as("mean", numpy=["average"])
@primitive
def mean(x, /, axis=None, keepdims=False):
    """The arithmetic mean over `axis`.

    >>> mean([1.0, 2.0, 6.0])
    Tensor(3.)
    """
    axes = _axes(x, axis)
    count = _entries("mean", x, axes)
    scale = x.dtype.type(1 / count) if x.dtype.kind == "f" else 1 / count
    return x.sum(axis=axes, keepdims=keepdims) * scale, (x.shape, axes, scale)


@mean.backward
def _(dy, saved, needs):
    shape, axes, scale = saved
    return (np.broadcast_to((dy * scale).reshape(_kept(shape, axes)), shape),)


@known_as("var")
@primitive
def var(x, /, axis=None, ddof=0, keepdims=False):
    """The variance: squared distances from the mean, added up and divided by their number minus `ddof`.

    >>> var([1.0, 2.0, 6.0])                # (4 + 1 + 9) / 3
    Tensor(4.6667)
    """
    centred, axes, count = _centred("var", x, axis, ddof)
    return (centred * centred).sum(axis=axes, keepdims=keepdims) / x.dtype.type(count), (centred, axes, count)


@var.backward
def _(dy, saved, needs):
    centred, axes, count = saved
    # The mean moves with x, too; its share is the sum of what is centred, which is zero.
    return (dy.reshape(_kept(centred.shape, axes)) * centred * dy.dtype.type(2 / count),)


@known_as("std")
@primitive
def std(x, /, axis=None, ddof=0, keepdims=False):
    """The standard deviation, the root of `var`. Where it is 0, its derivative is taken as 0.

    >>> std([1.0, 2.0, 6.0])
    Tensor(2.1602)
    """
    centred, axes, count = _centred("std", x, axis, ddof)
    root = np.sqrt((centred * centred).sum(axis=axes, keepdims=True) / x.dtype.type(count))
    y = root if keepdims else root.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    return y, (centred, axes, count, root)


@std.backward
def _(dy, saved, needs):
    centred, axes, count, root = saved
    slope = np.divide(centred, root, out=np.zeros_like(centred), where=root != 0)
    return (dy.reshape(_kept(centred.shape, axes)) * slope * dy.dtype.type(1 / count),)


def _centred(name, x, axis, ddof):
    floating(name, x)
    axes = _axes(x, axis)
    count = _entries(name, x, axes) - ddof
    if not count > 0:
        raise ValueError(f"{name}: {count + ddof} entries minus ddof = {ddof} leave nothing to divide by")
    return x - x.mean(axis=axes, keepdims=True), axes, count


@known_as("max", numpy=["amax", "maximum.reduce"])
@primitive
def max(x, /, axis=None, keepdims=False):
    """The largest entry over `axis`; where several are largest, each gets an equal share of the gradient.

    >>> max([[1.0, 5.0], [7.0, 2.0]], axis=-1)
    Tensor([5., 7.])
    """
    return _extreme("max", x, axis, keepdims, np.max)


@known_as("min", numpy=["amin", "minimum.reduce"])
@primitive
def min(x, /, axis=None, keepdims=False):
    """The smallest entry over `axis`; where several are smallest, each gets an equal share of the gradient.

    >>> min([[1.0, 5.0], [7.0, 2.0]], axis=-1)
    Tensor([1., 2.])
    """
    return _extreme("min", x, axis, keepdims, np.min)


def _extreme(name, x, axis, keepdims, choose):
    axes = _axes(x, axis)
    _entries(name, x, axes)
    chosen = x == choose(x, axis=axes, keepdims=True)
    return choose(x, axis=axes, keepdims=keepdims), (np.asarray(chosen), axes)


def _extreme_backward(dy, saved, needs):
    chosen, axes = saved
    share = dy.reshape(_kept(chosen.shape, axes)) / chosen.sum(axis=axes, keepdims=True).astype(dy.dtype)
    return (share * chosen,)


max.backward(_extreme_backward)
min.backward(_extreme_backward)


@known_as("prod", numpy=["multiply.reduce"])
@primitive
def prod(x, /, axis=None, keepdims=False):
    """The product over `axis`.

    >>> prod([[1.0, 5.0], [7.0, 2.0]], axis=0)
    Tensor([ 7., 10.])
    """
    axes = _axes(x, axis)
    return x.prod(axis=axes, keepdims=keepdims), (x, axes)


@prod.backward
def _(dy, saved, needs):
    x, axes = saved
    # The derivative by one factor is the product of all others: those before it times those after it. Dividing the
    # product by the factor would be wrong where a factor is 0.
    others = tuple(i for i in range(x.ndim) if i not in axes)
    count = math.prod(x.shape[i] for i in axes)
    rows = x.transpose(*others, *axes).reshape(*(x.shape[i] for i in others), count)
    before, after = np.ones_like(rows), np.ones_like(rows)
    np.cumprod(rows[..., :-1], axis=-1, out=before[..., 1:])
    np.cumprod(rows[..., :0:-1], axis=-1, out=after[..., -2::-1])
    rest = (before * after).reshape([x.shape[i] for i in others + axes]).transpose(np.argsort(others + axes))
    return (dy.reshape(_kept(x.shape, axes)) * rest,)


@known_as("logsumexp", numpy=["logaddexp.reduce"])
@primitive
def logsumexp(x, /, axis=None, keepdims=False):
    """ln Σ exp(x) over `axis`, without overflow; entries of -inf count for nothing.

    >>> logsumexp([1000.0, 1000.0])         # 1000 + ln 2
    Tensor(1000.6931)
    """
    floating("logsumexp", x)
    axes = _axes(x, axis)
    _entries("logsumexp", x, axes)
    top = x.max(axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, x.dtype.type(0))  # -inf - -inf is not a number
    with np.errstate(divide="ignore"):  # a row of nothing but -inf gives -inf
        y = top + np.log(np.exp(x - top).sum(axis=axes, keepdims=True))
    return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axes]), (x, y, axes)


@logsumexp.backward
def _(dy, saved, needs):
    x, y, axes = saved
    probabilities = np.exp(x - np.where(np.isfinite(y), y, x.dtype.type(0)))
    return (dy.reshape(_kept(x.shape, axes)) * probabilities,)


@known_as("cumsum", numpy=["add.accumulate"])
@primitive
def cumsum(x, /, axis=None):
    """Running sums along `axis`; without one, over all entries in a row.

    >>> cumsum([1.0, 2.0, 3.0])
    Tensor([1., 3., 6.])
    """
    return x.cumsum(axis=axis), (x.shape, axis)


@cumsum.backward
def _(dy, saved, needs):
    shape, axis = saved
    along = 0 if axis is None else axis  # flattened, dy has one axis
    return (np.flip(np.flip(dy, along).cumsum(axis=along), along).reshape(shape),)


_AXES: tuple[dict[str, Any], ...] = (
    {}, {"axis": 1}, {"axis": -1}, {"axis": (0, -1), "keepdims": True}, {"axis": (2, 0)},
)  # fmt: skip
for _reduction in (total, mean, var, std, max, min, prod, logsumexp):
    normal(_reduction, *_AXES, shapes=[(2, 3, 4)])
    if _reduction is not std:  # the deviation of a single number has a kink
        normal(_reduction, shapes=[()])
for _reduction in (var, std):
    normal(_reduction, {"ddof": 1}, {"ddof": 1, "axis": 0}, shapes=[(3, 4)])
prod.example(lambda rng: ((rng.normal(size=(3, 4)) * [1, 0, 1, 1],), {"axis": -1}))  # one factor is 0
prod.example(lambda rng: ((rng.normal(size=(2, 4)) * [[1, 0, 0, 1], [0, 1, 1, 1]],), {"axis": 1}))  # and two
normal(cumsum, {}, {"axis": 0}, {"axis": -1}, shapes=[(2, 3, 4)])
normal(cumsum, shapes=[()])
