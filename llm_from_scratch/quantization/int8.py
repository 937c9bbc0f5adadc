"""LLM.int8(): a product of two matrices of int8, but for the few inputs whose activations are too large for eight bits.

Every row of x and every row of the weight (an output) gets a scale of its own, its largest magnitude over 127. An input
with an activation of 6 or more anywhere in x, an outlier, would ruin the scale of its rows: such columns are multiplied
in floating point instead, with the weight as it was (the paper), or with what its codes stand for, so that nothing but
the codes need be kept (bitsandbytes). Which columns these are depends on all rows of x: a token's result can change,
by a rounding error, with the company it is computed in.

Source: Dettmers et al. 2022 (LLM.int8()), arXiv:2208.07339, section 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import checks
from ..kernels.int8 import int8_matmul
from .grid import check_weight

LARGEST = 127  # -128 is not used, so that a row's range is the same above and below zero


def quantize_rows(weight: Any) -> tuple[np.ndarray, np.ndarray]:
    """Each row in whole numbers from -127 to 127: (outputs, inputs) -> codes int8, alike, and absmax (outputs,).

    absmax has the weight's dtype; float16 and bfloat16 are read as float32. Halves go to the even code. Raises
    TypeError for anything but floating-point numbers, ValueError for what is no matrix or not finite.

    >>> quantize_rows([[1.0, -0.5, 0.26], [0.0, 0.0, 0.0]])
    (array([[127, -64,  33],
           [  0,   0,   0]], dtype=int8), array([1., 0.]))
    """
    weight = check_weight(weight)
    absmax = np.abs(weight).max(axis=1)
    return _codes(weight, absmax), absmax


def dequantize_rows(codes: Any, absmax: Any) -> np.ndarray:
    """The numbers that codes (outputs, inputs) with absmax (outputs,) stand for, (outputs, inputs) in absmax's dtype.

    >>> dequantize_rows(*quantize_rows([[1.0, -0.5, 0.26]])).round(3)
    array([[ 1.   , -0.504,  0.26 ]])
    """
    codes, absmax = check_parts(codes, absmax)
    return codes / absmax.dtype.type(LARGEST) * absmax[:, None]


def check_threshold(threshold: Any) -> None:
    """Raise ValueError unless the threshold of outliers is a number of at least 0."""
    number = isinstance(threshold, (int, float, np.integer, np.floating)) and not isinstance(threshold, bool)
    if not number or not threshold >= 0:
        raise ValueError(f"threshold is a number above 0, or 0 for no outliers, not {threshold!r}")


def outlier_columns(x: np.ndarray, threshold: float = 6.0) -> np.ndarray:
    """The inputs with a magnitude of at least `threshold` in any row: x (N, inputs) -> ascending indices.

    A threshold of 0 means none, as in bitsandbytes, and so does infinity.
    """
    check_threshold(threshold)
    if threshold == 0:
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.abs(x).max(axis=0, initial=0) >= threshold)


def matmul(
    x: np.ndarray,
    codes: Any,
    absmax: Any,
    bias: np.ndarray | None = None,
    *,
    threshold: float = 6.0,
    outlier_weight: Any = None,
) -> np.ndarray:
    """x Wᵀ + bias with W in int8: x (..., inputs), codes (outputs, inputs), absmax (outputs,) -> (..., outputs).

    x, and the result, are float32 or float64; x is rounded to int8 row by row, without its outliers. Those meet
    `outlier_weight` (outputs, inputs), the float matrix, or without it the dequantised codes. Of an outlier column only
    the entries below `threshold` count for a row's scale, then the whole column leaves the int8 product. Raises
    TypeError or ValueError for what does not fit, more than 131,071 inputs, numbers that are not finite, and a
    threshold below 0.

    >>> codes, absmax = quantize_rows([[1.0, -0.5, 0.26]])
    >>> x = np.array([[0.3, 0.7, 60.0]])                                     # exactly, 15.55
    >>> matmul(x, codes, absmax).round(2), matmul(x, codes, absmax, threshold=np.inf).round(2)
    (array([[15.54]]), array([[15.82]]))
    """
    checks.floating("int8.matmul", x)
    codes, absmax = check_parts(codes, absmax)
    outputs, inputs = codes.shape
    if x.dtype.char not in "fd" or x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"int8.matmul: x (..., {inputs}) in float32 or float64 was expected, got {x.dtype} {x.shape}")
    checks.shapes("int8.matmul", bias=(bias, (outputs,)))
    rows, kind = x.reshape(-1, inputs), x.dtype.type
    check_threshold(threshold)
    kept, magnitude = rows, np.abs(rows)
    largest = magnitude.max(axis=1, initial=0)
    if not np.isfinite(largest).all():
        raise ValueError("int8.matmul: x holds numbers that are not finite, which have no code")
    outliers = np.zeros(0, np.int64)
    if 0 < threshold <= largest.max(initial=0):
        outliers = outlier_columns(rows, threshold)
        kept = np.where(magnitude >= threshold, kind(0), rows)
        largest = np.abs(kept).max(axis=1)
    row_codes = _codes(kept, largest)
    row_codes[:, outliers] = 0  # what was below the threshold in these columns is multiplied with the rest of them
    absmax = absmax.astype(x.dtype, copy=False)
    y = int8_matmul(row_codes, codes).astype(x.dtype)
    y *= largest[:, None] / kind(LARGEST**2)
    y *= absmax
    if outlier_weight is not None:
        outlier_weight = check_weight(outlier_weight, "outlier_weight")
        checks.shapes("int8.matmul", outlier_weight=(outlier_weight, codes.shape))
        y += rows[:, outliers] @ outlier_weight[:, outliers].T.astype(x.dtype)
    elif len(outliers):
        y += rows[:, outliers] @ dequantize_rows(codes[:, outliers], absmax).T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], outputs)


def _codes(rows: np.ndarray, absmax: np.ndarray) -> np.ndarray:
    """Whole numbers: rows (N, n), their largest magnitudes (N,) -> (N, n) int8."""
    kind = rows.dtype.type
    tiny = absmax < 2.0**-100  # 127 over it could be infinite; powers of two change no digit
    if tiny.any():
        boost = np.where(tiny, kind(2.0**64), kind(1))
        rows, absmax = rows * boost[:, None], np.where(absmax > 0, absmax * boost, kind(1))
    # Rows must lie in one piece: the product would copy a transposed matrix at every call.
    return np.rint(rows * (kind(LARGEST) / absmax)[:, None]).astype(np.int8, order="C")


def check_parts(codes: Any, absmax: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; TypeError or ValueError unless they are codes (outputs, inputs) and absmax (outputs,)."""
    codes, absmax = np.asarray(codes), np.asarray(absmax)
    if codes.dtype != np.int8 or absmax.dtype.char not in "fd":
        raise TypeError(f"codes are int8 and absmax float32 or float64, got {codes.dtype} and {absmax.dtype}")
    if codes.ndim != 2 or absmax.shape != codes.shape[:1]:
        raise ValueError(
            f"codes (outputs, inputs) with absmax (outputs,) were expected, got {codes.shape} and {absmax.shape}"
        )
    return codes, absmax
