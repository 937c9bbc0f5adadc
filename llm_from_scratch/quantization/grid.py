"""Grids: each group of a row's weights on evenly spaced numbers, whole codes times a scale from a zero point on.

A weight is read as `(code - zero) · scale`, with codes 0 … 2^bits - 1. Scale and zero belong to a group: the inputs of
one row that share them, all of a row or a number that divides it. This is what rounding to nearest, GPTQ and AWQ end
with; they differ in which codes they choose, and from which weights a group's scale is taken.

Source: the quantiser of Frantar et al. 2022 (GPTQ), arXiv:2210.17323, but for its symmetric range, which in the
authors' code stays one-sided where a row has no negative entry: its upper half is then clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Grid:
    """A matrix (outputs, inputs) in `bits` bits a weight.

    codes: (outputs, inputs) uint8. scale, zero: (outputs, groups), of one floating-point dtype; zero holds whole
    numbers that are codes themselves. group_of_input: (inputs,) int64, the group that each input belongs to, which need
    not ascend (act-order). Raises TypeError or ValueError where the parts do not fit each other.

    >>> grid = round_to_grid(np.array([[-1.0, 0.0, 0.4, 2.0]]), bits=2)
    >>> grid.codes, grid.scale, grid.zero, grid.values()
    (array([[0, 1, 1, 3]], dtype=uint8), array([[1.]]), array([[1.]]), array([[-1.,  0.,  0.,  2.]]))
    """

    codes: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    group_of_input: np.ndarray
    bits: int

    def __post_init__(self) -> None:
        last = 2 ** check_bits(self.bits) - 1
        codes, scale, zero, group = self.codes, self.scale, self.zero, self.group_of_input
        if codes.dtype != np.uint8 or group.dtype.kind not in "iu" or scale.dtype.char not in "fd":
            raise TypeError(
                "a grid has uint8 codes, float32 or float64 scales and integer groups, "
                f"got {codes.dtype}, {scale.dtype} and {group.dtype}"
            )
        if zero.dtype != scale.dtype or zero.shape != scale.shape:
            raise ValueError(f"zero is {zero.dtype} {zero.shape}, but scale {scale.dtype} {scale.shape}")
        if codes.ndim != 2 or scale.ndim != 2 or len(scale) != len(codes) or group.shape != codes.shape[1:]:
            raise ValueError(
                "codes (outputs, inputs), scale (outputs, groups) and group_of_input (inputs,) do not fit: "
                f"{codes.shape}, {scale.shape} and {group.shape}"
            )
        if codes.size and codes.max() > last:
            raise ValueError(f"{self.bits} bits hold codes up to {last}, got {int(codes.max())}")
        if group.size and not 0 <= int(group.min()) <= int(group.max()) < scale.shape[1]:
            raise ValueError(f"there are groups 0..{scale.shape[1] - 1}, an input is in {int(group.min())} or above")
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise ValueError("every scale of a grid is finite and above zero")
        if not ((zero >= 0) & (zero <= last) & (zero == np.rint(zero))).all():
            raise ValueError(f"every zero point is a whole number in 0..{last}")

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self.codes.shape  # type: ignore[return-value]

    def values(self) -> np.ndarray:
        """The weights that the codes stand for, (outputs, inputs), in the scale's dtype."""
        group = self.group_of_input
        return (self.codes - self.zero[:, group]) * self.scale[:, group]


