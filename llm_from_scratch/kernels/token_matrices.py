"""What the steps of one token are made of: vectors, norms and matrices, each with its formula and as words.

Compiled code reads words: whole numbers that say where arrays lie and how large they are. They are made here, from
arrays whose shapes are checked here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .packed import TILE, check_packed, packed_expand


def vector(size: int) -> np.ndarray:
    """Room for a vector; to the next whole tile, since packed products write such."""
    return np.zeros(-(-size // TILE) * TILE, np.float32)[:size]


def address(array: np.ndarray | None) -> int:
    """Where an array lies, 0 for none; it must be what compiled code takes it for."""
    if array is None:
        return 0
    if not array.flags.c_contiguous or not array.dtype.isnative:
        raise ValueError(f"a step needs contiguous arrays, got {array.dtype} {array.shape} of strides {array.strides}")
    return array.__array_interface__["data"][0]


@dataclass(frozen=True, eq=False)
class NormStep:
    """A norm with its arrays: LayerNorm if `centred`, else RMSNorm; the weight counts from 1 if `plus_one`."""

    size: int
    eps: float
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    centred: bool = False
    plus_one: bool = False
    eps_outside: bool = False

    def __post_init__(self) -> None:
        _check_shapes(self, weight=(self.size,), bias=(self.size,))

    def formula(self, x: np.ndarray) -> np.ndarray:
        """(size,) -> (size,), or row by row."""
        wide = x.astype(np.float64)
        if self.centred:
            wide = wide - wide.mean(-1, keepdims=True)
        square = (wide * wide).mean(-1, keepdims=True)
        y = wide / (np.sqrt(square) + self.eps if self.eps_outside else np.sqrt(square + self.eps))
        if self.weight is not None:
            y = y * (self.weight + np.float32(self.plus_one))
        return (y if self.bias is None else y + self.bias).astype(x.dtype)

    def words(self) -> list[int]:
        """As compiled code reads it."""
        parameters = address(self.weight), address(self.bias)
        return [int(self.centred), self.size, *parameters, int(self.plus_one), int(self.eps_outside)]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix (inputs, outputs) as it is kept: numbers, numbers of the transposed one, or packed; and its bias.

    values: (inputs, outputs), or (outputs, inputs) if `transposed`; codes, scale, minimum: see `kernels.packed`.
    """

    inputs: int
    outputs: int
    values: np.ndarray | None = None
    transposed: bool = False
    codes: np.ndarray | None = None
    scale: np.ndarray | None = None
    minimum: np.ndarray | None = None
    bias: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (self.outputs, self.inputs) if self.transposed else (self.inputs, self.outputs)
        _check_shapes(self, values=shape, bias=(self.outputs,))
        if self.codes is None:
            return
        assert self.scale is not None and self.minimum is not None
        check_packed(self.codes, self.scale, self.minimum)
        if self.codes.shape[:2] != (-(-self.outputs // TILE), self.inputs // 2) or self.scale.dtype != np.float32:
            raise ValueError(f"codes {self.codes.shape} are no matrix ({self.inputs}, {self.outputs})")

    @property
    def tiled(self) -> bool:
        """Whether outputs come in whole tiles."""
        return self.codes is not None

    def arrays(self) -> list[np.ndarray]:
        """What a product reads from end to end."""
        parts = self.values, self.codes, self.scale, self.minimum
        return [array for array in parts if array is not None and array.size]

    def numbers(self) -> np.ndarray:
        """(inputs, outputs)."""
        if self.values is not None:
            return self.values.T if self.transposed else self.values
        return packed_expand.__wrapped__(self.codes, self.scale, self.minimum)[:, : self.outputs]

    def formula(self, x: np.ndarray) -> np.ndarray:
        """x W + b."""
        y = x @ self.numbers()
        return y if self.bias is None else y + self.bias

    def words(self) -> list[int]:
        """As compiled code reads it."""
        if self.codes is None:
            return [int(self.transposed), self.inputs, self.outputs, address(self.values), 0, 0, 0, address(self.bias)]
        assert self.scale is not None and self.minimum is not None
        minimum = self.minimum if self.minimum.size else None
        parts = address(self.codes), address(self.scale), address(minimum)
        kind = 2 if self.codes.dtype == np.uint8 else 3
        return [kind, self.inputs, self.outputs, *parts, self.inputs // self.scale.shape[1], address(self.bias)]


def _check_shapes(owner: Any, **shapes: tuple[int, ...]) -> None:
    for name, shape in shapes.items():
        array = getattr(owner, name)
        if array is not None and (array.shape != shape or array.dtype != np.float32):
            raise ValueError(f"{type(owner).__name__}: {name} must be float32 {shape}, got {array.dtype} {array.shape}")


class Lowering:
    """Numbers norms and matrices while rows are made."""

    def __init__(self) -> None:
        self.norm_words: list[list[int]] = []
        self.eps: list[float] = []
        self.matrix_words: list[list[int]] = []

    def norm(self, norm: NormStep) -> int:
        """The number of a norm."""
        self.norm_words.append(norm.words())
        self.eps.append(norm.eps)
        return len(self.eps) - 1

    def matrices(self, matrices: list[Matrix]) -> int:
        """The number of the first of some matrices."""
        self.matrix_words += [matrix.words() for matrix in matrices]
        return len(self.matrix_words) - len(matrices)
