"""The same entries in another shape, order, place or dtype: reshaping, joining, cutting, repeating, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .broadcasting import normal, one_dtype
from .operators import known_as
from .primitives import primitive
from .tensor import Tensor, as_tensor


def _several(values: tuple[Any, ...]) -> Any:
    """x.reshape(2, 3) and x.reshape((2, 3)) mean the same; nothing is None."""
    if len(values) == 1 and (values[0] is None or isinstance(values[0], (tuple, list))):
        return values[0]
    return values or None


@primitive
def reshape(x, /, shape):
    """The same entries in another shape; one length may be -1.

    >>> reshape([1.0, 2.0, 3.0, 4.0], shape=(2, -1))
    Tensor([[1., 2.],
            [3., 4.]])
    """
    return x.reshape(shape), x.shape


@reshape.backward
def _(dy, shape, needs):
    return (dy.reshape(shape),)


known_as("reshape", method=lambda x, *shape: reshape(x, _several(shape)))(reshape)


@known_as("ravel", "flatten")
def ravel(x: Any) -> Tensor:
    """All entries in one row.

    >>> ravel([[1.0, 2.0], [3.0, 4.0]])
    Tensor([1., 2., 3., 4.])
    """
    return reshape(x, shape=(-1,))


@known_as("squeeze")
def squeeze(x: Any, axis: Any = None) -> Tensor:
    """Without its axes of length 1, or without those named by `axis`, which must have length 1.

    >>> squeeze([[[1.0], [2.0]]], axis=0)
    Tensor([[1.],
            [2.]])
    """
    x = as_tensor(x)
    return reshape(x, shape=x.data.squeeze(axis).shape)


@primitive
def transpose(x, /, axes=None):
    """Axes in another order, by default reversed (a view: nothing is copied).

    >>> transpose([[1.0, 2.0], [3.0, 4.0]], axes=(1, 0))
    Tensor([[1., 3.],
            [2., 4.]])
    """
    axes = tuple(range(x.ndim))[::-1] if axes is None else np.lib.array_utils.normalize_axis_tuple(axes, x.ndim)
    return x.transpose(axes), axes


@transpose.backward
def _(dy, axes, needs):
    return (dy.transpose(np.argsort(axes)),)  # the order that undoes `axes`, which counts from 0 here


known_as("transpose", method=lambda x, *axes: transpose(x, _several(axes)))(transpose)
known_as("T", method=property(lambda x: transpose(x), doc="The axes turned round: (2, 3) -> (3, 2)."))(transpose)


@known_as("swapaxes")
def swapaxes(x: Any, a: int, b: int) -> Tensor:
    """Two axes exchanged.

    >>> swapaxes([[1.0, 2.0]], 0, -1)
    Tensor([[1.],
            [2.]])
    """
    x = as_tensor(x)
    axes = list(range(x.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return transpose(x, axes=tuple(axes))


@known_as(numpy=["concatenate", "hstack", "vstack", "append"])
def concatenate(*arrays: Any, axis: int = 0) -> Tensor:
    """Tensors joined along one axis, given one by one or as a list.

    >>> concatenate([1.0], [2.0, 3.0])
    Tensor([1., 2., 3.])
    >>> concatenate([Tensor([[1.0]]), Tensor([[2.0]])], axis=1)
    Tensor([[1., 2.]])
    """
    return joined(*_listed(arrays), axis=axis)


@primitive
def joined(*arrays, axis):
    """What `concatenate` computes, as a primitive.

    >>> joined([[1.0]], [[2.0, 3.0]], axis=-1)
    Tensor([[1., 2., 3.]])
    """
    arrays = one_dtype(*arrays)
    return np.concatenate(arrays, axis=axis), ([array.shape[axis] for array in arrays], axis)


@joined.backward
def _(dy, saved, needs):
    sizes, axis = saved
    return tuple(np.split(dy, np.cumsum(sizes)[:-1], axis=axis))


@known_as(numpy=["stack"])
def stack(*arrays: Any, axis: int = 0) -> Tensor:
    """Tensors of one shape joined along a new axis, given one by one or as a list.

    >>> stack([1.0, 2.0], [3.0, 4.0], axis=1)
    Tensor([[1., 3.],
            [2., 4.]])
    """
    return stacked(*_listed(arrays), axis=axis)


@primitive
def stacked(*arrays, axis):
    """What `stack` computes, as a primitive.

    >>> stacked(1.0, 2.0, axis=0)
    Tensor([1., 2.])
    """
    return np.stack(one_dtype(*arrays), axis=axis), axis


@stacked.backward
def _(dy, axis, needs):
    return tuple(np.moveaxis(dy, axis, 0))


def _listed(arrays: tuple[Any, ...]) -> Sequence[Any]:
    """The arrays, also where they came as one list. A list of plain numbers is an array itself."""
    if len(arrays) == 1 and isinstance(arrays[0], (list, tuple)):
        if any(isinstance(item, (Tensor, np.ndarray, list, tuple)) for item in arrays[0]):
            return arrays[0]
    return arrays


@known_as("split")
def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along one axis, as np.split does: into equal parts, or before each of the given places.

    >>> split([1.0, 2.0, 3.0, 4.0], [1, 3])
    [Tensor([1.]), Tensor([2., 3.]), Tensor([4.])]
    """
    x = as_tensor(x)
    where = np.split(np.arange(x.shape[axis]), sections)
    return [x[(slice(None),) * (axis % x.ndim) + (slice(w[0], w[-1] + 1) if w.size else slice(0, 0),)] for w in where]


