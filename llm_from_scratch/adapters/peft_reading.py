"""Reading adapters in peft's directory format: adapter_config.json and adapter_model.safetensors.

Every tensor has a place or is named in an error, and nothing is changed before all of them fit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files.sharded import open_checkpoint, read_safetensors
from .adapted import Adapter, attach, check_name
from .bottleneck import Bottleneck
from .peft_config import WEIGHTS, is_target, read_config
from .peft_parts import Tensors, factors, low_ranks, nothing_left, some, take, whole
from .places import functions, matrices
from .prefix import LearnedPrefix, attention_shapes
from .prompt import LearnedPrompt
from .published import Place, published_places, table_of_model
from .standing import check_length, stand

_WORDS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector", "ia3_l")
_COPIES = ("base_layer", "modules_to_save", "original_module")
KEY = "llm_from_scratch"  # in the header of files that we write: what peft has no place for


def load_adapter(model: Any, directory: str | os.PathLike[str], *, name: str = "default") -> list[str]:
    """Add the adapter in a directory, as peft or `save_adapter` wrote it; the paths. It alone acts and trains now.

    Read are LoRA, rsLoRA, DoRA, (IA)³, prefix and prompt tuning, and our own bottlenecks; also modules_to_save.

    FileNotFoundError where there is none; ValueError, nothing changed, that names the tensor or the setting: for
    another architecture, rank, width or vocabulary, for tensors missing or left over, and for pickled files (.bin).
    """
    check_name(model, name)
    directory = Path(directory)
    config = read_config(directory)
    tensors = read_safetensors(directory / WEIGHTS, dtype=model.dtype)
    try:
        ours = _header(open_checkpoint(directory / WEIGHTS).metadata)
        if ours.get("vocabulary", model.spec.vocab_size) != model.spec.vocab_size:
            raise ValueError(
                f"the adapter was made for a vocabulary of {ours['vocabulary']} tokens, this model has "
                f"{model.spec.vocab_size}"
            )
        if config["peft_type"] in ("PREFIX_TUNING", "PROMPT_TUNING"):
            part = (_prefix if config["peft_type"] == "PREFIX_TUNING" else _prompt)(model, _only_prompt(tensors))
            stand(model, name, part)
            return ["prefix"]
        if config["peft_type"] == "BOTTLENECK":
            parts = _bottlenecks(model, config, tensors)
        else:
            parts = _beside_matrices(model, config, tensors, ours.get("parts", {}))
    except ValueError as error:
        raise ValueError(f"{directory}: {error}") from None
    attach(model, name, parts)
    return list(parts)


def _header(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(KEY, "{}"))
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{WEIGHTS}: what its header says under {KEY!r} is no JSON object")
    return found


def _only_prompt(tensors: Tensors) -> np.ndarray:
    if set(tensors) != {"prompt_embeddings"} or tensors["prompt_embeddings"].ndim != 2:
        raise ValueError(f"a prefix or prompt is one matrix 'prompt_embeddings', the file holds {some(tensors)}")
    return tensors["prompt_embeddings"]


def _prefix(model: Any, flat: np.ndarray) -> LearnedPrefix:
    shapes = attention_shapes(model)
    wanted = sum(2 * heads * width for heads, width in shapes)
    if flat.shape[1] != wanted:
        raise ValueError(
            f"prompt_embeddings has shape {flat.shape}: the keys and values of this model's {len(shapes)} attention "
            f"layers are {wanted} numbers a position"
        )
    part = LearnedPrefix(check_length("learned prefix", len(flat), model.position_limit), shapes, rng=None)
    part.astype(model.dtype).fill(flat)
    return part


def _prompt(model: Any, rows: np.ndarray) -> LearnedPrompt:
    if rows.shape[1] != model.embedding_width:
        raise ValueError(f"prompt_embeddings has shape {rows.shape}, this model's rows have {model.embedding_width}")
    check_length("learned prompt", len(rows), model.position_limit)
    return LearnedPrompt(rows)


def _bottlenecks(model: Any, config: Mapping[str, Any], tensors: Tensors) -> dict[str, Adapter]:
    parts: dict[str, Adapter] = {}
    there, width, left = functions(model), model.spec.hidden_size, dict(tensors)
    for path in dict.fromkeys(key.rpartition(".")[0].rpartition(".")[0] for key in tensors):
        if path not in there:
            raise ValueError(f"the tensors of {path!r} belong to no part of this model")
        down = left.get(f"{path}.down.weight")
        size = down.shape[1] if down is not None and down.ndim == 2 else 0
        part = Bottleneck(width, size, activation=str(config.get("activation", "gelu")), rng=None)
        for key, parameter in part.named_parameters():
            parameter.data = take(left, f"{path}.{key}", parameter.shape)
        parts[path] = part
    nothing_left(left)
    return parts


def _beside_matrices(
    model: Any, config: Mapping[str, Any], tensors: Tensors, split: Mapping[str, Any]
) -> dict[str, Adapter]:
    """LoRA and (IA)³: what stands beside each of the matrices."""
    places, table = published_places(model), table_of_model(model)
    found: dict[str, Tensors] = {}
    for key, array in tensors.items():
        module, word = _parsed(key)
        module = table.respelled(f"{module}.weight").removesuffix(".weight")
        theirs = module if module in places else table.prefix + module
        if theirs not in places:
            raise ValueError(f"{key}: this model has no module {module!r}; it has {some(places)}")
        found.setdefault(theirs, {})[word] = array
    _check_targets(config, places, found)
    our_modules = matrices(model)
    parts: dict[str, Adapter] = {}
    for theirs, own in found.items():
        place = places[theirs]
        if any(word in ("weight", "bias") for word in own):
            parts |= whole(model, place, own, config)
            continue
        if place.kind == "other":
            raise ValueError(f"{theirs} is no linear layer and no embedding of tokens: an adapter cannot stand there")
        there = [our_modules[path] for path in place.ours]
        make = factors if config["peft_type"] == "IA3" else low_ranks
        parts |= make(config, place, there, own, split.get(theirs))
    return parts


def _parsed(key: str) -> tuple[str, str]:
    """A key as (module, what of it): "base_model.model.h.0.fc.lora_A.weight" -> ("h.0.fc", "lora_A").

    Early files have the adapter's name behind ("lora_A.default.weight").
    """
    words = key.split(".")
    words = words[2:] if words[:2] == ["base_model", "model"] else words
    for i, word in enumerate(words):
        if word in _WORDS:
            return ".".join(words[:i]), word
    for copy in set(_COPIES) & set(words[:-1]):
        i = words.index(copy)  # behind modules_to_save stands, in early files, the adapter's name
        words = [*words[:i], words[-1] if copy == "modules_to_save" else f"base_{words[-1]}"]
    return ".".join(words[:-1]), words[-1]


def _check_targets(config: Mapping[str, Any], places: Mapping[str, Place], found: Mapping[str, Tensors]) -> None:
    missing = [
        name
        for name, place in places.items()
        if place.kind != "other" and ".experts." not in name and name not in found and is_target(config, place)
    ]
    if missing:
        raise ValueError(f"target_modules mean {some(missing)}, of which the file holds nothing")
    if not found:
        raise ValueError("the file holds no tensors")
