"""Some of the entries: indexing, choosing between two arrays, sorting."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np

from .broadcasting import one_dtype, unbroadcast
from .operators import known_as
from .primitives import primitive


@primitive
def take(x, /, index):
    """x[index], NumPy's indexing in full (slices, integers, arrays of integers or booleans).

    >>> take([1.0, 2.0, 3.0], index=slice(1, None))
    Tensor([2., 3.])
    """
    return x[index], (x.shape, x.dtype, _own(index))


def _own(index: Any) -> Any:
    """The index with its lists copied: their owner may fill them anew before the backward."""
    if isinstance(index, tuple):
        return tuple(map(_own, index))
    return copy.deepcopy(index) if isinstance(index, list) else index


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


known_as("__getitem__", numpy=["take"], method=lambda x, index: take(x, index))(take)

_INDICES: tuple[Any, ...] = (
    slice(1, None), (Ellipsis, None, 1), -1, (slice(None, None, -1), slice(None, None, 2)), np.array([0, 1, 1]),
    (np.array([0, -1, 1, -1]), np.array([2, 0, -1, 0])), [0, 0], (1, [0, 2, 2]), np.array([[True, False, True]] * 2),
    (), np.array(True), np.array(0),
)  # fmt: skip
for _index in _INDICES:
    take.example(partial(lambda rng, i: ((rng.normal(size=(2, 3)),), {"index": i}), i=_index))
for _index in ((), Ellipsis, None):
    take.example(partial(lambda rng, i: ((np.asarray(rng.normal()),), {"index": i}), i=_index))


@known_as(numpy=["where"])
@primitive
def where(condition, a, b, /):
    """a where the condition holds, b elsewhere, broadcast; the gradient goes to the one that was chosen.

    >>> where([True, False], [1.0, 2.0], 0.0)
    Tensor([1., 0.])
    """
    if condition.dtype != bool:
        raise TypeError(f"where: the condition holds booleans, not {condition.dtype}: compare, as in x > 0")
    a, b = one_dtype(a, b)
    return np.where(condition, a, b), (condition, a.shape, b.shape)


@where.backward
def _(dy, saved, needs):
    condition, a, b = saved
    zero = dy.dtype.type(0)
    # Chosen, not multiplied by 0: infinity times 0 would not be a number.
    da = unbroadcast(np.where(condition, dy, zero), a) if needs[1] else None
    return None, da, unbroadcast(np.where(condition, zero, dy), b) if needs[2] else None


for _shapes in (((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), ()), ((2, 1, 3), (), (4, 1)), ((), (), ()), ((), (2,), ())):
    where.example(
        partial(
            lambda rng, s: ((np.asarray(rng.random(s[0]) < 0.5), *(np.asarray(rng.normal(size=n)) for n in s[1:])), {}),
            s=_shapes,
        )
    )


@known_as("sort")
@primitive
def sort(x, /, axis=-1):
    """Ascending along `axis` (None: of all entries in a row); equals keep their order.

    >>> sort([3.0, 1.0, 2.0])
    Tensor([1., 2., 3.])
    """
    rows, along = (x.reshape(-1), 0) if axis is None else (x, axis)
    order = np.argsort(rows, axis=along, kind="stable")
    return np.take_along_axis(rows, order, axis=along), (x.shape, order, along)


@sort.backward
def _(dy, saved, needs):
    shape, order, along = saved
    dx = np.empty_like(dy)
    np.put_along_axis(dx, order, dy, axis=along)  # each entry goes back to where it came from
    return (dx.reshape(shape),)


for _axis in (-1, 0, 1, None):
    sort.example(partial(lambda rng, a: ((rng.permuted(np.arange(12.0)).reshape(3, 4),), {"axis": a}), a=_axis))
