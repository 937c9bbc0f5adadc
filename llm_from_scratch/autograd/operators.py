"""Tensor's operators and methods, put on the class from the primitives in `ops.py`.

They live apart from the class so that the class needs no operation and the operations may need the class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import ops
from .tensor import Tensor


def _axes(tensor: Tensor, axes: tuple[Any, ...]) -> tuple[int, ...]:
    if len(axes) == 1 and isinstance(axes[0], (tuple, list)):
        axes = tuple(axes[0])
    return axes or tuple(reversed(range(tensor.ndim)))


def _swapaxes(tensor: Tensor, a: int, b: int) -> Tensor:
    axes = list(range(tensor.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return ops.transpose(tensor, axes=tuple(axes))


def _astype(tensor: Tensor, dtype: Any) -> Tensor:
    return cast(tensor, dtype=np.dtype(dtype))


@ops.primitive
def cast(x, /, *, dtype):
    """The same numbers in another floating dtype; the gradient comes back in the old one.

    >>> cast([1.5], dtype=np.dtype(np.float32)).dtype
    dtype('float32')
    """
    return x.astype(dtype), x.dtype


@cast.backward
def _(dy, dtype, needs):
    return (dy.astype(dtype),)


cast.example(lambda rng: ((rng.normal(size=3),), {"dtype": np.dtype(np.float64)}))

_METHODS: dict[str, Any] = {
    "__add__": lambda a, b: ops.add(a, b),
    "__radd__": lambda a, b: ops.add(b, a),
    "__sub__": lambda a, b: ops.subtract(a, b),
    "__rsub__": lambda a, b: ops.subtract(b, a),
    "__mul__": lambda a, b: ops.multiply(a, b),
    "__rmul__": lambda a, b: ops.multiply(b, a),
    "__truediv__": lambda a, b: ops.divide(a, b),
    "__rtruediv__": lambda a, b: ops.divide(b, a),
    "__matmul__": lambda a, b: ops.matmul(a, b),
    "__rmatmul__": lambda a, b: ops.matmul(b, a),
    "__neg__": lambda a: ops.multiply(a, -1.0),
    "__pow__": lambda a, exponent: ops.power(a, exponent=exponent),
    "__getitem__": lambda a, index: ops.take(a, index=index),
    "sum": lambda a, axis=None, keepdims=False: ops.total(a, axis=axis, keepdims=keepdims),
    "mean": ops.mean,
    "exp": lambda a: ops.exp(a),
    "log": lambda a: ops.log(a),
    "sqrt": lambda a: ops.power(a, exponent=0.5),
    "reshape": lambda a, *shape: ops.reshape(a, shape=shape[0] if len(shape) == 1 else shape),
    "transpose": lambda a, *axes: ops.transpose(a, axes=_axes(a, axes)),
    "swapaxes": _swapaxes,
    "astype": _astype,
    "T": property(lambda a: ops.transpose(a, axes=_axes(a, ()))),
}
for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
