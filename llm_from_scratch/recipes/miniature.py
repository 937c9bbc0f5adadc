"""A released model made small: its choices kept, its sizes changed, in the published words of its own family.

For comparing designs: all miniatures can be given the same number of parameters in their layers, which is what the
width of the feed-forward part (where a family lets one choose it) is used for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..families import Family, find_release
from ..models.decoder import Decoder

# What the families call the same thing.
_OUTSIDE = ("embedding", "positions", "head", "embedding_projection", "head_projection")
WORDS = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers"),
    "width": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "num_heads", "n_heads"),
    "inner": ("intermediate_size", "n_inner", "ffn_dim", "inner_mlp_size", "inner_hidden_size", "ffn_hidden_size"),
    "context": (
        "max_position_embeddings",
        "n_positions",
        "seq_length",
        "max_seq_len",
        "max_sequence_length",
        "max_seqlen",
    ),
    "vocabulary": ("vocab_size",),
}


def miniature(
    name: str, *, layers: int = 4, width: int = 96, heads: int = 4, context: int = 128, vocabulary: int = 512,
    parameters: int | None = None, changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The config of a small model with the choices of the released model `name`, "model_type" included.

    Ratios are kept: of key-value heads to heads, of a window to the context, of a factorised embedding to the width.
    parameters: how many the layers shall have that one token uses; reached by the width of the feed-forward part, or by
    the number of layers where there is no such choice, as closely as that allows; None: as wide as the release is.
    changes: keys of the config that are to be otherwise than in the release.

    >>> small = miniature("llama-2-70b", width=64, heads=8, parameters=200_000)
    >>> small["num_attention_heads"], small["num_key_value_heads"], small["hidden_size"]
    (8, 2, 64)
    """
    family, own = find_release(name)
    old = family.complete(own)
    small: dict[str, Any] = {}
    for word, value in (("layers", layers), ("width", width), ("heads", heads), ("context", context)):
        small |= {key: value for key in WORDS[word] if key in old}
    small |= {key: vocabulary for key in WORDS["vocabulary"] if key in old}
    small |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    was = {word: next((old[key] for key in keys if old.get(key)), None) for word, keys in WORDS.items()}
    now = {"layers": layers, "width": width, "heads": heads, "context": context}
    for key, change in _OTHERS.items():
        if old.get(key) is not None:
            small[key] = change(old[key], was, now)
    config = {"model_type": family.model_types[0], **own, **small, **(changes or {})}
    inner = next((key for key in WORDS["inner"] if key in old), None)
    if inner and was["inner"]:
        config[inner] = max(4, round(width * was["inner"] / was["width"] / 4) * 4)
    if parameters is None:
        return config
    depth = next(key for key in WORDS["layers"] if key in old)
    return _sized(family, config, inner, depth, parameters)


def _sized(family: Family, config: dict[str, Any], inner: str | None, depth: str, wanted: int) -> dict[str, Any]:
    """Parameters grow linearly with the inner width and with the depth: two points give the line."""

    def used(changes: Mapping[str, Any]) -> int:
        return layer_parameters(family.spec({**config, **changes}))

    key, step = (inner, 4) if inner else (depth, 1)
    low, high = (64, 128) if inner else (config[depth], 2 * config[depth])
    a, b = used({key: low}), used({key: high}) if inner else 2 * used({key: low})
    value = low + (wanted - a) * (high - low) / (b - a)
    return {**config, key: max(step, round(value / step) * step)}


def layer_parameters(spec: Any) -> int:
    """Parameters of all layers that one token uses: of experts only those that are chosen."""
    model = Decoder(spec)
    held = sum(parameter.size for name, parameter in model.named_parameters() if name.split(".")[0] not in _OUTSIDE)
    return held - sum(getattr(module, "idle_parameter_count", 0) for _, module in model.named_modules())


def _grouped(number: int, of: int, heads: int) -> int:
    """The same ratio among `heads`; what was grouped stays grouped, one stays one, all stay all."""
    return number if number == 1 else heads if number == of else max(min(2, heads), heads * number // of)


def _thinned(values: list[Any], count: int) -> list[Any]:
    return [values[round(i * (len(values) - 1) / max(1, count - 1))] for i in range(count)]


# How further keys follow: (old value, old sizes, new sizes) -> new value; `was` and `now` are dictionaries of `WORDS`.
_OTHERS: dict[str, Callable[[Any, dict[str, Any], dict[str, int]], Any]] = {
    "num_key_value_heads": lambda old, was, now: _grouped(old, was["heads"], now["heads"]),
    "num_kv_heads": lambda old, was, now: _grouped(old, was["heads"], now["heads"]),
    "num_key_value_heads_per_layer": lambda old, was, now: [
        _grouped(number, was["heads"], now["heads"]) for number in _thinned(old, now["layers"])
    ],
    "num_filters": lambda old, was, now: now["width"],
    "proj_groups": lambda old, was, now: (
        now["heads"] // _grouped(was["heads"] // old, was["heads"], now["heads"])  # query heads a key-value head
    ),
    "sliding_window": lambda old, was, now: max(1, now["context"] * old // was["context"]),
    "window_size": lambda old, was, now: max(1, now["context"] * old // was["context"]),
    "word_embed_proj_dim": lambda old, was, now: now["width"] * old // was["width"],
    "attention_types": lambda old, was, now: [[["global", "local"], (now["layers"] + 1) // 2]],
    "kv_channels": lambda old, was, now: now["width"] // now["heads"],
    "head_dim": lambda old, was, now: now["width"] // now["heads"],
}
