"""A linear layer whose matrix is held in int8, multiplied as LLM.int8() does.

A quarter of float32's memory, and no float matrix is made of it: the product itself runs in whole numbers. Activations
are rounded too, so that an output is a step function of its input; the backward takes the gradient of what the codes
stand for, straight through the rounding, as bitsandbytes does. Which inputs are outliers all rows of a call decide
together, as there too: what a token gets depends, by an error of eight bits, on the tokens read with it. A text may
therefore differ with the batch that it is written in or the pieces that it is read in, and no draft can guess for such
a model; without outliers (a threshold of 0), or under `batch_invariant`, every row is what it is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels.row_products import is_batch_invariant, product
from ..layers import Linear, Module, StoredWeight
from ..layers.module import Predicate
from . import int8
from .packed import PackedLinear, replace_linears

_PANEL = 2**19  # numbers made at a time in the backward: 2 MB in float32


@dataclass(frozen=True, eq=False)
class Int8Weight(StoredWeight):
    """A matrix (inputs, outputs) in int8, held as it is published: codes (outputs, inputs), absmax (outputs,) float32.

    threshold: activations from which an input is an outlier, multiplied in float; 0: none is.

    >>> weight = Int8Weight.of(np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32))
    >>> weight.shape, weight.nbytes
    ((256, 64), 16640)
    """

    codes: np.ndarray
    absmax: np.ndarray
    threshold: float = 6.0

    kind = "int8"
    rounds_inputs = True

    def __post_init__(self) -> None:
        int8.check_parts(self.codes, self.absmax)
        int8.check_threshold(self.threshold)
        if self.absmax.dtype != np.float32 or self.threshold == np.inf:
            raise ValueError(
                f"absmax is float32 and the threshold finite, not {self.absmax.dtype} and {self.threshold}"
            )

    @classmethod
    def of(cls, matrix: Any, *, threshold: float = 6.0) -> Int8Weight:
        """Quantise a matrix (outputs, inputs). Raises as `int8.quantize_rows`, ValueError for a threshold below 0."""
        int8.check_threshold(threshold)
        codes, absmax = int8.quantize_rows(matrix)
        return cls(codes, absmax.astype(np.float32, copy=False), 0.0 if threshold == np.inf else float(threshold))

    def layer(self, bias: Tensor | None) -> Int8Linear:
        """The linear layer that has this matrix."""
        return Int8Linear(self, bias)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(inputs, outputs)."""
        return self.codes.shape[1], self.codes.shape[0]

    @property
    def outputs(self) -> int:
        """How many outputs there are."""
        return len(self.codes)

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes held."""
        return self.codes.nbytes + self.absmax.nbytes

    @property
    def rows_independent(self) -> bool:
        """Only without outliers, since one row's are taken out of all, or under `batch_invariant`."""
        return self.threshold == 0 or is_batch_invariant()

    def expand(self, dtype: Any = np.float32) -> np.ndarray:
        """The numbers, (inputs, outputs)."""
        return int8.dequantize_rows(self.codes, self.absmax.astype(dtype, copy=False)).T

    def matmul(self, x: np.ndarray) -> np.ndarray:
        """x (N, inputs) -> (N, outputs): `int8.matmul`; under `batch_invariant` every row with its own outliers."""
        if not (is_batch_invariant() and self.threshold):
            return int8.matmul(x, self.codes, self.absmax, threshold=self.threshold)
        large = (np.abs(x) >= self.threshold) & np.isfinite(x)
        y = int8.matmul(np.where(large, x.dtype.type(0), x), self.codes, self.absmax, threshold=0)
        if len(columns := np.flatnonzero(large.any(axis=0))):  # what is no outlier of a row's own adds zeros to it
            numbers = int8.dequantize_rows(self.codes[:, columns], self.absmax.astype(x.dtype, copy=False))
            y += product(np.where(large, x, x.dtype.type(0))[:, columns], numbers.T)
        return y

    def transposed_matmul(self, y: np.ndarray) -> np.ndarray:
        """y (N, outputs) times the transposed matrix of numbers -> (N, inputs)."""
        x = np.zeros((len(y), self.shape[0]), y.dtype)
        scaled = y * (self.absmax.astype(y.dtype, copy=False) / y.dtype.type(int8.LARGEST))
        step = max(1, _PANEL // self.shape[0])
        for first in range(0, self.outputs, step):
            x += scaled[:, first : first + step] @ self.codes[first : first + step].astype(y.dtype)
        return x


class Int8Linear(PackedLinear):
    """x (..., in) -> (..., out) with a matrix in int8, in place of a `Linear`. Its only parameter is a bias.

    >>> layer = Linear(64, 32, rng=np.random.default_rng(0))
    >>> small = Int8Linear.of(layer)
    >>> x = Tensor(np.ones((2, 64), np.float32))
    >>> layer.nbytes, small.nbytes, bool(np.abs(small(x).data - layer(x).data).max() < 0.003)
    (8320, 2304, True)
    """

    weight: Int8Weight  # type: ignore[assignment]

    def __init__(self, weight: Int8Weight, bias: Tensor | None = None) -> None:
        super().__init__(weight, bias)  # type: ignore[arg-type]

    @classmethod
    def of(cls, layer: Linear | PackedLinear, *, threshold: float = 6.0) -> Int8Linear:
        """The same layer with its matrix quantised. Raises ValueError for weights that are not finite."""
        matrix = layer.weight.data if isinstance(layer.weight, Tensor) else layer.weight.expand()
        return cls(Int8Weight.of(matrix.T, threshold=threshold), layer.bias)


def to_int8(model: Module, picked: Predicate | None = None, *, threshold: float = 6.0) -> list[str]:
    """Replace linear layers, packed ones too, by `Int8Linear`; the paths of those replaced. Picked as by `to_nf4`."""
    return replace_linears(model, picked, lambda layer: Int8Linear.of(layer, threshold=threshold))
