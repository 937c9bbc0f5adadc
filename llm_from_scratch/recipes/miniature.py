"""A released model made small: its choices kept, its sizes changed, in the published words of its own family.

For comparing designs: all miniatures can be given the same number of parameters in their layers, which is what the
width of the feed-forward part (where a family lets one choose it) is used for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..families import Family, find_release
from ..families.published.sizes import grouped
from ..models.decoder import Decoder
from ..models.spec import ModelSpec

_OUTSIDE = ("embedding", "positions", "head", "embedding_projection", "head_projection")  # of the layers


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
    old, keys = family.complete(own), family.size_keys
    now = {"layers": layers, "width": width, "heads": heads, "context": context, "vocabulary": vocabulary}
    was = {size: old[key] for size, key in keys.items() if old[key] is not None}
    small: dict[str, Any] = {keys[size]: value for size, value in now.items() if size in keys}
    if "key_value_heads" in was:
        small[keys["key_value_heads"]] = grouped(was["key_value_heads"], was["heads"], heads)
    if "head_dim" in was:  # all heads together keep their share of the width; pairs that rotate stay pairs
        share = was["head_dim"] * was["heads"] / was["width"]
        small[keys["head_dim"]] = width // heads if share == 1 else max(2, 2 * round(share * width / heads / 2))
    if "window" in was:
        small[keys["window"]] = max(1, context * was["window"] // was["context"])
    if "feed_forward" in was:
        small[keys["feed_forward"]] = max(4, round(width * was["feed_forward"] / was["width"] / 4) * 4)
    small |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, **family.resized(old, now)}
    config = {"model_type": family.model_types[0], **own, **small, **(changes or {})}
    return config if parameters is None else _sized(family, config, parameters)


def _sized(family: Family, config: dict[str, Any], wanted: int) -> dict[str, Any]:
    """Parameters grow linearly with the inner width and with the depth: two points give the line."""

    def used(key: str, value: int) -> int:
        return layer_parameters(family.spec({**config, key: value}))

    key, step = family.size_keys.get("feed_forward"), 4
    if key is not None:
        low, high = 64, 128
        a, b = used(key, low), used(key, high)
    else:
        key, step = family.size_keys["layers"], 1
        low, high = config[key], 2 * config[key]
        a = used(key, low)
        b = 2 * a
    value = low + (wanted - a) * (high - low) / (b - a)
    return {**config, key: max(step, round(value / step) * step)}


def layer_parameters(spec: ModelSpec) -> int:
    """Parameters of all layers (and norms) that one token uses: of experts only those that are chosen."""
    model = Decoder(spec)
    held = sum(parameter.size for name, parameter in model.named_parameters() if name.split(".")[0] not in _OUTSIDE)
    return held - sum(getattr(module, "idle_parameter_count", 0) for _, module in model.named_modules())
