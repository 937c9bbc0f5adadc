"""LLaMA 1 and 2, and what shares their layout (XGen, Yi, SOLAR, SmolLM): pre-RMSNorm, rotary, SwiGLU, no biases.

Checkpoints in the Hugging Face layout store query and key for half-split rotary pairs; Meta's own files interleave
them. Sources: Touvron et al. 2023, arXiv:2302.13971 and arXiv:2307.09288. Initialisation: N(0, initializer_range)
everywhere, as in the transformers library (the papers are silent). attention_dropout is 0 in all releases and not
applied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec
from ..models.spec import ModelSpec
from ._activations import ACTIVATIONS
from ._relatives import rotary_from_config
from .published.config import Config
from .published.layouts import TRANSPOSED
from .published.weights import Row, WeightTable

MODEL_TYPES = ("llama", "Yi")
ARCHITECTURE = "LlamaForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": None, "head_dim": None, "hidden_act": "silu",
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": None,
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "initializer_range": 0.02,
    "bos_token_id": None, "eos_token_id": None,
}
# fmt: on
_KEYS = ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size")
_TWO = {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
_XGEN = dict(zip(_KEYS, (4096, 32, 32, 11008), strict=True)) | {"vocab_size": 51200}
_YI = {"vocab_size": 64000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 5e6}
_SMOL = {"vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 1e5}
_SMOL |= {"tie_word_embeddings": True}
SIZES = {
    "llama-7b": dict(zip(_KEYS, (4096, 32, 32, 11008), strict=True)),
    "llama-13b": dict(zip(_KEYS, (5120, 40, 40, 13824), strict=True)),
    "llama-33b": dict(zip(_KEYS, (6656, 52, 60, 17920), strict=True)),
    "llama-65b": dict(zip(_KEYS, (8192, 64, 80, 22016), strict=True)) | {"rms_norm_eps": 1e-5},
    "llama-2-7b": dict(zip(_KEYS, (4096, 32, 32, 11008), strict=True)) | _TWO,
    "llama-2-13b": dict(zip(_KEYS, (5120, 40, 40, 13824), strict=True)) | _TWO,
    # Described in the paper, never released; its shape is that of Code Llama 34B, which began from it.
    "llama-2-34b": dict(zip(_KEYS, (8192, 64, 48, 22016), strict=True)) | _TWO | {"num_key_value_heads": 8},
    "llama-2-70b": dict(zip(_KEYS, (8192, 64, 80, 28672), strict=True)) | _TWO | {"num_key_value_heads": 8},
    "xgen-7b-4k": _XGEN | {"max_position_embeddings": 4096},
    "xgen-7b-8k": _XGEN | {"max_position_embeddings": 8192},
    "yi-6b": dict(zip(_KEYS, (4096, 32, 32, 11008), strict=True)) | _YI | {"num_key_value_heads": 4},
    "yi-34b": dict(zip(_KEYS, (7168, 56, 60, 20480), strict=True)) | _YI | {"num_key_value_heads": 8},
    "solar-10.7b": dict(zip(_KEYS, (4096, 32, 48, 14336), strict=True)) | _TWO | {"num_key_value_heads": 8},
    "smollm2-135m": dict(zip(_KEYS, (576, 9, 30, 1536), strict=True)) | _SMOL | {"num_key_value_heads": 3},
}


def from_scratch(sizes: Mapping[str, int]) -> dict[str, Any]:
    """A small LLaMA: every head with keys of its own, a tied head, SwiGLU as costly as 4 times the width without gate.

    Its three matrices of 8/3 the width cost what two of four times the width do; a multiple of 32 suits loops.
    """
    width = 32 * math.ceil(sizes["width"] * 8 / 3 / 32)
    return {"num_key_value_heads": sizes["heads"], "tie_word_embeddings": True, "intermediate_size": width}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a LLaMA."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if config.get("head_dim") is None:
        config.divides("num_attention_heads", heads, "hidden_size", hidden)
    head_dim = config.size_or("head_dim", hidden // heads)
    if head_dim % 2:
        raise config.error(f"rotary positions turn pairs, so the width of a head must be even, not {head_dim}")
    key_value_heads = config.size_or("num_key_value_heads", heads)
    config.divides("num_key_value_heads", key_value_heads, "num_attention_heads", heads)
    config.ignore("attention_dropout")
    init = Normal(config.number("initializer_range", least=0.0))
    inits: dict[str, Any] = {"init": init, "output_init": init}
    bias: dict[str, Any] = {"bias": config.flag("attention_bias"), "output_bias": config.flag("attention_bias")}
    rotary = rotary_from_config(config, head_dim)
    norm = NormSpec(hidden, "rms", config.number("rms_norm_eps", least=0.0))
    attention = AttentionSpec(hidden, heads, key_value_heads, head_dim, rotary=rotary, **bias, **inits)
    width, activation = config.size("intermediate_size"), config.choice("hidden_act", ACTIVATIONS)
    feed_forward = FeedForwardSpec(hidden, width, activation, gated=True, bias=config.flag("mlp_bias"), **inits)
    depth = config.size("num_hidden_layers", most=10_000)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec.sequential(attention, feed_forward, norm),) * depth,
        norm=norm,
        context_length=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings"),
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
            Row(ours + "mixer.output.{w}", theirs + "self_attn.o_proj.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.weight", theirs + "post_attention_layernorm.weight"),
            Row(ours + "feed_forward.gate.{w}", theirs + "mlp.gate_proj.{w}", TRANSPOSED),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.up_proj.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.down_proj.{w}", TRANSPOSED),
            Row("norm.weight", "model.norm.weight"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        ignored=("layers.*.self_attn.rotary_emb.inv_freq",),
        prefix="model.",
        tied=("lm_head.weight", "model.embed_tokens.weight"),
        renamed=(
            (theirs + "ln1.weight", theirs + "input_layernorm.weight"),  # Yi's first releases
            (theirs + "ln2.weight", theirs + "post_attention_layernorm.weight"),
        ),
    )
