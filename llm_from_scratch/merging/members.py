"""A model that takes part in a merge: what its directory says it is, and its tensors, opened and not yet read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoints.lineage import Lineage, from_metadata
from ..checkpoints.pretrained import without_weights
from ..files.sharded import open_checkpoint
from .stacking import layer_of

# What says how fresh weights are drawn or trained, and nothing of what a model computes.
_BEFORE_TRAINING = {
    "init", "output_init", "value_init", "router_init", "embedding_init", "head_init", "step", "step_weight_bound",
    "step_weight_constant", "output_scale", "longest", "frequency", "shift", "balance", "apart", "dropout",
    "embedding_dropout", "embedding_gradient_scale", "context_length",
}  # fmt: skip
_LAST = ("norm.", "head")  # how our names of what stands behind the layers begin
BEFORE, AFTER = "before the layers", "behind the layers"


class Member:
    """A checkpoint directory: spec, config, lineage, and which of its tensors belongs where.

    groups: {layer number, or BEFORE, or AFTER: {name with "{}" for the layer number: stored name}}, in the order of
    its weight table. Raises what `from_pretrained` would: FileNotFoundError, or ValueError when weights do not fit
    the config.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix.lower() == ".gguf":
            raise ValueError(f"{path} is a GGUF file: open it with from_pretrained, save_pretrained it, and merge that")
        model, table, quantized = without_weights(path)
        if quantized:
            raise ValueError(
                f"{path} is quantised, and codes cannot be averaged: read it with from_pretrained(…, dequantize=True), "
                "save that, and merge it; or merge first and quantise what comes out"
            )
        self.spec, self.config, self.generation_config = model.spec, model.config, model.generation_config
        store = open_checkpoint(path, allow_absent=True)
        self.lineage = Lineage(from_metadata(store.metadata), path.resolve().name or None)
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        try:
            bindings, self.store, names = table.match(shapes, store)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.groups: dict[int | str, dict[str, str]] = {BEFORE: {}, AFTER: {}}
        for binding in bindings:
            ours, theirs = binding.ours[0], binding.theirs
            place = layer_of(ours)
            if place is not None:
                self.groups.setdefault(place[1], {})[numbered(theirs, place[1], "{}")] = names[theirs]
            else:
                group = AFTER if ours.startswith(_LAST) else BEFORE
                self.groups[group][theirs] = names[theirs]

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return len(self.spec.layers)

    def shape(self, stored: str) -> tuple[int, ...]:
        """Of a stored tensor."""
        return tuple(self.store.entry(stored).shape)

    def dtype(self, stored: str) -> np.dtype:
        """The number format of a stored tensor."""
        return np.dtype(self.store.entry(stored).dtype)


def numbered(name: str, layer: int, number: int | str) -> str:
    """A stored name with another layer number. ValueError if its first number is not the layer's.

    >>> numbered("model.layers.3.mlp.experts.1.w1.weight", 3, 7)
    'model.layers.7.mlp.experts.1.w1.weight'
    """
    found = layer_of(name)
    if found is None or found[1] != layer:
        raise ValueError(f"the tensor {name} does not say that it is of layer {layer}")
    return f"{found[0]}{number}{found[2]}"


def differing(a: Any, b: Any, where: str = "") -> str | None:
    """The first field in which two specs compute differently, with both values; None where they agree.

    >>> from llm_from_scratch.layers import NormSpec
    >>> differing((NormSpec(8, eps=1e-5),), (NormSpec(8, eps=1e-6),), "layers")
    'layers[0].eps is 1e-05 and 1e-06'
    """
    if a is b:
        return None
    if type(a) is type(b) and dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a) if field.name not in _BEFORE_TRAINING]
        pairs = [(f"{where}.{name}".strip("."), getattr(a, name), getattr(b, name)) for name in names]
    elif isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        pairs = [(f"{where}[{k}]", x, y) for k, (x, y) in enumerate(zip(a, b))]
    elif isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        pairs = [(f"{where}.{key}", a[key], b[key]) for key in a]
    else:
        return None if a == b else f"{where} is {_short(a)} and {_short(b)}"
    return next((found for found in (differing(x, y, name) for name, x, y in pairs) if found), None)


def _short(value: Any) -> str:
    text = type(value).__name__ if dataclasses.is_dataclass(value) else repr(value)
    return f"{len(value)} long" if isinstance(value, tuple) else text[:60]
