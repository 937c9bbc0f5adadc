"""How a family's published names and layouts say what an adapter is about: which matrix, and which part of a fused one.

peft's names are those of the modules that hold the published tensors. Where a module fuses several of our matrices
(query, key and value), the outputs of its low-rank pair are split as those of the matrix are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checkpoints import own_layout
from ..families import find_family
from ..families.published.layouts import AS_IS, TRANSPOSED, Layout
from ..families.published.weights import WeightTable
from ..layers import Embedding
from .places import is_linear


@dataclass(frozen=True)
class Place:
    """A published module `theirs` that holds our modules `ours`, with `outputs` columns each and `inputs` rows all."""

    theirs: str
    ours: tuple[str, ...]
    layout: Layout
    inputs: int
    outputs: tuple[int, ...]
    kind: str  # "linear", "embedding" or "other"

    @property
    def outputs_first(self) -> bool:
        """Whether the matrix is stored (out, in); GPT-2's are (in, out)."""
        return self.layout.stored_shape([(0, size) for size in self.outputs])[0] != 0

    def split(self, stored: np.ndarray) -> list[np.ndarray]:
        """Their (outputs of all, n), or (outputs of all,), as ours: (n, outputs) each, or (outputs,)."""
        ours = [np.empty((*stored.shape[1:], size), stored.dtype) for size in self.outputs]
        self._pair(stored, ours, reading=True)
        return ours

    def join(self, ours: Sequence[np.ndarray]) -> np.ndarray:
        """The other way round."""
        stored = np.empty((sum(self.outputs), *ours[0].shape[:-1]), ours[0].dtype)
        self._pair(stored, [np.ascontiguousarray(part) for part in ours], reading=False)
        return stored

    def _pair(self, stored: np.ndarray, ours: Sequence[np.ndarray], *, reading: bool) -> None:
        turned = stored if self.outputs_first or stored.ndim == 1 else stored.T
        for theirs, mine in self.layout.pairs(turned, ours):
            if reading:
                mine[...] = theirs
            else:
                theirs[...] = mine


def table_of_model(model: Any) -> WeightTable:
    """The weight table of a model's family; of a model without a family, our own names."""
    config = getattr(model, "config", {})
    if "model_type" in config:
        return find_family(config["model_type"]).weights(config)
    return own_layout.table_of(name for name, _ in own_layout.placeholder(model.spec).named_parameters())


def published_places(model: Any) -> dict[str, Place]:
    """Every published module that holds a weight of ours, by its name."""
    bare = own_layout.placeholder(model.spec)
    modules, shapes = dict(bare.named_modules()), {name: p.shape for name, p in bare.named_parameters()}
    table = table_of_model(model)
    found: dict[str, Place] = {}
    for binding in table.bind(shapes):
        theirs, _, last = binding.theirs.rpartition(".")
        if last != "weight" or any(not name.endswith(".weight") for name in binding.ours):
            continue
        ours = tuple(name.removesuffix(".weight") for name in binding.ours)
        kinds = {_kind(modules[path]) for path in ours}
        own = [shapes[name] for name in binding.ours]
        inputs, outputs = own[0][0], tuple(shape[-1] for shape in own)
        found[theirs] = Place(theirs, ours, binding.layout, inputs, outputs, kinds.pop())
    if model.spec.tied and table.tied is not None:
        name = table.tied[0].removesuffix(".weight")
        rows, width = shapes["embedding.weight"]
        found[name] = Place(name, ("head",), TRANSPOSED, width, (rows,), "linear")
    elif model.spec.tied and "head" not in found:
        width = shapes["embedding.weight"][1]
        found["head"] = Place("head", ("head",), AS_IS, width, (model.spec.vocab_size,), "linear")
    return found


def _kind(module: Any) -> str:
    return "linear" if is_linear(module) else "embedding" if isinstance(module, Embedding) else "other"
