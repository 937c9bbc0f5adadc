"""Which parts of a model have heads: their output's matrix reads the heads side by side."""

from __future__ import annotations

from typing import Any

from ..layers.attention import Attention
from ..layers.relative_attention import RelativeAttention


def head_count(function: Any) -> int:
    """The heads of a layer's function; 0 where it has none.

    >>> from llm_from_scratch.checkpoints import build
    >>> layer = build("gpt2", n_layer=1, n_head=2, n_embd=4, vocab_size=5, n_positions=8).layers[0]
    >>> head_count(layer.mixer), head_count(layer.feed_forward)
    (2, 0)
    """
    return function.spec.heads if isinstance(function, (Attention, RelativeAttention)) else 0


def with_heads(model: Any) -> dict[str, Any]:
    """The functions that have heads by their paths, "layers.0.mixer" …"""
    return {
        f"layers.{i}.{name}": getattr(layer, name)
        for i, layer in enumerate(model.layers)
        for name in layer.spec.functions
        if head_count(getattr(layer, name))
    }
