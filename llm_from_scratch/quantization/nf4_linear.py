"""A linear layer whose matrix is held in NF4: QLoRA's frozen base.

One token multiplies with the codes as they lie; for many, a product makes numbers of a few hundred rows of the matrix
at a time, uses them and throws them away, backward as forward: memory stays that of the codes, and no gradient arrives
at them. Embeddings, heads, norms, biases and what is no matrix stay as they are, in float32. Saving such a model writes
the codes (`checkpoints.quantized`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels.four_bit import four_bit_decode, four_bit_matmul
from ..kernels.row_products import is_batch_invariant, product
from ..layers import Linear, Module, StoredWeight
from ..layers.module import Predicate
from . import nf4
from .packed import PackedLinear, replace_linears

_PANEL = 2**19  # numbers made at a time: 2 MB in float32


@dataclass(frozen=True, eq=False)
class NF4Weight(StoredWeight):
    """A matrix (inputs, outputs) in NF4; blocks run over it as it is published, (outputs, inputs).

    absmax: (blocks,) float32, or under double quantisation their codes uint8, read with `scales` and `offset`.

    >>> weight = NF4Weight.of(np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32))
    >>> weight.shape, weight.nbytes, round(8 * weight.nbytes / (64 * 256), 3)       # bits a weight
    ((256, 64), 8456, 4.129)
    """

    packed: np.ndarray
    absmax: np.ndarray
    scales: np.ndarray | None
    offset: float
    outputs: int
    inputs: int
    block_size: int

    kind = "nf4"

    def __post_init__(self) -> None:
        size, absmax, scales = self.outputs * self.inputs, self.absmax, self.scales
        blocks = -(-size // self.block_size)
        fits = self.packed.shape == (-(-size // 2),) and absmax.shape == (blocks,) and self.packed.dtype == np.uint8
        if scales is None:
            fits = fits and absmax.dtype == np.float32
        else:
            fits = fits and absmax.dtype == np.uint8 and scales.shape == (-(-blocks // nf4.STATISTICS_BLOCK),)
        if not fits:
            raise ValueError(
                f"a matrix {self.outputs} x {self.inputs} in blocks of {self.block_size} is not codes "
                f"{self.packed.shape} with magnitudes {absmax.dtype} {absmax.shape}"
            )

    @classmethod
    def of(cls, matrix: Any, *, block_size: int = 64, double: bool = True) -> NF4Weight:
        """Quantise a matrix (outputs, inputs); double: its magnitudes in 8 bits as well. Raises as `nf4.quantize`."""
        if np.ndim(matrix) != 2 or not np.size(matrix):
            raise ValueError(f"a matrix (outputs, inputs) was expected, not {np.shape(matrix)}")
        packed, absmax = nf4.quantize(matrix, block_size)
        codes, scales, offset = nf4.double_quantize(absmax) if double else (absmax, None, 0.0)
        outputs, inputs = np.shape(matrix)
        return cls(packed, codes, scales, offset, outputs, inputs, block_size)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(inputs, outputs)."""
        return self.inputs, self.outputs

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes held."""
        return self.packed.nbytes + self.absmax.nbytes + (0 if self.scales is None else self.scales.nbytes + 4)

    def layer(self, bias: Tensor | None) -> NF4Linear:
        """The linear layer with this matrix."""
        return NF4Linear(self, bias)

    def _rows(self, first: int, last: int, dtype: np.dtype) -> np.ndarray:
        """The numbers of some outputs, (last - first, inputs)."""
        start, stop, size = first * self.inputs, last * self.inputs, self.block_size
        block = start // size
        block -= block * size % 2  # begin at a whole byte
        absmax = self._magnitudes(slice(block, -(-stop // size)), block)
        packed = self.packed[block * size // 2 : -(-stop // 2)]
        table = nf4.CODES.astype(dtype, copy=False)
        numbers = four_bit_decode(packed, absmax.astype(dtype, copy=False), table, size, stop - block * size)
        return numbers[start - block * size :].reshape(-1, self.inputs)

    def _magnitudes(self, blocks: slice, first: int) -> np.ndarray:
        """The largest magnitudes of some blocks, the first of which has this number."""
        if self.scales is None:
            return self.absmax[blocks]
        return nf4.decode_statistics(self.absmax[blocks], self.scales, self.offset, first)

    def _panels(self) -> range:
        return range(0, self.outputs, max(1, _PANEL // self.inputs))

    def expand(self, dtype: Any = np.float32) -> np.ndarray:
        """The numbers, (inputs, outputs)."""
        return self._rows(0, self.outputs, np.dtype(dtype)).T

    def matmul(self, x: np.ndarray) -> np.ndarray:
        """x (N, inputs) -> (N, outputs)."""
        few = len(x) == 1 and not is_batch_invariant()
        if few and self.block_size % 2 == 0 and self.inputs % self.block_size == 0:
            absmax, table = self._magnitudes(slice(None), 0).astype(x.dtype, copy=False), nf4.CODES.astype(x.dtype)
            return four_bit_matmul(x[0], self.packed, absmax, table, self.block_size)[None]
        y = np.empty((len(x), self.outputs), x.dtype)
        for first in (panels := self._panels()):
            last = min(first + panels.step, self.outputs)
            y[:, first:last] = product(x, self._rows(first, last, x.dtype).T)
        return y

    def transposed_matmul(self, y: np.ndarray) -> np.ndarray:
        """y (N, outputs) times the transposed matrix -> (N, inputs): the gradient for the input of a product."""
        x = np.zeros((len(y), self.inputs), y.dtype)
        for first in (panels := self._panels()):
            last = min(first + panels.step, self.outputs)
            x += y[:, first:last] @ self._rows(first, last, y.dtype)
        return x


class NF4Linear(PackedLinear):
    """x (..., in) -> (..., out) with a matrix in NF4, in place of a `Linear`. Its only parameter is a bias.

    >>> layer = Linear(64, 32, rng=np.random.default_rng(0))
    >>> small = NF4Linear.of(layer)
    >>> x = Tensor(np.ones((2, 64), np.float32))
    >>> layer.nbytes, small.nbytes, bool(np.abs(small(x).data - layer(x).data).max() < 0.1)
    (8320, 1192, True)
    """

    weight: NF4Weight  # type: ignore[assignment]

    def __init__(self, weight: NF4Weight, bias: Tensor | None = None) -> None:
        super().__init__(weight, bias)  # type: ignore[arg-type]

    @classmethod
    def of(cls, layer: Linear | PackedLinear, *, block_size: int = 64, double: bool = True) -> NF4Linear:
        """The same layer with its matrix quantised. Raises ValueError for weights that are not finite."""
        matrix = layer.weight.data if isinstance(layer.weight, Tensor) else layer.weight.expand()
        return cls(NF4Weight.of(matrix.T, block_size=block_size, double=double), layer.bias)


def to_nf4(model: Module, picked: Predicate | None = None, *, block_size: int = 64, double: bool = True) -> list[str]:
    """Replace linear layers, packed ones too, by `NF4Linear`; the paths of those replaced.

    picked: as in `Module.replace`; by default every linear layer but heads and routers (an expert is chosen by small
    differences). Embeddings, norms and biases are not touched. Only float32 models: what is packed computes in float32.
    """
    return replace_linears(model, picked, lambda layer: NF4Linear.of(layer, block_size=block_size, double=double))
