"""Writing adapters in peft's directory format, all or nothing.

Where a published module fuses several of our matrices, their pairs become one of the summed rank with zeros between,
and alpha grows so that the scale stays; the header notes who had which ranks. A reparametrised prefix is folded into
the keys and values that it makes. What has no place there is refused by name, but for bottlenecks, which peft does not
have: they are written under our own names.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..files.atomic import write_json
from ..files.safetensors import write_safetensors
from .adapted import parts_of
from .bottleneck import Bottleneck
from .dora import Decomposed
from .ia3 import Factors
from .low_rank import LowRank, LowRankRows
from .peft_config import CONFIG, WEIGHTS, shortest_targets
from .peft_reading import KEY
from .prefix import LearnedPrefix
from .prompt import LearnedPrompt
from .published import Place, published_places
from .whole import Whole

_PREFIX = "base_model.model."


def save_adapter(
    model: Any, directory: str | os.PathLike[str], *, name: str = "default", base: str | None = None
) -> None:
    """Write one adapter of a model as adapter_config.json and adapter_model.safetensors.

    base: what the file says of the model it belongs to; by default the name of the directory that was read. peft reads
    all but bottlenecks, on models of the transformers library. ValueError, nothing written, for an unknown name and for
    what the format cannot say; OSError when the disk refuses.
    """
    parts = parts_of(model, name)
    config, tensors, notes = _described(model, parts)
    lineage = getattr(model, "lineage", None)
    config = {
        "base_model_name_or_path": getattr(lineage, "name", None) if base is None else base,
        "inference_mode": True,
        "task_type": "CAUSAL_LM",
        **config,
    }
    header = {"format": "pt", KEY: json.dumps({"vocabulary": model.spec.vocab_size, **notes}, sort_keys=True)}
    os.makedirs(directory, exist_ok=True)
    write_safetensors(os.path.join(directory, WEIGHTS), tensors, header)
    write_json(os.path.join(directory, CONFIG), config)


def check_adapter(model: Any, name: str = "default") -> None:
    """ValueError if `save_adapter` would refuse; nothing is written."""
    _described(model, parts_of(model, name))


def _described(model: Any, parts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    parts = {path.replace(".base.", "."): part for path, part in parts.items()}
    kinds = {type(part) for part in parts.values()} - {Whole}
    first = next(iter(parts.values()))
    if isinstance(first, LearnedPrefix):
        return _prefix(model, first)
    if isinstance(first, LearnedPrompt):
        rows = first.rows.data
        config = _prompt_learning("PROMPT_TUNING", model, len(rows), rows.shape[1])
        return config, {"prompt_embeddings": rows}, {}
    if kinds == {Bottleneck}:
        tensors = {f"{path}.{key}": p.data for path, part in parts.items() for key, p in part.named_parameters()}
        return {"peft_type": "BOTTLENECK", "activation": first.activation}, tensors, {}
    places = published_places(model)
    own = {path: place for place in places.values() for path in place.ours}
    unknown = [path for path in parts if path not in own]
    if unknown:
        raise ValueError(f"{unknown[0]} has no name in the published layout of this model, and no place in such a file")
    used = dict.fromkeys(own[path].theirs for path in parts)
    chosen = {theirs: [parts.get(path) for path in places[theirs].ours] for theirs in used}
    whole = {theirs: of for theirs, of in chosen.items() if any(isinstance(part, Whole) for part in of)}
    rest = {theirs: of for theirs, of in chosen.items() if theirs not in whole}
    everything = [theirs for theirs, place in places.items() if place.kind != "other"]
    if kinds == {Factors}:
        config, tensors, notes = _factors(places, rest, everything)
    elif kinds and kinds <= {LowRank, LowRankRows, Decomposed} and not (Decomposed in kinds and len(kinds) > 1):
        config, tensors, notes = _low_ranks(places, rest, everything)
    else:
        techniques = ", ".join(dict.fromkeys(part.technique for part in parts.values()))
        raise ValueError(f"peft's format has no place for an adapter made of {techniques}")
    for theirs, of in whole.items():
        tensors |= _whole(places[theirs], of)
    config["modules_to_save"] = sorted(whole) or None
    return config, tensors, notes


def _prefix(model: Any, part: LearnedPrefix) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    if len(set(part.shapes)) > 1:
        raise ValueError("peft's format has one number of key-value heads for all layers; this model's layers differ")
    heads, width = part.shapes[0]
    config = _prompt_learning("PREFIX_TUNING", model, part.length, heads * width)
    config |= {"num_attention_heads": heads, "num_layers": len(part.shapes), "prefix_projection": False}
    return config | {"encoder_hidden_size": heads * width}, {"prompt_embeddings": part.flat()}, {}


def _prompt_learning(kind: str, model: Any, length: int, width: int) -> dict[str, Any]:
    specs = [function for layer in model.spec.layers for branch in layer.branches for function in branch.parts]
    heads = next((spec.heads for spec in specs if hasattr(spec, "heads")), 1)
    return {
        "peft_type": kind,
        "num_virtual_tokens": length,
        "token_dim": width,
        "num_transformer_submodules": 1,
        "num_attention_heads": heads,
        "num_layers": len(model.layers),
    }


def _low_ranks(
    places: Mapping[str, Place], chosen: Mapping[str, list[Any]], everything: list[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    all_parts: list[LowRank] = [part for of in chosen.values() for part in of if part is not None]
    stabilized = all(part.stabilized for part in all_parts)
    tensors: dict[str, np.ndarray] = {}
    ranks, alphas, shares = {}, {}, {}
    for theirs, of in chosen.items():
        place = places[theirs]
        rows = place.kind == "embedding"
        A, B, scale, share = _joined(place, of)
        key = f"{_PREFIX}{theirs}.lora_{'embedding_' if rows else ''}"
        end = "" if rows else ".weight"
        tensors |= {f"{key}A{end}": np.ascontiguousarray(A.T), f"{key}B{end}": B}
        if any(isinstance(part, Decomposed) for part in of):
            if None in of:
                raise ValueError(f"DoRA on a part of {theirs}: peft's format has one length for each of its outputs")
            magnitude = place.join([part.magnitude.data for part in of])
            tensors[f"{_PREFIX}{theirs}.lora_magnitude_vector"] = magnitude
        ranks[theirs] = A.shape[1]
        alphas[theirs] = _alpha(of, scale, ranks[theirs], stabilized)
        if share is not None:
            shares[theirs] = share
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    first_in = {not places[theirs].outputs_first for theirs in chosen if places[theirs].kind == "linear"}
    config = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {theirs: r for theirs, r in ranks.items() if r != rank},
        "alpha_pattern": {theirs: a for theirs, a in alphas.items() if a != alpha},
        "lora_dropout": max(part.dropout for part in all_parts),
        "use_rslora": stabilized,
        "use_dora": any(isinstance(part, Decomposed) for part in all_parts),
        "bias": "none",
        "fan_in_fan_out": first_in == {True},
        "target_modules": shortest_targets(chosen, everything),
    }
    return config, tensors, {"parts": shares} if shares else {}


def _joined(place: Place, of: list[Any]) -> tuple[np.ndarray, np.ndarray, float, list[int] | None]:
    """One pair for all parts of a module: A (inputs, r), B (outputs of all, r), their scale, who has which ranks."""
    there = [part for part in of if part is not None]
    scale = there[0].scale
    if len(of) == 1:
        return there[0].A.data, place.join([there[0].B.data]), scale, None
    shared = None not in of and all(np.array_equal(part.A.data, there[0].A.data) for part in there)
    if shared:
        A, offsets = there[0].A.data, [0] * len(of)
    else:
        A = np.concatenate([part.A.data for part in there], axis=1)
        counts = [0 if part is None else part.rank for part in of]
        offsets = [sum(counts[:k]) for k in range(len(of))]
    blocks = []
    for part, start, size in zip(of, offsets, place.outputs):
        block = np.zeros((A.shape[1], size), A.dtype)
        if part is not None:  # a scale of its own goes into the numbers
            ratio = part.scale / scale
            block[start : start + part.rank] = part.B.data if ratio == 1 else part.B.data * A.dtype.type(ratio)
        blocks.append(block)
    B = np.ascontiguousarray(place.join(blocks))
    return A, B, scale, None if shared else counts


def _alpha(of: list[Any], scale: float, rank: int, stabilized: bool) -> float:
    """The alpha with which a pair of that rank has that scale: as it was given where that is the same."""
    first = next(part for part in of if part is not None)
    if first.rank == rank and first.stabilized == stabilized:
        return first.alpha
    alpha = scale * (math.sqrt(rank) if stabilized else rank)
    return int(alpha) if alpha == int(alpha) else alpha


def _factors(
    places: Mapping[str, Place], chosen: Mapping[str, list[Any]], everything: list[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    tensors: dict[str, np.ndarray] = {}
    inputs, shares = [], {}
    for theirs, of in chosen.items():
        place = places[theirs]
        there = [part for part in of if part is not None]
        sides = {part.of_inputs for part in there}
        alike = all(np.array_equal(part.factors.data, there[0].factors.data) for part in there)
        if len(sides) > 1 or (sides == {True} and (None in of or not alike)):
            raise ValueError(
                f"(IA)³ on {theirs}: its parts share their inputs, and peft's format has one factor for all"
            )
        if sides == {True}:
            inputs.append(theirs)
            tensors[f"{_PREFIX}{theirs}.ia3_l"] = there[0].factors.data[None]
            continue
        dtype = there[0].factors.dtype
        each = [np.ones(n, dtype) if part is None else part.factors.data for part, n in zip(of, place.outputs)]
        tensors[f"{_PREFIX}{theirs}.ia3_l"] = place.join(each)[:, None]
        if None in of:
            shares[theirs] = [k for k, part in enumerate(of) if part is not None]
    config = {
        "peft_type": "IA3",
        "target_modules": shortest_targets(chosen, everything),
        "feedforward_modules": shortest_targets(inputs, everything),
        "fan_in_fan_out": {not places[theirs].outputs_first for theirs in chosen} == {True},
    }
    return config, tensors, {"parts": shares} if shares else {}


def _whole(place: Place, of: list[Any]) -> dict[str, np.ndarray]:
    if not all(isinstance(part, Whole) for part in of):
        raise ValueError(f"{place.theirs} holds several matrices, and only some of them have a module of their own")
    weights = [part.module.weight.data for part in of]
    if weights[0].ndim == 1 or place.kind == "embedding":
        stored = weights[0]
    else:
        stored = place.join(weights)
        stored = stored if place.outputs_first else np.ascontiguousarray(stored.T)
    found = {f"{_PREFIX}{place.theirs}.weight": stored}
    biases = [part.module.bias.data for part in of if getattr(part.module, "bias", None) is not None]
    if biases:
        found[f"{_PREFIX}{place.theirs}.bias"] = place.join(biases)
    return found
