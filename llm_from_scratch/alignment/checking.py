"""What the losses over answers ask of their arguments: numbers in their range, arrays of one shape, finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor, as_tensor
from ..autograd.tensor import FLOATS


def answers(**arrays: Any) -> list[Tensor]:
    """One number an answer, (N,) each, as Tensors; ValueError or TypeError naming the array that does not fit.

    >>> answers(chosen=[-1.0, -2.0], rejected=[-3.0])
    Traceback (most recent call last):
    ValueError: rejected has the shape (1,), chosen (2,): they must be equal
    """
    tensors = _alike("(N,)", 1, arrays)
    for name, x in zip(arrays, tensors):
        finite(name, x.data)
    return tensors


def tokens(mask: Any, **arrays: Any) -> tuple[np.ndarray, list[Tensor]]:
    """One number a token, (N, T) each, and a mask (N, T) -> the mask as booleans, and of each array its real entries.

    What stands in masked places does not matter. ValueError or TypeError naming the array, or the row without a token.

    >>> tokens([[1, 0], [0, 0]], log_probabilities=[[-1.0, 0.0], [-1.0, 0.0]])
    Traceback (most recent call last):
    ValueError: row 1 is masked altogether: an answer has at least one token
    """
    real, tensors = masked(mask, **arrays)
    empty = np.flatnonzero(~real.any(axis=1))
    if len(empty):
        raise ValueError(f"row {empty[0]} is masked altogether: an answer has at least one token")
    return real, [x[real] for x in tensors]


def per_token(mask: Any, **arrays: Any) -> Any:
    """The arrays (N, T) of one floating dtype, 0 where the mask is not, and the mask as booleans; or an error."""
    real, tensors = masked(mask, **{name: floating(value) for name, value in arrays.items()})
    if not real.any():
        raise ValueError(f"the mask {real.shape} has no real token: there is nothing to compute")
    return *(np.where(real, x.data, x.dtype.type(0)) for x in tensors), real


def masked(mask: Any, **arrays: Any) -> tuple[np.ndarray, list[Tensor]]:
    """Arrays (N, T) and a mask (N, T) or None -> the mask as booleans, and Tensors, finite where it is True."""
    tensors = _alike("(N, T)", 2, arrays)
    real = mask_like(mask, tensors[0].shape, next(iter(arrays)))
    for name, x in zip(arrays, tensors):
        finite(name, x.data, real)
    return real, tensors


def mask_like(mask: Any, shape: tuple[int, ...], beside: str) -> np.ndarray:
    """The mask as booleans, if it is of this shape and holds nothing but 0 and 1; None is True everywhere."""
    if mask is None:
        return np.ones(shape, bool)
    real = np.asarray(mask.data if isinstance(mask, Tensor) else mask)
    if real.shape != shape:
        raise ValueError(f"the mask has the shape {real.shape}, {beside} {shape}: they must be equal")
    if not np.isin(real, (0, 1)).all():
        raise ValueError("a mask holds only True and False (or 1 and 0)")
    return real.astype(bool)


def one_a_row(name: str, value: Any, beside: np.ndarray) -> np.ndarray:
    """One finite number a row, in the dtype of `beside` (N, T)."""
    array = np.asarray(value, beside.dtype)
    if array.shape != beside.shape[:1]:
        raise ValueError(f"{name} has the shape {array.shape}, expected one number for each of {len(beside)} answers")
    finite(name, array)
    return array


def floating(value: Any) -> Tensor:
    """As a Tensor, whole numbers as float64."""
    tensor = as_tensor(value)
    return tensor if tensor.dtype in FLOATS else Tensor(tensor.data.astype(np.float64))


def _alike(expected: str, axes: int, arrays: dict[str, Any]) -> list[Tensor]:
    tensors = [as_tensor(array) for array in arrays.values()]
    (first, one), *_ = zip(arrays, tensors)
    for name, x in zip(arrays, tensors):
        if x.ndim != axes or not x.size:
            raise ValueError(f"{name} must have the shape {expected}, none of it 0; got {x.shape}")
        if x.shape != one.shape:
            raise ValueError(f"{name} has the shape {x.shape}, {first} {one.shape}: they must be equal")
        if x.dtype not in FLOATS or x.dtype != one.dtype:
            raise TypeError(f"{name} is {x.dtype}, {first} {one.dtype}: give all as float32, or all as float64")
    return tensors


def finite(name: str, array: np.ndarray, where: Any = True) -> None:
    """ValueError for the first entry that is not finite, of those that count."""
    wrong = ~np.isfinite(array) & where
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"{name}{list(place)} is {array[place]}: every entry must be finite")


def positive(name: str, value: Any) -> float:
    """`value`, if it is a finite number above 0.

    >>> positive("beta", -0.1)
    Traceback (most recent call last):
    ValueError: beta must be a finite number above 0, got -0.1
    """
    return _number(name, value, "above 0", lambda x: x > 0)


def not_negative(name: str, value: Any) -> float:
    """`value`, if it is a finite number of at least 0."""
    return _number(name, value, "of at least 0", lambda x: x >= 0)


def probability(name: str, value: Any) -> float:
    """`value`, if it is a number in [0, 1]."""
    return _number(name, value, "in [0, 1]", lambda x: 0 <= x <= 1)


def minority(name: str, value: Any) -> float:
    """`value`, if it is a share in [0, 0.5)."""
    return _number(name, value, "in [0, 0.5)", lambda x: 0 <= x < 0.5)


def whole(name: str, value: Any) -> int:
    """`value`, if it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a positive integer, not {value!r}")
    return int(value)


def _number(name: str, value: Any, what: str, fits: Callable[[float], bool]) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a finite number {what}, got {value!r}")
    if not (math.isfinite(value) and fits(float(value))):
        raise ValueError(f"{name} must be a finite number {what}, got {value}")
    return float(value)
