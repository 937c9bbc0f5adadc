"""From the tensors of one published module to the adapters of our matrices in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .adapted import Adapted, Adapter
from .dora import Decomposed
from .ia3 import Factors
from .low_rank import LowRank, LowRankRows
from .merged import numbers
from .peft_config import by_pattern, is_target
from .published import Place
from .whole import Whole

Tensors = dict[str, np.ndarray]


def low_ranks(
    config: Mapping[str, Any], place: Place, there: list[Any], own: Tensors, split: Any
) -> dict[str, Adapter]:
    """LoRA (DoRA) of one published place, by our paths: A (rank, inputs) and B (outputs, rank), B cut where a
    matrix of theirs is several of ours.
    """
    left = dict(own)
    rows = place.kind == "embedding"
    a, b = ("lora_embedding_A", "lora_embedding_B") if rows else ("lora_A", "lora_B")
    rank = by_pattern(config, "r", "rank_pattern", place.theirs)
    alpha = by_pattern(config, "lora_alpha", "alpha_pattern", place.theirs)
    for what, number in (("r", rank), ("lora_alpha", alpha)):
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < math.inf:
            raise ValueError(
                f"adapter_config.json: {what} of {place.theirs} is {number!r}, a number above 0 was expected"
            )
    A = take(left, a, (rank, place.inputs), place.theirs)
    B = take(left, b, (sum(place.outputs), rank), place.theirs)
    magnitude = None
    if config.get("use_dora"):
        magnitude = take(left, "lora_magnitude_vector", (sum(place.outputs),), place.theirs)
    for word in [word for word in left if word.startswith("base_")]:
        _same_base(place, there, word, left.pop(word))
    nothing_left({f"{place.theirs}.{word}": array for word, array in left.items()})
    stabilized = bool(config.get("use_rslora"))
    scale = alpha / (math.sqrt(rank) if stabilized else rank)
    parts: dict[str, Adapter] = {}
    magnitudes = [None] * len(there) if magnitude is None else place.split(magnitude)
    for k, (path, module, B_part) in enumerate(zip(place.ours, there, place.split(B))):
        kept = _kept(split, k, rank, B_part, alone=len(there) == 1 or not B.any() or magnitude is not None)
        if not kept.size:
            continue
        settings: dict[str, Any] = {
            "rank": len(kept),
            "alpha": scale * (math.sqrt(len(kept)) if stabilized else len(kept)) if len(kept) != rank else alpha,
            "stabilized": stabilized,
            "dropout": float(config.get("lora_dropout") or 0.0),
        }
        sizes = place.inputs, B_part.shape[1]
        part = (
            Decomposed(module, *sizes, rng=None, **settings)
            if magnitude is not None
            else (LowRankRows if rows else LowRank)(*sizes, rng=None, **settings)
        )
        part.A.data, part.B.data = np.ascontiguousarray(A[kept].T), np.ascontiguousarray(B_part[kept])
        if isinstance(part, Decomposed):
            part.magnitude.data = np.ascontiguousarray(magnitudes[k])
        parts[path] = part
    return parts


def _kept(split: Any, part: int, rank: int, B: np.ndarray, *, alone: bool) -> np.ndarray:
    """Which of the ranks of a fused pair belong to one of the fused parts: as its writer said, or those not zero."""
    if split is not None:
        if not isinstance(split, list) or not all(isinstance(r, int) and r >= 0 for r in split) or sum(split) != rank:
            raise ValueError(f"the header says that ranks are shared out as {split!r}, of {rank}")
        if part >= len(split):
            raise ValueError(f"the header shares out ranks among {len(split)} parts; there are more")
        start = sum(split[:part])
        return np.arange(start, start + split[part])
    return np.arange(rank) if alone else np.flatnonzero(B.any(axis=1))


def factors(config: Mapping[str, Any], place: Place, there: list[Any], own: Tensors, split: Any) -> dict[str, Adapter]:
    """(IA)³ of one published place, by our paths: factors of inputs (1, inputs) or of outputs (outputs, 1)."""
    del there
    of_inputs = is_target({"target_modules": config.get("feedforward_modules")}, place)
    left = dict(own)
    shape = (1, place.inputs) if of_inputs else (sum(place.outputs), 1)
    factors = take(left, "ia3_l", shape, place.theirs).reshape(-1)
    nothing_left({f"{place.theirs}.{word}": array for word, array in left.items()})
    each = [factors] * len(place.ours) if of_inputs else place.split(factors)
    parts: dict[str, Adapter] = {}
    for k, (path, array) in enumerate(zip(place.ours, each)):
        if split is None or k in split:
            part = Factors(array.size, of_inputs=of_inputs)
            part.factors.data = np.array(array)
            parts[path] = part
    return parts


def whole(model: Any, place: Place, own: Tensors, config: Mapping[str, Any]) -> dict[str, Adapter]:
    """A module of its own (modules_to_save)."""
    modules = dict(model.named_modules())
    parts: dict[str, Adapter] = {}
    if not any(word in ("weight", "bias") for word in own) or not config.get("modules_to_save"):
        raise ValueError(f"{place.theirs}.weight: stored whole, but modules_to_save of adapter_config.json is empty")
    weight = own.get("weight")
    sizes = (sum(place.outputs), place.inputs) if place.outputs_first else (place.inputs, sum(place.outputs))
    for k, path in enumerate(place.ours):
        part = Whole(path, modules[path])
        module = part.module
        if weight is None or (module.weight.ndim > 1 and weight.shape != sizes):
            got = "nothing" if weight is None else weight.shape
            raise ValueError(f"{place.theirs}.weight has shape {got}, this model's is {sizes}")
        if module.weight.ndim == 1 or place.kind == "embedding":
            module.weight.data = take(dict(own), "weight", module.weight.shape, place.theirs)
        else:
            turned = weight if place.outputs_first else weight.T
            module.weight.data = np.ascontiguousarray(place.split(np.ascontiguousarray(turned))[k])
        if getattr(module, "bias", None) is not None and "bias" in own:
            bias = own["bias"]
            if bias.shape != (sum(place.outputs),):
                raise ValueError(f"{place.theirs}.bias has shape {bias.shape}, this model's is {(sum(place.outputs),)}")
            module.bias.data = np.ascontiguousarray(place.split(bias)[k])
        parts[path] = part
    return parts


def _same_base(place: Place, there: list[Any], word: str, array: np.ndarray) -> None:
    """Files may hold a copy of the embedding that is adapted; it has to be that of this model."""
    base = there[0].base if isinstance(there[0], Adapted) else there[0]
    own = getattr(base, "embedding", base)
    weight = numbers(own.weight)
    stored = array if place.kind == "embedding" or own is not base else (array.T if place.outputs_first else array)
    if word != "base_weight" or stored.shape != weight.shape or not np.allclose(stored, weight, rtol=1e-2, atol=1e-4):
        raise ValueError(
            f"{place.theirs}.base_layer.{word[5:]} {array.shape} is a copy of the base's, and this model's is another "
            f"{weight.shape}: the adapter belongs to another model"
        )


def take(tensors: Tensors, key: str, shape: tuple[int, ...], module: str = "") -> np.ndarray:
    """The tensor `key`, removed from `tensors`; ValueError if it is missing, of another shape or not finite."""
    name = f"{module}.{key}" if module else key
    if key not in tensors:
        raise ValueError(f"{name} is missing")
    array = tensors.pop(key)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; for this model and adapter_config.json it is {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return array


def nothing_left(tensors: Mapping[str, Any]) -> None:
    """ValueError that names the tensors for which there was no place; nothing if there are none."""
    if tensors:
        raise ValueError(f"tensors without a place in this model: {some(tensors)}")


def some(names: Any) -> str:
    """The first five names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "nothing"
