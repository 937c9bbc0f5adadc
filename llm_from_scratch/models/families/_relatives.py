"""What families that differ from LLaMA in their attention only share: rotary scaling read, attentions replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ...layers import DynamicNTK, LayerSpec, Rotary
from ..config import Config
from ..spec import ModelSpec


def rotary_from_config(config: Config, dims: int, base_key: str = "rope_theta") -> Rotary:
    """Rotary positions over `dims` coordinates; rope_scaling linear, or dynamic (the base rises with the length)."""
    base, factor = config.rotary(base_key, ("linear", "dynamic", "default"))
    scaling = config.get("rope_scaling") or {}
    if "dynamic" not in (scaling.get("type"), scaling.get("rope_type")):
        return Rotary(dims, base, factor=factor)
    if dims < 4:
        raise config.error(f"dynamic rope_scaling needs heads of 4 or more rotary coordinates, not {dims}")
    return Rotary(dims, base, stretch=DynamicNTK(factor, config.size("max_position_embeddings")))


def with_attention(spec: ModelSpec, changes: Sequence[Mapping[str, Any]]) -> ModelSpec:
    """The spec with some fields of each layer's attention replaced, one mapping a layer."""
    made: dict[tuple[int, str], LayerSpec] = {}
    layers = []
    for layer, change in zip(spec.layers, changes, strict=True):
        key = id(layer), repr(sorted(change.items()))
        if key not in made:
            branch = layer.branches[0]
            mixer = dataclasses.replace(branch.functions["mixer"], **change)  # type: ignore[type-var]
            first = dataclasses.replace(branch, functions={**branch.functions, "mixer": mixer})
            made[key] = dataclasses.replace(layer, branches=(first, *layer.branches[1:]))
        layers.append(made[key])
    return spec.replace(layers=tuple(layers))