@known_as("repeat")
@primitive
def repeat(x, /, repeats, axis=None):
    """Each entry `repeats` times (a number, or one an entry) along `axis`; without one, of all entries in a row.

    >>> repeat([1.0, 2.0], repeats=[1, 2])
    Tensor([1., 2., 2.])
    """
    y = np.repeat(x, repeats, axis)
    length = x.size if axis is None else x.shape[axis]
    return y, (x.shape, axis, np.repeat(np.arange(length), repeats))


@repeat.backward
def _(dy, saved, needs):
    shape, axis, sources = saved
    dx = np.zeros(shape, dy.dtype)
    rows = dx.reshape(-1) if axis is None else np.moveaxis(dx, axis, 0)
    np.add.at(rows, sources, dy if axis is None else np.moveaxis(dy, axis, 0))
    return (dx,)


@known_as("pad")
@primitive
def pad(x, /, widths, value=0.0):
    """A constant around the array. widths: as np.pad has them, one number, a pair, or a pair for each axis.

    >>> pad([1.0, 2.0], widths=(1, 2))
    Tensor([0., 1., 2., 0., 0.])
    """
    y = np.pad(x, widths, constant_values=value)
    before = np.broadcast_to(widths, (x.ndim, 2))[:, 0]
    return y, tuple(slice(int(b), int(b) + n) for b, n in zip(before, x.shape))


@pad.backward
def _(dy, inside, needs):
    return (dy[inside],)


@known_as("astype")
@primitive
def cast(x, /, dtype):
    """The same numbers in another dtype; the gradient comes back in the old one.

    >>> cast([1.5], dtype=np.dtype(np.float32)).dtype
    dtype('float32')
    """
    return x.astype(dtype), x.dtype


@cast.backward
def _(dy, dtype, needs):
    return (dy.astype(dtype),)


normal(reshape, {"shape": (3, -1)}, {"shape": (2, 1, 12)}, {"shape": -1}, shapes=[(2, 3, 4)])
normal(reshape, {"shape": (1, 1)}, {"shape": ()}, shapes=[()])
normal(
    transpose,
    {},
    {"axes": (2, 0, 1)},
    {"axes": (-1, 0, 1)},
    {"axes": (0, -1, -2)},
    {"axes": (-2, -1, -3)},
    shapes=[(2, 3, 4)],
)
normal(transpose, {"axes": (-1, 0, 1)}, {"axes": (1, -1, 0)}, shapes=[(3, 3, 3)])  # square: the shape shows nothing
normal(transpose, {}, {"axes": ()}, shapes=[()])
normal(joined, {"axis": 1}, {"axis": -1}, shapes=[(2, 3), (2, 1), (2, 2)])
normal(stacked, {"axis": 0}, {"axis": 1}, {"axis": -1}, shapes=[(2, 3), (2, 3), (2, 3)])
normal(stacked, {"axis": 0}, {"axis": -1}, shapes=[(), ()])
normal(repeat, {"repeats": 2}, {"repeats": 3, "axis": 1}, {"repeats": [1, 0, 2, 1], "axis": -1}, shapes=[(2, 3, 4)])
normal(repeat, {"repeats": 3}, shapes=[()])
normal(pad, {"widths": 1}, {"widths": (1, 2), "value": 3.0}, {"widths": ((0, 1), (2, 0), (1, 1))}, shapes=[(2, 3, 4)])
normal(cast, {"dtype": np.dtype(np.float64)}, shapes=[(2, 3, 4)])
normal(cast, {"dtype": np.dtype(np.float64)}, shapes=[()])
