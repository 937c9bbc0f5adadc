"""A weight matrix that stays packed in memory, and the linear layer and the embedding that use it.

One token multiplies with the codes as they lie (`kernels.packed`); a prompt of many tokens makes numbers of some at a
time, multiplies and forgets them. Packed weights are constants: gradients flow through them to the input, none arrive
at them. What this module does not do: files (`checkpoints/gguf.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor, primitive
from ..kernels import packed as kernels
from ..kernels.packed import TILE
from ..kernels.row_products import is_batch_invariant
from ..kernels.token_matrices import Matrix
from ..layers import Linear, Module, StoredWeight
from ..layers.module import Predicate
from ..layers.one_token import Sketch
from .blocks import Codes, decode

# Rows from which making numbers of the codes pays: before, each multiplies with the codes as they lie.
_MANY_ROWS = 12
_PANEL = 2**19  # numbers expanded at a time: 2 MB, which a cache still holds when they are multiplied


@dataclass(frozen=True, eq=False)
class PackedWeight(StoredWeight):
    """A matrix (inputs, outputs) in tiles of 64 outputs; see `kernels.packed` for how the parts lie.

    >>> rows = np.arange(128, dtype=np.float32).reshape(2, 64) / 128      # (outputs, inputs), as files store it
    >>> from .blocks import quantize
    >>> weight = PackedWeight.from_blocks(quantize(rows, "Q8_0"), "Q8_0")
    >>> weight.shape, weight.nbytes, bool(np.abs(weight.expand() - rows.T).max() < 0.004)
    ((64, 2), 4608, True)
    """

    codes: np.ndarray
    scale: np.ndarray
    minimum: np.ndarray
    outputs: int

    kind = "packed"

    def __post_init__(self) -> None:
        tiles = -(-self.outputs // TILE)
        kernels.check_packed(self.codes, self.scale, self.minimum)
        if len(self.codes) != tiles or self.scale.dtype != np.float32 or self.minimum.dtype != np.float32:
            raise ValueError(
                f"{self.outputs} outputs are {tiles} tiles with scales in float32, "
                f"got {len(self.codes)} with {self.scale.dtype}"
            )

    @classmethod
    def from_blocks(cls, data: np.ndarray, kind: str) -> PackedWeight:
        """Repack rows of blocks, one a output: bytes (outputs, b) uint8. Raises ValueError for plain numbers."""
        if data.ndim != 2:
            raise ValueError(f"a matrix has rows of blocks, (outputs, bytes), not {data.shape}")
        return cls.from_codes(decode(data, kind))

    @classmethod
    def from_codes(cls, parts: Codes) -> PackedWeight:
        """From codes (outputs, inputs) with their scales. Codes of four bits stay in four bits."""
        outputs, inputs = parts.codes.shape
        if not outputs or inputs % 8 or parts.group % 8:
            raise ValueError(f"codes {parts.codes.shape} in groups of {parts.group} cannot be packed: 8 divides groups")
        lowest, highest = int(parts.codes.min()), int(parts.codes.max())
        scale, minimum, codes = _tiled(parts.scale), _tiled(parts.minimum), _tiled(parts.codes)
        shift = 8 if parts.minimum is None else 0  # four-bit codes without a minimum count from -8
        four_bits = 0 <= lowest + shift and highest + shift <= 15
        if four_bits:
            codes += np.int8(shift)
        return cls(kernels.pack_codes(codes, four_bits), scale, minimum, outputs)

    @classmethod
    def of_parts(cls, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]) -> PackedWeight:
        """The weight again. Files of earlier versions have the codes of one input after the other, not of pairs."""
        parts = dict(arrays)
        codes = parts.get("codes")
        older = {np.dtype(np.uint8): TILE // 2, np.dtype(np.int8): TILE}
        if isinstance(codes, np.ndarray) and codes.ndim == 3 and codes.shape[2] == older.get(codes.dtype):
            four_bits = codes.dtype == np.uint8
            if four_bits:  # output o in the low half of a byte, o + 32 in the high; no minimum was a minimum of zero
                codes = np.concatenate([codes & 0x0F, codes >> 4], axis=2).view(np.int8)
                parts["minimum"] = parts["minimum"] if parts["minimum"].size else np.zeros_like(parts["scale"])
            parts["codes"] = kernels.pack_codes(codes, four_bits)
        return cls(**parts, **fields)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(inputs, outputs)."""
        return 2 * self.codes.shape[1], self.outputs

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes held."""
        return self.codes.nbytes + self.scale.nbytes + self.minimum.nbytes

    def layer(self, bias: Tensor | None) -> PackedLinear:
        """The linear layer with this matrix."""
        return PackedLinear(self, bias)

    def for_one_token(self, bias: np.ndarray | None) -> Matrix:
        """What a step of one token reads."""
        return Matrix(*self.shape, codes=self.codes, scale=self.scale, minimum=self.minimum, bias=bias)

    def _some(self, first: int, last: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        floats = (part[first:last].astype(dtype, copy=False) for part in (self.scale, self.minimum))
        return self.codes[first:last], *floats  # type: ignore[return-value]

    def expand(self, dtype: Any = np.float32) -> np.ndarray:
        """The numbers, (inputs, outputs)."""
        return kernels.packed_expand(*self._some(0, len(self.codes), np.dtype(dtype)))[:, : self.outputs]

    def matmul(self, x: np.ndarray) -> np.ndarray:
        """x (N, inputs) -> (N, outputs)."""
        few = len(x) < _MANY_ROWS and not is_batch_invariant()
        multiply = kernels.packed_matmul if few else kernels.packed_product
        return multiply(x, *self._some(0, len(self.codes), x.dtype))[:, : self.outputs]

    def transposed_matmul(self, y: np.ndarray) -> np.ndarray:
        """y (N, outputs) times the transposed matrix -> (N, inputs): the gradient for the input of a product."""
        x = np.zeros((len(y), self.shape[0]), y.dtype)
        for first, last, panel in self._panels(y.dtype):
            some = y[:, first * TILE : last * TILE]
            x += some @ panel[:, : some.shape[1]].T
        return x

    def _panels(self, dtype: np.dtype) -> Iterator[tuple[int, int, np.ndarray]]:
        """Some tiles after the others: the first, the one behind the last, and their numbers until the next come."""
        tiles, inputs = len(self.codes), self.shape[0]
        step = min(tiles, max(1, _PANEL // (TILE * inputs)))
        room = np.empty(step * TILE * inputs, dtype)  # one for all: fresh memory costs as much as what is written to it
        for first in range(0, tiles, step):
            last = min(first + step, tiles)
            out = room[: (last - first) * TILE * inputs].reshape(inputs, -1)
            yield first, last, kernels.packed_expand(*self._some(first, last, dtype), out=out)

    def rows(self, outputs: np.ndarray) -> np.ndarray:
        """The weights of some outputs: numbers (n,) in 0 … outputs - 1 -> (n, inputs) float32."""
        tile, place = np.divmod(np.asarray(outputs), TILE)
        if self.codes.dtype == np.uint8:
            pairs = self.codes.view("<u2")[tile[:, None], :, 2 * (place % 16)[:, None] + [0, 1]]  # (n, 2, inputs / 2)
            codes = ((pairs >> (4 * (place // 16)).astype(np.uint16)[:, None, None]) & 15).astype(np.int8)
            codes -= np.int8(0 if self.minimum.size else 8)
        else:
            codes = self.codes[tile[:, None], :, 2 * place[:, None] + [0, 1]]
        codes = codes.swapaxes(1, 2).reshape(len(tile), -1)
        empty = None if self.minimum.size == 0 else self.minimum[tile, :, place]
        return Codes(codes, self.scale[tile, :, place], empty).values()


def _tiled(part: np.ndarray | None) -> np.ndarray:
    """(outputs, n) -> (tiles, n, 64), the last tile filled up with zeros."""
    if part is None:
        return np.zeros((0, 0, 0), np.float32)
    outputs, width = part.shape
    tiles = -(-outputs // TILE)
    if tiles * TILE != outputs:
        part = np.concatenate([part, np.zeros((tiles * TILE - outputs, width), part.dtype)])
    return np.ascontiguousarray(part.reshape(tiles, TILE, width).swapaxes(1, 2))


@primitive
def packed_linear(x, bias=None, /, *, weight):
    """y = x W + b with W a `PackedWeight`: x (..., inputs), bias (outputs,) or None -> (..., outputs).

    >>> weight = PackedWeight.from_codes(Codes(np.full((1, 8), 3, np.int8), np.ones((1, 1), np.float32), None))
    >>> packed_linear(np.ones((2, 8), np.float32), weight=weight)
    Tensor([[24.],
            [24.]])
    """
    if x.ndim == 0 or x.shape[-1] != weight.shape[0]:
        raise ValueError(f"packed_linear: an input {x.shape} does not fit a weight of (in, out) = {weight.shape}")
    if bias is not None and bias.shape != (weight.outputs,):
        raise ValueError(f"packed_linear: the bias has shape {bias.shape}, expected ({weight.outputs},)")
    y = weight.matmul(np.ascontiguousarray(x.reshape(-1, x.shape[-1])))
    if bias is not None:
        y = y + bias
    return y.reshape(*x.shape[:-1], weight.outputs), (x.shape, weight)


@packed_linear.backward
def _(dy, saved, needs):
    shape, weight = saved
    dy2 = np.ascontiguousarray(dy.reshape(-1, dy.shape[-1]))
    dx = weight.transposed_matmul(dy2).reshape(shape) if needs[0] else None
    return dx, dy2.sum(axis=0) if needs[1] else None


@packed_linear.example
def _(rng):
    codes = Codes(rng.integers(-128, 128, (5, 16)).astype(np.int8), rng.normal(size=(5, 2)).astype(np.float32), None)
    return (rng.normal(size=(2, 3, 16)), rng.normal(size=5)), {"weight": PackedWeight.from_codes(codes)}


@packed_linear.example
def _(rng):
    scale, minimum = rng.normal(size=(2, 70, 1)).astype(np.float32)
    codes = Codes(rng.integers(0, 16, (70, 8)).astype(np.int8), scale, minimum)
    return (rng.normal(size=(9, 8)),), {"weight": PackedWeight.from_codes(codes)}


class PackedLinear(Module):
    """A linear layer whose matrix never changes: x (..., in) -> (..., out). Its only parameter is a bias."""

    def __init__(self, weight: PackedWeight, bias: Tensor | None = None) -> None:
        self.weight = weight
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        return packed_linear(x, self.bias, weight=self.weight)

    def matrix(self, sketch: Sketch) -> Matrix:
        """As it is, for one token."""
        return self.weight.for_one_token(sketch.array(self.bias))

    def one_token(self, sketch: Sketch, x: np.ndarray) -> np.ndarray:
        """One product."""
        sketch.add(product := sketch.product(x, self))
        return product.out


def replace_linears(model: Module, picked: Predicate | None, make: Callable[[Any], Module]) -> list[str]:
    """Replace linear layers, packed ones too, by what `make` makes of each; the paths of those replaced.

    picked: as in `Module.replace`; by default every linear layer but heads and routers (an expert is chosen by small
    differences). Embeddings, norms and biases are not touched. Only float32 models: what is packed computes in float32.
    """
    if model.dtype != np.float32:
        raise TypeError(f"packed layers compute in float32, the model is {model.dtype}: model.astype(np.float32) first")

    def by_default(path: str, module: Any) -> bool:
        return type(module) in (Linear, PackedLinear) and not path.endswith(".router")

    def checked(module: Any) -> Module:
        if not isinstance(module, (Linear, PackedLinear)):
            raise TypeError(f"only linear layers have a matrix to quantise, not {type(module).__name__}")
        return make(module)

    paths = model.replace(by_default if picked is None else picked, checked)
    if not paths:
        raise ValueError(f"no linear layer was found by {'default' if picked is None else repr(picked)}")
    return paths


@dataclass(frozen=True, eq=False)
class PackedRows(StoredWeight):
    """A packed matrix (inputs, outputs) as a table with one row an output."""

    columns: PackedWeight

    kind = "packed rows"

    def arrays(self) -> dict[str, np.ndarray]:
        """Those of the matrix."""
        return self.columns.arrays()

    def fields(self) -> dict[str, Any]:
        """Those of the matrix."""
        return self.columns.fields()

    @classmethod
    def of_parts(cls, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Any]) -> PackedRows:
        """A table of the same parts."""
        return cls(PackedWeight.of_parts(arrays, fields))

    def layer(self, bias: Tensor | None = None) -> PackedEmbedding:
        """The embedding with this table; it has no bias."""
        return PackedEmbedding(self.columns)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(outputs, inputs)."""
        return self.columns.shape[::-1]

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes held."""
        return self.columns.nbytes

    def expand(self, dtype: Any = np.float32) -> np.ndarray:
        """The numbers, (outputs, inputs)."""
        return self.columns.expand(dtype).T


class PackedEmbedding(Module):
    """One packed row a token: ids (...) -> (..., dim), float32."""

    def __init__(self, weight: PackedWeight) -> None:
        self.weight = PackedRows(weight)

    def __call__(self, ids: np.ndarray) -> Tensor:
        return Tensor(self.weight.columns.rows(ids.reshape(-1)).reshape(*ids.shape, -1))

    def scores(self, x: Tensor) -> Tensor:
        """Every row's product with x, as a tied head wants them: (..., dim) -> (..., rows)."""
        return packed_linear(x, weight=self.weight.columns)

    def score_matrix(self, sketch: Sketch, bias: Tensor | None) -> Matrix:
        """What `scores` multiplies with, for one token."""
        return self.weight.columns.for_one_token(sketch.array(bias))
