"""What families that differ from LLaMA in their attention only share: rotary scaling read, attentions replaced."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..layers import DynamicNTK, LayerSpec, Rotary
from ..models.spec import ModelSpec
from .published.config import Config


def rotary_from_config(config: Config, dims: int, base_key: str = "rope_theta") -> Rotary:
    """Rotary positions over `dims` coordinates, with the kinds of rope_scaling that are read here.

    linear; dynamic (the base rises with the length); llama3 (slow pairs are slowed further); longrope, if it is one
    list of divisors for all lengths, which is what GGUF files hold.
    """
    scaling = config.get("rope_scaling") or {}
    kind = (scaling.get("rope_type") or scaling.get("type")) if isinstance(scaling, Mapping) else None
    if kind in ("llama3", "longrope"):
        inner = Config(scaling, f"{config.family} config: rope_scaling {kind} of the")
        base = config.number(base_key, above=0.0)
        factors = _slower_pairs(inner, base, dims) if kind == "llama3" else _listed_factors(inner, dims)
        inner.only("type", None, kind)
        inner.only("rope_type", None, kind)
        inner.only("rope_theta", None, base)
        inner.finish()
        return Rotary(dims, base, factors=factors)
    base, factor = config.rotary(base_key, ("linear", "dynamic", "default", "llama3", "longrope"))
    if "dynamic" not in (scaling.get("type"), scaling.get("rope_type")):
        return Rotary(dims, base, factor=factor)
    if dims < 4:
        raise config.error(f"dynamic rope_scaling needs heads of 4 or more rotary coordinates, not {dims}")
    return Rotary(dims, base, stretch=DynamicNTK(factor, config.size("max_position_embeddings")))


def _slower_pairs(scaling: Config, base: float, dims: int) -> tuple[float, ...]:
    """LLaMA 3.1's divisors: 1 for pairs that turn often within the trained length, `factor` for those that hardly do.

    Between low_freq_factor and high_freq_factor turns the frequency, not the divisor, is interpolated. Source: the
    released code of LLaMA 3.1.
    """
    factor = scaling.number("factor", least=1.0)
    low = scaling.number("low_freq_factor", above=0.0)
    high = scaling.number("high_freq_factor", above=low)
    turns = scaling.size("original_max_position_embeddings") * Rotary(dims, base).inverse_frequency() / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return tuple((1.0 / ((1.0 - kept) / factor + kept)).tolist())


def _listed_factors(scaling: Config, dims: int) -> tuple[float, ...]:
    short, long = scaling.get("short_factor"), scaling.get("long_factor")
    scaling.ignore("factor", "original_max_position_embeddings")  # say when the long ones count, and the temperature
    if scaling.get("attention_factor") != 1 or short != long:
        raise scaling.error("supported with attention_factor 1 and a long_factor equal to the short_factor only")
    plain = isinstance(long, (list, tuple)) and all(isinstance(f, (int, float)) and type(f) is not bool for f in long)
    if not plain or len(long) != dims // 2 or not all(0 < f < math.inf for f in long):
        raise scaling.error(f"long_factor must be {dims // 2} positive numbers, not {long!r:.60}")
    return tuple(map(float, long))


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
