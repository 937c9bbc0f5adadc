"""Tensor's operators and methods, put on the class from the primitives.

They live apart from the class so that the class needs no operation and the operations may need the class.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from . import arithmetic, elementwise, interop, products, reductions, selecting, shaping
from .tensor import Tensor, native


def _compare(choose: np.ufunc) -> Callable[[Any, Any], Any]:
    """A comparison, entry by entry: a Tensor of booleans, which has no gradient."""

    def compare(a: Any, b: Any) -> Any:
        if b is None or isinstance(b, (str, bytes)):
            return NotImplemented  # neither equal nor ordered
        return Tensor(choose(*(x.data if isinstance(x, Tensor) else native(np.asarray(x)) for x in (a, b))))

    interop.DIFFERENTIABLE[choose.__name__] = compare  # an array on the left asks by that name
    return compare


def _several(values: tuple[Any, ...]) -> Any:
    """x.reshape(2, 3) and x.reshape((2, 3)) mean the same; nothing is None."""
    if len(values) == 1 and (values[0] is None or isinstance(values[0], (tuple, list))):
        return values[0]
    return values or None


def _iterate(a: Tensor) -> Any:
    if not a.ndim:
        raise TypeError("a Tensor without axes holds a single number and cannot be iterated over")
    return (a[i] for i in range(len(a)))


_METHODS: dict[str, Any] = {
    "__add__": lambda a, b: arithmetic.add(a, b),
    "__radd__": lambda a, b: arithmetic.add(b, a),
    "__sub__": lambda a, b: arithmetic.subtract(a, b),
    "__rsub__": lambda a, b: arithmetic.subtract(b, a),
    "__mul__": lambda a, b: arithmetic.multiply(a, b),
    "__rmul__": lambda a, b: arithmetic.multiply(b, a),
    "__truediv__": lambda a, b: arithmetic.divide(a, b),
    "__rtruediv__": lambda a, b: arithmetic.divide(b, a),
    "__matmul__": lambda a, b: products.matmul(a, b),
    "__rmatmul__": lambda a, b: products.matmul(b, a),
    "__pow__": lambda a, b: arithmetic.power(a, b),
    "__rpow__": lambda a, b: arithmetic.power(b, a),
    "__neg__": lambda a: arithmetic.multiply(a, -1.0),
    "__pos__": lambda a: a,
    "__abs__": lambda a: arithmetic.absolute(a),
    "__getitem__": lambda a, index: selecting.take(a, index),
    "__iter__": _iterate,
    "__eq__": _compare(np.equal),
    "__ne__": _compare(np.not_equal),
    "__lt__": _compare(np.less),
    "__le__": _compare(np.less_equal),
    "__gt__": _compare(np.greater),
    "__ge__": _compare(np.greater_equal),
    "__hash__": object.__hash__,  # a tensor is a key by what it is, not by what it holds
    "__array_ufunc__": interop.array_ufunc,
    "__array_function__": interop.array_function,
    "reshape": lambda a, *shape: shaping.reshape(a, _several(shape)),
    "transpose": lambda a, *axes: shaping.transpose(a, _several(axes)),
    "clip": lambda a, low=None, high=None: elementwise.clip(a, low, high),
    "T": property(lambda a: shaping.transpose(a)),
}
_NAMED: dict[str, Callable[..., Any]] = {
    "abs": arithmetic.absolute, "sum": reductions.total, "mean": reductions.mean, "var": reductions.var,
    "std": reductions.std, "max": reductions.max, "min": reductions.min, "prod": reductions.prod,
    "cumsum": reductions.cumsum, "logsumexp": reductions.logsumexp, "exp": elementwise.exp, "log": elementwise.log,
    "sqrt": elementwise.sqrt, "sin": elementwise.sin, "cos": elementwise.cos, "tanh": elementwise.tanh,
    "swapaxes": shaping.swapaxes, "ravel": shaping.ravel, "flatten": shaping.ravel, "squeeze": shaping.squeeze,
    "split": shaping.split, "repeat": shaping.repeat, "pad": shaping.pad, "astype": shaping.cast,
    "sort": selecting.sort,
}  # fmt: skip


def _method(function: Callable[..., Any]) -> Any:
    """A function as a method: a primitive is an object, and only functions receive `self`."""

    def method(self: Tensor, *arguments: Any, **settings: Any) -> Any:
        return function(self, *arguments, **settings)

    method.__name__, method.__doc__ = function.__name__, function.__doc__
    return method


for _name, _member in {**_METHODS, **{name: _method(function) for name, function in _NAMED.items()}}.items():
    setattr(Tensor, _name, _member)
del _name, _member

interop.DIFFERENTIABLE |= _NAMED | {
    "add": arithmetic.add, "subtract": arithmetic.subtract, "multiply": arithmetic.multiply,
    "divide": arithmetic.divide, "power": arithmetic.power, "absolute": arithmetic.absolute,
    "maximum": arithmetic.maximum, "minimum": arithmetic.minimum, "matmul": products.matmul,
    "negative": operator.neg, "positive": operator.pos,
    "concatenate": shaping.concatenate, "hstack": shaping.concatenate, "vstack": shaping.concatenate,
    "append": shaping.concatenate, "stack": shaping.stack, "reshape": shaping.reshape, "transpose": shaping.transpose,
    "where": selecting.where, "take": selecting.take, "clip": elementwise.clip, "einsum": products.einsum,
    "dot": products.matmul, "inner": products.einsum, "outer": products.einsum, "tensordot": products.einsum,
    "trace": products.einsum, "add.reduce": reductions.total, "multiply.reduce": reductions.prod,
    "maximum.reduce": reductions.max, "minimum.reduce": reductions.min, "add.accumulate": reductions.cumsum,
    "logaddexp.reduce": reductions.logsumexp, "amax": reductions.max, "amin": reductions.min,
    "average": reductions.mean,
}  # fmt: skip
