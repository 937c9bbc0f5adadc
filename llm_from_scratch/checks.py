"""Checks that every room may use: what came is what was expected, or an error that says so."""

from __future__ import annotations

import numpy as np


def floating(name: str, *arrays: np.ndarray) -> None:
    """Raise TypeError unless the arrays hold floating-point numbers.

    >>> floating("gelu", np.zeros(3, np.int64))
    Traceback (most recent call last):
    TypeError: gelu works on float32 or float64, got int64: convert with .astype(np.float32)
    """
    for array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            got = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name} works on float32 or float64, got {got}: convert with .astype(np.float32)")


def shapes(name: str, **expected: tuple[np.ndarray | None, tuple[int, ...]]) -> None:
    """Raise ValueError unless each array has the shape beside it; None is no array and fits.

    >>> shapes("linear", bias=(np.zeros(3), (4,)))
    Traceback (most recent call last):
    ValueError: linear: the bias has shape (3,), expected (4,)
    """
    for label, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name}: the {label} has shape {array.shape}, expected {shape}")
