"""Gopher and Chinchilla: pre-RMSNorm, Transformer-XL's relative positions, a feed-forward part of 4d, tied head.

Nothing was released: the config keys, the names of the tensors and the class name are this package's own, in the manner
of the transformers library. The papers leave open which linear layers have biases, whether head and embedding are tied,
and what the activation is. The printed parameter counts answer the first two: with a distance matrix in every layer, a
tied head, biases on the attention's output and in the feed-forward part, and none on query, key and value (u and v take
their place), 49 of the 50 counts in Chinchilla's table A9 come out to the last printed digit, and all six of Gopher's.
The exact GELU, eps 1e-5 and GPT-2's initialisation (N(0, initializer_range), what adds to the residual divided by
√(2L)) are assumptions.

Sources: Rae et al. 2021, arXiv:2112.11446, table 1; Hoffmann et al. 2022, arXiv:2203.15556, tables 4 and A9.
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import FeedForwardSpec, LayerSpec, Normal, NormSpec, RelativeAttentionSpec
from ..models.spec import ModelSpec
from ._activations import ACTIVATIONS
from .published.config import Config
from .published.layouts import TRANSPOSED
from .published.weights import Row, WeightTable

MODEL_TYPES = ("gopher", "chinchilla")
ARCHITECTURE = "GopherForCausalLM"
# fmt: off
DEFAULTS: dict[str, Any] = {
    "vocab_size": 32000, "hidden_size": 16384, "num_hidden_layers": 80, "num_attention_heads": 128, "head_dim": None,
    "intermediate_size": None, "hidden_act": "gelu", "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
    "attention_bias": False, "attention_output_bias": True, "mlp_bias": True, "hidden_dropout": 0.0,
    "tie_word_embeddings": True, "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": None,
}
# fmt: on
_KEYS = ("hidden_size", "num_attention_heads", "head_dim", "num_hidden_layers")
SIZES = {
    "gopher-44m": dict(zip(_KEYS, (512, 16, 32, 8), strict=True)),
    "gopher-117m": dict(zip(_KEYS, (768, 12, 64, 12), strict=True)),
    "gopher-417m": dict(zip(_KEYS, (1536, 12, 128, 12), strict=True)),
    "gopher-1.4b": dict(zip(_KEYS, (2048, 16, 128, 24), strict=True)),
    "gopher-7.1b": dict(zip(_KEYS, (4096, 32, 128, 32), strict=True)),
    "gopher-280b": dict(zip(_KEYS, (16384, 128, 128, 80), strict=True)),
    "chinchilla-70b": dict(zip(_KEYS, (8192, 64, 128, 80), strict=True)),
}
UNPUBLISHED = {
    "norm eps": "assumed",
    "feed-forward": "the activation is assumed",
    "biases": "inferred from the printed parameter counts",
    "head": "tying is inferred from the printed parameter counts",
    "initialisation": "assumed: GPT-2's",
}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Gopher."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if config.get("head_dim") is None:
        config.divides("num_attention_heads", heads, "hidden_size", hidden)
    if hidden % 2:
        raise config.error(f"sines and cosines of distances need an even hidden_size, not {hidden}")
    head_dim, depth = config.size_or("head_dim", hidden // heads), config.size("num_hidden_layers", most=10_000)
    init = Normal(config.number("initializer_range", least=0.0))
    inits: dict[str, Any] = {"init": init, "output_init": Normal(init.std / math.sqrt(2 * depth))}
    bias: dict[str, Any] = {"bias": config.flag("attention_bias"), "output_bias": config.flag("attention_output_bias")}
    attention = RelativeAttentionSpec(hidden, heads, heads, head_dim, **bias, **inits)
    inner, activation = config.size_or("intermediate_size", 4 * hidden), config.choice("hidden_act", ACTIVATIONS)
    feed_forward = FeedForwardSpec(hidden, inner, activation, bias=config.flag("mlp_bias"), **inits)
    norm = NormSpec(hidden, "rms", config.number("rms_norm_eps", least=0.0))
    dropout = config.number("hidden_dropout", least=0.0, below=1.0)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec.sequential(attention, feed_forward, norm, dropout=dropout),) * depth,
        norm=norm,
        context_length=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings"),
        embedding_dropout=dropout,
        embedding_init=init,
        head_init=init,
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "model.layers.{i}."
    return WeightTable(
        rows=(
            Row("embedding.weight", "model.embed_tokens.weight"),
            Row(ours + "mixer_norm.weight", theirs + "input_layernorm.weight"),
            Row(ours + "mixer.query.{w}", theirs + "self_attn.q_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.key.{w}", theirs + "self_attn.k_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.value.{w}", theirs + "self_attn.v_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.distance.weight", theirs + "self_attn.r_proj.weight", TRANSPOSED),
            Row(ours + "mixer.content_bias", theirs + "self_attn.content_bias"),
            Row(ours + "mixer.position_bias", theirs + "self_attn.position_bias"),
            Row(ours + "mixer.output.{w}", theirs + "self_attn.o_proj.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.weight", theirs + "post_attention_layernorm.weight"),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.up_proj.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.down_proj.{w}", TRANSPOSED),
            Row("norm.weight", "model.norm.weight"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        prefix="model.",
        tied=("lm_head.weight", "model.embed_tokens.weight"),
    )