def fit(values: np.ndarray, bits: int, *, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point for each row: values (..., n) -> scale (...), zero (...), in their dtype.

    The range is that of the row with zero in it, so that zero itself is on the grid; symmetric: as far below zero as
    above, with the zero point in the middle. A row of zeros gets the range -1..1 and keeps its zeros. Raises ValueError
    for a range that the dtype cannot hold, infinite or NaN.

    >>> fit(np.array([[-1.0, 0.5, 2.0], [0.0, 0.0, 0.0]]), 2)
    (array([1.        , 0.66666667]), array([1., 2.]))
    """
    last = 2**bits - 1
    low, high = np.minimum(values.min(axis=-1), 0), np.maximum(values.max(axis=-1), 0)
    if symmetric:
        high = np.maximum(high, -low)
        low = -high
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.asarray((high - low) / values.dtype.type(last))
    if not np.isfinite(scale).all():
        raise ValueError(f"a group of weights spans more than {values.dtype} can hold: are they finite and sound?")
    # Below the smallest normal number a division by the scale would overflow, so what is so small counts as zero.
    nothing = scale < np.finfo(values.dtype).tiny
    scale = np.where(nothing, values.dtype.type(2) / values.dtype.type(last), scale)
    if symmetric:
        return scale, np.full_like(scale, 2 ** (bits - 1))
    return scale, np.rint(-np.where(nothing, values.dtype.type(-1), low) / scale)


def nearest_codes(values: np.ndarray, scale: np.ndarray, zero: np.ndarray, bits: int) -> np.ndarray:
    """The code whose number is nearest, half-way ones to even steps from zero: values (...) -> (...) uint8.

    scale and zero are broadcast against values.

    >>> nearest_codes(np.array([-9.0, 0.5, 1.5, 9.0]), np.array(1.0), np.array(4.0), 3)
    array([0, 4, 6, 7], dtype=uint8)
    """
    return np.clip(np.rint(values / scale) + zero, 0, 2**bits - 1).astype(np.uint8)


def round_to_grid(weight: Any, *, bits: int, group_size: int | None = None, symmetric: bool = False) -> Grid:
    """Every weight to the nearest number of its group's grid: (outputs, inputs) -> Grid.

    group_size: inputs that share a scale, a divisor of a row; None: a whole row. float16 and bfloat16 are read as
    float32. Raises TypeError for anything but floating-point numbers, ValueError for weights that are no matrix or not
    finite, bits outside 2..8, and a group size that does not divide.

    >>> round_to_grid(np.array([[-1.0, 2.0, 0.5, 0.1]]), bits=4, group_size=2).values()
    array([[-1. ,  2. ,  0.5,  0.1]])
    """
    weight, bits = check_weight(weight), check_bits(bits)
    outputs, inputs = weight.shape
    size = check_group_size(group_size, inputs)
    grouped = weight.reshape(outputs, -1, size)
    scale, zero = fit(grouped, bits, symmetric=symmetric)
    codes = nearest_codes(grouped, scale[..., None], zero[..., None], bits)
    return Grid(codes.reshape(outputs, inputs), scale, zero, np.arange(inputs) // size, bits)


def check_bits(bits: Any) -> int:
    """The number of bits; ValueError unless it is a whole number from 2 to 8."""
    if isinstance(bits, (bool, np.bool_)) or not isinstance(bits, (int, np.integer)) or not 2 <= bits <= 8:
        raise ValueError(f"a grid has 2 to 8 bits, not {bits!r}")
    return int(bits)


def check_group_size(group_size: Any, inputs: int) -> int:
    """Inputs of a group, all of them for None; ValueError unless it is a positive whole number that divides a row.

    >>> check_group_size(64, 200)
    Traceback (most recent call last):
    ValueError: groups of 64 do not divide a row of 200 inputs: take a divisor, or None for the whole row
    """
    if group_size is None:
        return inputs
    if isinstance(group_size, (bool, np.bool_)) or not isinstance(group_size, (int, np.integer)) or group_size < 1:
        raise ValueError(f"group_size is a positive whole number or None for the whole row, not {group_size!r}")
    if inputs % group_size:
        raise ValueError(
            f"groups of {group_size} do not divide a row of {inputs} inputs: take a divisor, or None for the whole row"
        )
    return int(group_size)


def check_weight(weight: Any, name: str = "weight") -> np.ndarray:
    """The matrix in float32, or float64 if it came so; TypeError or ValueError unless it is one, and finite.

    >>> check_weight([[1.0, np.nan]])
    Traceback (most recent call last):
    ValueError: the weight at (0, 1) is nan: only finite numbers can be quantised
    """
    matrix = np.asarray(weight)
    if matrix.dtype.kind != "f" and matrix.dtype.name != "bfloat16":
        raise TypeError(f"the {name} is a matrix of floats, got {matrix.dtype}: convert with .astype(np.float32)")
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"the {name} is a matrix (outputs, inputs), got the shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
        raise ValueError(f"the {name} at {place} is {matrix[place]}: only finite numbers can be quantised")
    return matrix if matrix.dtype.char in "fd" else matrix.astype(np.float32)
