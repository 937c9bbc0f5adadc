"""adapter_config.json as peft writes it: what it asks for, and what of it cannot be had here, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..files.strict_json import read_json_object
from .published import Place

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
KINDS = ("LORA", "IA3", "PREFIX_TUNING", "PROMPT_TUNING", "BOTTLENECK")

# Settings that change what an adapter computes in ways that are not known here; harmless when off.
_UNKNOWN = {
    "alora_invocation_tokens": "an adapter that begins to act at certain tokens",
    "arrow_config": "adapters chosen token by token",
    "kasa_config": "KaSA",
    "layer_replication": "layers used several times",
    "lora_bias": "biases in the low-rank pair",
    "monteclora_config": "MonteCLoRA",
    "target_parameters": "pairs beside stacked experts; save with the experts' own matrices as targets",
    "trainable_token_indices": "single rows of the embedding",
    "use_bdlora": "block-diagonal pairs",
    "use_qalora": "QA-LoRA",
    "velora_config": "VeLoRA",
}


def read_config(directory: Path) -> dict[str, Any]:
    """The config in a directory, its kind known and nothing in it that we could not follow; ValueError says what."""
    path = directory / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"there is no adapter in {directory}: {CONFIG} was expected there")
    config = read_json_object(path)
    kind = config.get("peft_type")
    if kind not in KINDS:
        raise ValueError(f"{path}: peft_type {kind!r} is not known here; known are {', '.join(KINDS)}")
    if config.get("bias", "none") != "none":
        raise ValueError(f"{path}: bias {config['bias']!r} stores other biases for the base, which is not supported")
    for key, meaning in _UNKNOWN.items():
        if config.get(key):
            raise ValueError(f"{path}: {key} ({meaning}) is not supported")
    if not (directory / WEIGHTS).exists():
        if (directory / PICKLE).exists():
            raise ValueError(
                f"{directory / PICKLE} is a pickle, which can run any code when it is opened, and is not read here: "
                f"open it with peft where you trust it, and save it again (save_pretrained writes {WEIGHTS})"
            )
        raise FileNotFoundError(f"there is no {WEIGHTS} in {directory}")
    return config


def is_target(config: Mapping[str, Any], place: Place) -> bool:
    """Whether the config's target_modules mean a published module.

    A text is a regular expression of the whole name, or "all-linear"; a list has names or their ends, of the layers in
    layers_to_transform where that is given.
    """
    name, targets = place.theirs, config.get("target_modules")
    if _named(config.get("exclude_modules"), name) or targets is None:
        return False
    if any(_whole(f"(.*\\.)?{module}(\\..*)?", name) for module in config.get("modules_to_save") or ()):
        return False
    if targets == "all-linear":
        return place.kind == "linear" and place.ours != ("head",)
    if not _named(targets, name) or isinstance(targets, str):
        return _named(targets, name)
    layers = config.get("layers_to_transform")
    if layers is None or layers == []:
        return True
    patterns = config.get("layers_pattern") or [r"[^.]*"]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if match := re.match(rf"(?:.*?\.)?{pattern}\.(\d+)\.", name):
            return int(match[1]) in ([layers] if isinstance(layers, int) else layers)
    return False


def _named(targets: str | Iterable[str] | None, name: str) -> bool:
    if targets is None:
        return False
    if isinstance(targets, str):
        return _whole(targets, name)
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _whole(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise ValueError(f"{CONFIG}: {pattern!r} is no regular expression ({error})") from None


def by_pattern(config: Mapping[str, Any], key: str, patterns: str, name: str) -> Any:
    """config[key], or what one of config[patterns] says for modules of this name."""
    for pattern, value in (config.get(patterns) or {}).items():
        if _whole(f"(.*\\.)?({pattern})", name):
            return value
    return config.get(key)


def shortest_targets(chosen: Iterable[str], everything: Iterable[str]) -> list[str]:
    """target_modules that mean `chosen` among `everything`: last words of names where those suffice, else whole names.

    >>> shortest_targets(["h.0.attn.c_proj", "h.0.c_fc"], ["h.0.attn.c_proj", "h.0.mlp.c_proj", "h.0.c_fc"])
    ['c_fc', 'h.0.attn.c_proj']
    """
    chosen, found = set(chosen), set()
    for name in chosen:
        last = name.rpartition(".")[2]
        alike = {other for other in everything if other.rpartition(".")[2] == last}
        found.add(last if alike <= chosen else name)
    return sorted(found)
