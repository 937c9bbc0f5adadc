"""Numbers as this room takes them: real, finite, and mostly more than zero."""

from __future__ import annotations

from typing import Any

import numpy as np


def finite(name: str, value: Any) -> Any:
    """`value` as a float, or as an array of float64 where it has a shape; TypeError or ValueError if it is no number.

    >>> finite("losses", [1, 2])
    array([1., 2.])
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or isinstance(value, str):
        raise TypeError(f"{name} must be a number or an array of numbers, got {_shown(value)}")
    array = array.astype(np.float64)
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one number, got none")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)].flat[0] if array.ndim else array}")
    return array if array.ndim else float(array)


def positive(name: str, value: Any, *, zero: bool = False) -> Any:
    """As `finite`, and more than 0 (or at least 0, with `zero`).

    >>> positive("tokens", 0)
    Traceback (most recent call last):
    ValueError: tokens must be more than 0, got 0
    """
    found = finite(name, value)
    wrong = found < 0 if zero else found <= 0
    if np.any(wrong):
        least = "at least" if zero else "more than"
        raise ValueError(
            f"{name} must be {least} 0, got {np.asarray(value)[wrong].flat[0] if np.ndim(value) else value}"
        )
    return found


def number(name: str, value: Any, *, zero: bool = False) -> float:
    """As `positive`, and a single number."""
    found = positive(name, value, zero=zero)
    if np.ndim(found):
        raise TypeError(f"{name} must be one number, got an array of shape {np.shape(found)}")
    return float(found)


def series(**arrays: Any) -> list[np.ndarray]:
    """Arrays (n,) of positive numbers, equally long; ValueError that names the one that is not."""
    found = {name: np.atleast_1d(positive(name, value)) for name, value in arrays.items()}
    lengths = {name: array.shape for name, array in found.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        told = ", ".join(f"{name} {shape}" for name, shape in lengths.items())
        raise ValueError(f"{' and '.join(found)} must be lists of one length, a number for each run; got shapes {told}")
    return list(found.values())


def whole(name: str, value: Any) -> int:
    """`value` as a count; ValueError if it is no whole number of at least 1.

    >>> whole("nodes", True)
    Traceback (most recent call last):
    ValueError: nodes must be a whole number of at least 1, got True
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{type(value).__name__} {text[:40]}…"
