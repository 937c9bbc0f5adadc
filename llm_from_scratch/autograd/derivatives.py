"""Whole Jacobians, and products with a Hessian, from a tape that gives one gradient at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .tensor import Tensor, as_tensor


def jacobian(function: Callable[[Tensor], Any], x: Any) -> np.ndarray:
    """d function(x) / dx, every output by every input: shape (*output's shape, *x's shape).

    One forward and one backward for each entry of the output: the backward of an entry is a row of the matrix.

    >>> jacobian(lambda x: x * x, [1.0, 2.0])
    array([[2., 0.],
           [0., 4.]])
    """
    array = _array(x)
    shape = as_tensor(function(Tensor(array))).shape
    rows = np.zeros((int(np.prod(shape)), *array.shape), array.dtype)
    for number, index in enumerate(np.ndindex(shape)):
        rows[number] = _gradient(lambda x, i=index: function(x)[i], array)  # type: ignore[misc]
    return rows.reshape(*shape, *array.shape)


def hessian_vector_product(function: Callable[[Tensor], Any], x: Any, v: Any, *, step: float = 1e-5) -> np.ndarray:
    """H v, for the Hessian H of a function whose value is one number, without ever forming H: x's shape.

    H v is how fast the gradient changes in the direction of v, here measured by a central difference of two gradients
    `step` apart on either side. For numbers around 1 in float64 nine digits are right; float32 is refused, whose
    rounding would leave two.

    >>> hessian_vector_product(lambda x: (x**3).sum(), [1.0, 2.0], [1.0, 1.0]).round(6)      # diag(6 x) v
    array([ 6., 12.])
    """
    array, direction = _array(x), np.asarray(v, np.float64)
    if array.dtype != np.float64 or direction.shape != array.shape:
        raise ValueError(
            f"hessian_vector_product needs float64, and a direction of x's shape: got {array.dtype}{array.shape} "
            f"and {direction.shape}"
        )
    h = step / max(1.0, float(np.abs(direction).max(initial=0.0)))
    above, below = (_gradient(function, array + sign * h * direction) for sign in (1.0, -1.0))
    return (above - below) / (2 * h)


def _array(x: Any) -> np.ndarray:
    array = x.data if isinstance(x, Tensor) else np.asarray(x)
    if array.dtype.kind != "f":
        raise TypeError(f"derivatives need floating-point numbers, not {array.dtype}")
    return array


def _gradient(function: Callable[[Tensor], Any], array: np.ndarray) -> np.ndarray:
    leaf = Tensor(np.array(array), requires_grad=True)
    value = as_tensor(function(leaf))
    if value.requires_grad:  # a value that does not depend on x has a gradient of zeros
        value.backward()
    return np.zeros_like(array) if leaf.grad is None else leaf.grad
