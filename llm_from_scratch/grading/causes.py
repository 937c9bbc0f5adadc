"""What probably led to a wrong array: first the mistakes its check knows of, then what the numbers themselves show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .words import unfinished

_abs, _argmax, _asarray, _errstate, _inf = np.abs, np.argmax, np.asarray, np.errstate, np.inf
_isfinite, _isnan, _sort, _where, _zeros_like = np.isfinite, np.isnan, np.sort, np.where, np.zeros_like

NAN_CAUSE = (
    "NaN comes of inf - inf, of 0 / 0, and of the root or logarithm of a negative number; the softmax of a row in "
    "which everything is masked is such an inf - inf."
)
INF_CAUSE = "an overflow or a division by zero: exp passes the largest number at 710 (float32: at 89)."


def likely_cause(have: Any, want: Any, tolerance: float, causes: Mapping[str, Any]) -> str:
    """The likely reason why `have` stands where `want` should, as a sentence; an empty text if none is known.

    Of the `causes` (words -> the value that mistake leads to) the nearest one speaks; several that lead to the same
    value speak together, because the answer cannot tell them apart.

    >>> want = np.array([1.0, 2.0, 4.0])
    >>> likely_cause(want / 2, want, 1e-9, {"the mean for the sum": want / 2, "far off": want + 9})
    'the mean for the sum.'
    >>> likely_cause(want / 2, want, 1e-9, {"one": want / 2, "other": want / 2})
    'one; or: other.'
    >>> likely_cause(-want, want, 1e-9, {})
    'the sign is flipped.'
    """
    known = {words: _asarray(value) for words, value in causes.items()}
    distances = {words: _distance(have, value) for words, value in known.items() if value.shape == want.shape}
    # it need not fit to the last digit, only far better than it fits the right answer
    largest = float(_abs(want).max())
    fitting = {
        words: distance
        for words, distance in distances.items()
        if distance <= max(tolerance, 0.01 * min(_distance(want, known[words]), _distance(have, want), largest))
    }
    if fitting:
        nearest = min(fitting, key=lambda words: fitting[words])
        alike = [words for words in fitting if _distance(known[words], known[nearest]) <= tolerance]
        return "; or: ".join(alike) + "."
    if not _isfinite(have).all():
        return NAN_CAUSE if _isnan(have).any() else INF_CAUSE
    return _pattern(have, want, tolerance)


def _distance(a: Any, b: Any) -> float:
    """The largest difference; NaN or the same infinity in both is none, in one alone it is infinite."""
    with _errstate(all="ignore"):
        apart = _where((a == b) | (_isnan(a) & _isnan(b)), 0.0, _abs(a - b))
    return float(_where(_isnan(apart), _inf, apart).max())


def _pattern(have: Any, want: Any, tolerance: float) -> str:
    def matches(other: Any) -> bool:
        return bool(other.shape == have.shape and _distance(have, other) <= tolerance)

    if matches(_zeros_like(want)):
        return "the answer is zero everywhere."
    if matches(-want):
        return "the sign is flipped."
    largest = _argmax(_abs(want))
    ratio = float(have.flat[largest]) / float(want.flat[largest])
    if have.shape == want.shape and _distance(have, want) <= 1e-4 * _abs(want).max():
        return "all but right: was a small number added, or float32 used inside?"
    if want.size > 1 and abs(ratio) > 1e-3 and matches(ratio * want):
        return f"every value is {ratio:.4g} times the right one: a missing or surplus factor?"
    if want.ndim >= 2 and want.shape[-1] == want.shape[-2] and matches(want.swapaxes(-1, -2)):
        return "the answer is transposed."
    if want.size > 1 and _abs(_sort(have, axis=None) - _sort(want, axis=None)).max() <= tolerance:
        return "the values are right but stand in another order."
    return ""


def type_cause(got: Any, expected: Any) -> str:
    """Why a value of another type stands there."""
    if unfinished(got):
        return unfinished(got)
    if isinstance(got, np.generic) and isinstance(expected, (int, float)):
        return f"a NumPy number stands where a Python one belongs: {type(expected).__name__}(...)."
    if isinstance(expected, list) and hasattr(got, "__iter__"):
        return "wrap it in list(...)."
    return ""


def dtype_cause(got: Any, want: Any) -> str:
    """Why an array has another dtype."""
    if want.dtype == np.float32 and got.dtype == np.float64:
        return (
            "a float64 array or NumPy scalar crept into the arithmetic (np.sqrt(2.0) and np.zeros(n) are "
            "float64; a plain Python float does no harm)."
        )
    if want.dtype.kind == "f" and got.dtype.kind in "iu":
        return "an integer array cannot hold fractions: convert it to float first."
    if got.dtype.kind == "O":
        return "its entries are Python objects, not numbers: rows of different lengths, or a None among them?"
    return ""


def shape_cause(got: Any, want: Any) -> str:
    """Why an array has another shape."""
    if sorted(got.shape) == sorted(want.shape):
        return "the axes are in another order."
    if got.size == want.size:
        return "an axis of length 1 was lost or added: keepdims=True, or reshape?"
    return ""
