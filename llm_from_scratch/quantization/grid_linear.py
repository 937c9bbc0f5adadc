"""A linear layer whose matrix lies on a grid, its codes packed: what rounding to nearest, GPTQ and AWQ leave behind.

One token multiplies with the codes as they lie (`kernels.grid`), many expand panels of the matrix into numbers, use
them and throw them away. 2, 3, 4 or 8 bits a weight take just these bits; a scale in float32 and a zero point in a byte
come to 40 bits a group: 4.625 bits a weight for four bits in groups of 64. Groups may be of any inputs, as act-order
leaves them: inputs are brought into the order of their groups first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..kernels import grid as kernels
from ..kernels.packed import TILE
from ..kernels.row_products import is_batch_invariant, product
from ..layers import Linear, StoredWeight
from .grid import Grid
from .packed import PackedLinear

# Rows from which expanding a panel pays: each row alone reads all codes anew.
_MANY_ROWS = 8
_PANEL = 2**19  # numbers made at a time: 2 MB in float32
_MOST_ROWS = 8  # of a chunk: its codes, a byte each, are 4 KB then


@dataclass(frozen=True, eq=False)
class GridWeight(StoredWeight):
    """A matrix (inputs, outputs) of packed codes; see `kernels.grid` for how they lie.

    order: (places,) int32, which input stands at each place, -1 where none does (groups are filled up to a multiple of
    8); None where inputs stand in their own order.

    >>> from .grid import round_to_grid
    >>> grid = round_to_grid(np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32), bits=3, group_size=64)
    >>> weight = GridWeight.of(grid)
    >>> weight.shape, 8 * weight.nbytes / (64 * 256), bool((weight.expand() == grid.values().T).all())
    ((256, 64), 3.625, True)
    """

    codes: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    order: np.ndarray | None
    outputs: int
    inputs: int

    kind = "grid"

    def __post_init__(self) -> None:
        kernels.check_codes(self.codes, self.scale, self.zero)
        order, places = self.order, 8 * self.codes.shape[1] * self.codes.shape[3]
        filled = np.arange(places) if order is None else order
        if self.scale.dtype != np.float32 or len(self.codes) != -(-self.outputs // TILE):
            raise ValueError(f"{len(self.codes)} tiles with {self.scale.dtype} scales are not {self.outputs} outputs")
        if order is not None and (order.dtype != np.int32 or order.shape != (places,)):
            raise ValueError(f"the order of {places} places is int32, got {order.dtype} {order.shape}")
        if not np.array_equal(np.sort(filled[filled >= 0]), np.arange(self.inputs)):
            raise ValueError(f"the order does not name each of {self.inputs} inputs once")

    @classmethod
    def of(cls, grid: Grid) -> GridWeight:
        """Pack a grid. ValueError for bits that are not packed (5, 6 and 7)."""
        if grid.bits not in kernels.WIDTHS:
            raise ValueError(f"codes of {', '.join(map(str, kernels.WIDTHS))} bits are packed, not of {grid.bits}")
        (outputs, inputs), groups = grid.shape, grid.scale.shape[1]
        members = [np.flatnonzero(grid.group_of_input == group) for group in range(groups)]
        length = -(-max(map(len, members)) // 8) * 8
        table = np.full((groups, length), -1, np.int32)
        for places, some in zip(table, members):
            places[: len(some)] = some
        order = table.reshape(-1)
        tiles = -(-outputs // TILE)
        codes = np.zeros((tiles * TILE, inputs + 1), np.uint8)  # the last input is that of places without one
        codes[:outputs, :inputs] = grid.codes
        placed = codes[:, order].reshape(tiles, TILE, -1).swapaxes(1, 2)
        rows = max(n for n in range(1, _MOST_ROWS + 1) if length // 8 % n == 0)
        packed = kernels.pack_codes(np.ascontiguousarray(placed), grid.bits, rows)
        scale, zero = _tiled(grid.scale.astype(np.float32)), _tiled(grid.zero.astype(np.uint8))
        straight = np.array_equal(order, np.arange(inputs))
        return cls(packed, scale, zero, None if straight else order, outputs, inputs)

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.codes.shape[2]

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """(inputs, outputs)."""
        return self.inputs, self.outputs

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """Bytes held."""
        return sum(array.nbytes for array in self.arrays().values())

    def layer(self, bias: Tensor | None) -> GridLinear:
        """The linear layer with this matrix."""
        return GridLinear(self, bias)

    def expand(self, dtype: Any = np.float32) -> np.ndarray:
        """The numbers, (inputs, outputs)."""
        numbers = kernels.grid_expand(*self._some(0, len(self.codes), np.dtype(dtype)))
        return self._in_order(numbers.T).T[:, : self.outputs]

    def matmul(self, x: np.ndarray) -> np.ndarray:
        """x (N, inputs) -> (N, outputs)."""
        tiles = len(self.codes)
        if self.order is not None:
            x = np.concatenate([x, np.zeros((len(x), 1), x.dtype)], axis=1)[:, self.order]
        if len(x) < _MANY_ROWS and not is_batch_invariant():
            return kernels.grid_matmul(x, *self._some(0, tiles, x.dtype))[:, : self.outputs]
        y = np.empty((len(x), tiles * TILE), x.dtype)
        for first in (panels := self._panels()):
            last = min(first + panels.step, tiles)
            panel = kernels.grid_expand(*self._some(first, last, x.dtype))
            y[:, first * TILE : last * TILE] = product(x, panel)
        return y[:, : self.outputs]

    def transposed_matmul(self, y: np.ndarray) -> np.ndarray:
        """y (N, outputs) times the transposed matrix -> (N, inputs): the gradient for the input of a product."""
        places = 8 * self.codes.shape[1] * self.codes.shape[3]
        x = np.zeros((len(y), places), y.dtype)
        for first in (panels := self._panels()):
            some = y[:, first * TILE : (first + panels.step) * TILE]
            panel = kernels.grid_expand(*self._some(first, first + panels.step, y.dtype))
            x += some @ panel[:, : some.shape[1]].T
        return self._in_order(x)

    def _some(self, first: int, last: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.codes[first:last], self.scale[first:last].astype(dtype, copy=False), self.zero[first:last]

    def _panels(self) -> range:
        return range(0, len(self.codes), max(1, _PANEL // (TILE * self.inputs)))

    def _in_order(self, x: np.ndarray) -> np.ndarray:
        """(N, places) -> (N, inputs)."""
        if self.order is None:
            return x
        real = self.order >= 0
        y = np.empty((len(x), self.inputs), x.dtype)
        y[:, self.order[real]] = x[:, real]
        return y


def _tiled(part: np.ndarray) -> np.ndarray:
    """(outputs, groups) -> (tiles, groups, 64), the last tile filled up with zeros."""
    outputs, groups = part.shape
    tiles = -(-outputs // TILE)
    whole = np.zeros((tiles * TILE, groups), part.dtype)
    whole[:outputs] = part
    return np.ascontiguousarray(whole.reshape(tiles, TILE, groups).swapaxes(1, 2))


class GridLinear(PackedLinear):
    """x (..., in) -> (..., out) with a matrix on a grid, in place of a `Linear`. Its only parameter is a bias.

    >>> from .grid import round_to_grid
    >>> layer = Linear(64, 128, rng=np.random.default_rng(0))
    >>> small = GridLinear.of(layer, round_to_grid(layer.weight.data.T, bits=4, group_size=32))
    >>> x = Tensor(np.ones((2, 64), np.float32))
    >>> layer.nbytes, small.nbytes, bool(np.abs(small(x).data - layer(x).data).max() < 0.1)
    (33280, 5888, True)
    """

    weight: GridWeight  # type: ignore[assignment]

    def __init__(self, weight: GridWeight, bias: Tensor | None = None) -> None:
        super().__init__(weight, bias)  # type: ignore[arg-type]

    @classmethod
    def of(cls, layer: Linear | PackedLinear, grid: Grid) -> GridLinear:
        """The same layer with a grid (outputs, inputs) for its matrix; ValueError for a grid of another shape."""
        if grid.shape != layer.weight.shape[::-1]:
            raise ValueError(
                f"the grid is {grid.shape}, the layer's matrix (outputs, inputs) {layer.weight.shape[::-1]}"
            )
        return cls(GridWeight.of(grid), layer.bias)
