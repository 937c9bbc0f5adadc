"""One layer quantised: its matrices by one of five methods, from what calibration text makes them read.

Matrices that read the same input share its Hessian, and GPTQ takes them as one, whose rows do not see each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..layers import Block, Module
from ..quantization import GridLinear, Int8Linear, NF4Linear
from ..quantization.grid import Grid
from .awq import awq_clip, awq_scale, clip
from .calibration import Flow, watching
from .curvature import RunningHessian, output_error
from .folding import Place, fold, places
from .rounding import round_to_nearest
from .second_order import gptq

METHODS = ("gptq", "awq", "nf4", "int8", "rtn")
NEEDS_TEXT = ("gptq", "awq")
_SEARCHED = 1024  # tokens on which AWQ tries a scale


@dataclass(frozen=True)
class Quantized:
    """What became of one matrix.

    bits: those held for a weight, scales included. error: the mean square of the change in the matrix' output over that
    of the output itself, on calibration text; without any, the same of the weights. tokens: how many it read; None
    without text.
    """

    path: str
    bits: float
    error: float
    inputs: int
    tokens: int | None = None

    @property
    def few(self) -> bool:
        """Whether it read fewer tokens than it has inputs: then its Hessian says nothing about some directions."""
        return self.tokens is not None and self.tokens < self.inputs


@dataclass(frozen=True)
class Way:
    """How matrices are quantised: the method, and the settings of a grid."""

    method: str
    bits: int
    group_size: int | None
    symmetric: bool = False
    act_order: bool = False
    damping: float = 0.01

    def grid(self, inputs: int) -> dict[str, Any]:
        """What rounding, GPTQ and AWQ have in common. A row that is shorter than a group is a group."""
        group = None if self.group_size is None or inputs < self.group_size else self.group_size
        return {"bits": self.bits, "group_size": group, "symmetric": self.symmetric}


def quantized_layer(block: Any, way: Way, paths: list[str], flow: Flow | None) -> dict[str, tuple[Module, Quantized]]:
    """What is to stand at `paths`, linear layers of a block, with what became of each; the block itself is not changed,
    but for scales that AWQ folds. A matrix that no token reached is left out where a method needs its inputs.

    Raises ValueError naming the matrix where it, or what it reads, cannot be used.
    """
    modules: dict[str, Any] = dict(block.named_modules())
    chosen = {path: modules[path] for path in paths}
    clipped = _fold_scales(block, way, chosen, flow) if way.method == "awq" and flow else set()
    hessians = _Hessians(chosen, block, flow) if flow else None
    found: dict[str, tuple[Module, Quantized]] = {}
    for members in hessians.groups() if hessians else [[path] for path in paths]:
        count = hessians.count(members[0]) if hessians else None
        if not count and way.method in NEEDS_TEXT:
            continue
        try:
            curvature = hessians.hessian(members[0]) if hessians and count else None
            made = _made({path: chosen[path] for path in members}, way, curvature, clipped)
            for path, new in made.items():
                before, after = _matrix(chosen[path]), new.weight.expand().T
                lost = _change(before, after) if curvature is None else output_error(before, after, curvature)
                bits = 8 * new.weight.nbytes / before.size
                found[path] = new, Quantized(path, bits, lost, before.shape[1], count)
        except ValueError as error:
            raise ValueError(f"{' and '.join(members)}: {error}") from None
    return found


def _matrix(layer: Any) -> np.ndarray:
    """(outputs, inputs)."""
    return np.ascontiguousarray(layer.weight.data.T)


def _change(before: np.ndarray, after: np.ndarray) -> float:
    whole = float(np.square(before, dtype=np.float64).sum())
    lost = float(np.square(after - before, dtype=np.float64).sum())
    return lost / whole if whole else float(lost > 0)


def _made(layers: Mapping[str, Any], way: Way, curvature: Any, clipped: set[str]) -> dict[str, Any]:
    """The quantised layers for some that read the same input."""
    if way.method == "nf4":
        return {path: NF4Linear.of(layer, block_size=way.group_size or 64) for path, layer in layers.items()}
    if way.method == "int8":
        return {path: Int8Linear.of(layer) for path, layer in layers.items()}
    weights = {path: _matrix(layer) for path, layer in layers.items()}
    grid = way.grid(next(iter(weights.values())).shape[1])
    if way.method == "gptq":
        order: dict[str, Any] = {"act_order": way.act_order, "damping": way.damping}
        grids = _apart(gptq(np.concatenate(list(weights.values())), curvature, **grid, **order), weights)
    else:
        cut = {
            path: clip(weight, awq_clip(weight, curvature, **grid)) if path in clipped else weight
            for path, weight in weights.items()
        }
        grids = {path: round_to_nearest(weight, **grid) for path, weight in cut.items()}
    return {path: GridLinear.of(layer, grids[path]) for path, layer in layers.items()}


def _apart(grid: Grid, weights: Mapping[str, np.ndarray]) -> dict[str, Grid]:
    """The grids of matrices that were quantised one below the other."""
    borders = np.cumsum([len(weight) for weight in weights.values()])[:-1]
    codes, scale, zero = (np.split(part, borders) for part in (grid.codes, grid.scale, grid.zero))
    return {path: Grid(codes[i], scale[i], zero[i], grid.group_of_input, grid.bits) for i, path in enumerate(weights)}


class _Hessians:
    """The Hessian of each linear layer's input; of layers that are given the same array, once."""

    def __init__(self, layers: Mapping[str, Any], block: Any, flow: Flow) -> None:
        self._layers = layers
        self._sums: dict[str, RunningHessian] = {}
        self._shares: dict[str, str] = {}  # with which layer, the first that read it, an input is shared
        self._arrays: list[tuple[np.ndarray, str]] = []  # of the piece on its way, held so that none is another's
        with watching(layers, self._see), no_grad():
            for x, context in flow.pieces():
                block(x, None, context)
                self._arrays.clear()

    def _see(self, path: str, x: Tensor) -> None:
        first = next((reader for array, reader in self._arrays if array is x.data), None)
        if first is not None and self._shares.setdefault(path, first) == first:
            return
        try:
            self._sums.setdefault(path, RunningHessian(x.shape[-1])).add(x.data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self._shares[path] = path
        self._arrays.append((x.data, path))

    def groups(self) -> list[list[str]]:
        """Layers that share an input, together."""
        found: dict[str, list[str]] = {}
        for path in self._layers:
            found.setdefault(self._shares.get(path, path), []).append(path)
        return list(found.values())

    def count(self, path: str) -> int:
        """How many tokens a layer read."""
        running = self._sums.get(self._shares.get(path, path))
        return running.count if running else 0

    def hessian(self, path: str) -> np.ndarray:
        """The Hessian of a layer's input. ValueError where it is not finite."""
        return self._sums[self._shares[path]].hessian()


def _fold_scales(block: Any, way: Way, chosen: Mapping[str, Any], flow: Flow) -> set[str]:
    """AWQ's first part: search the scale of every place of a block, and fold it. The paths whose range is searched."""
    clipped = set(chosen)
    for place in places(block) if isinstance(block, Block) else []:
        clipped -= set(place.readers) - set(place.clipped)
        readers = [path for path in place.readers if path in chosen]
        x, context = next(flow.pieces())
        x = x[: max(1, _SEARCHED // x.shape[1])]
        seen = _inputs(block, place, x, context) if readers else None
        if seen is None:
            continue
        inputs, call = seen
        layers = [chosen[path] for path in readers]
        try:
            tried = functools.partial(_tried, layers, call)
            scale = awq_scale([*map(_matrix, layers)], inputs, tried, **way.grid(inputs.shape[1]))
        except ValueError as error:
            raise ValueError(f"{' and '.join(readers)}: {error}") from None
        fold(block, place, scale.scale)
    return clipped


def _inputs(block: Any, place: Place, x: Tensor, context: Any) -> tuple[np.ndarray, Callable[[], np.ndarray]] | None:
    """What the readers of a place read, and a call of the inspected module as it was made; None where it was not."""
    modules: dict[str, Any] = dict(block.named_modules())
    inspected = modules[place.inspected]
    caught: dict[str, tuple] = {}
    with watching({"reader": modules[place.readers[0]]}, lambda _, *args: caught.setdefault("reader", args)):
        with watching({"inspected": inspected}, lambda _, *args: caught.setdefault("inspected", args)), no_grad():
            block(x, None, context)
    if "reader" not in caught:
        return None
    inputs = caught["reader"][0].data
    arguments = caught["inspected"]
    return inputs.reshape(-1, inputs.shape[-1]), lambda: inspected(*arguments).data


def _tried(layers: list[Any], call: Callable[[], np.ndarray], matrices: list[np.ndarray]) -> np.ndarray:
    """The output of a call with other matrices in some linear layers."""
    kept = [layer.weight.data for layer in layers]
    try:
        for layer, matrix in zip(layers, matrices):
            layer.weight.data = np.ascontiguousarray(matrix.T)
        with no_grad():
            return call()
    finally:
        for layer, array in zip(layers, kept):
            layer.weight.data = array
