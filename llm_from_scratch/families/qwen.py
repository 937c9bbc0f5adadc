"""Qwen, the first: LLaMA's block with biases on query, key and value, and two ways to outgrow the trained length.

use_dynamic_ntk raises the rotary base at each doubling beyond seq_length; use_logn_attn multiplies queries at later
positions by log position / log seq_length. The released code applies both outside of training only; here they always
hold. c_attn is [Q | K | V], w2 is the gate, and intermediate_size counts gate and up together. The paper also speaks
of windows by layer; the released code has none. Source: Bai et al. 2023, arXiv:2309.16609, and the released code.
Initialisation: N(0, initializer_range), what adds to the residual divided by √(2 · layers). attn_dropout_prob is 0 in
all releases and not applied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec, Rotary, SteppedNTK
from ..models.spec import ModelSpec
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("qwen",)
ARCHITECTURE = "QWenLMHeadModel"
# fmt: off
DEFAULTS = {
    "vocab_size": 151936, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "kv_channels": 128,
    "intermediate_size": 22016, "seq_length": 8192, "max_position_embeddings": 32768, "layer_norm_epsilon": 1e-6,
    "rotary_emb_base": 10000.0, "rotary_pct": 1.0, "use_dynamic_ntk": True, "use_logn_attn": True, "no_bias": True,
    "scale_attn_weights": True, "emb_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "initializer_range": 0.02,
    "tie_word_embeddings": False,
}
# fmt: on
SIZE_KEYS = {"head_dim": "kv_channels", "context": "seq_length"}
_KEYS = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size", "seq_length")


def _size(*values: int) -> dict[str, Any]:
    return dict(zip(_KEYS, values, strict=True))


SIZES = {
    "qwen-1.8b": _size(24, 2048, 16, 2 * 5504, 151936, 8192),
    "qwen-7b": _size(32, 4096, 32, 2 * 11008, 151936, 8192),
    "qwen-14b": _size(40, 5120, 40, 2 * 13696, 152064, 2048),
    "qwen-72b": _size(80, 8192, 64, 2 * 24576, 152064, 32768)
    | {"rotary_emb_base": 1e6, "use_dynamic_ntk": False, "use_logn_attn": False},
}


def resized(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The context has two names."""
    return {"max_position_embeddings": sizes["context"]}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Qwen."""
    hidden, heads, head_dim = (config.size(name) for name in ("hidden_size", "num_attention_heads", "kv_channels"))
    depth, trained = config.size("num_hidden_layers", most=10_000), config.size("seq_length")
    doubled, share = config.size("intermediate_size"), config.number("rotary_pct", above=0.0)
    turned = int(head_dim * share)
    if share > 1 or turned < 4 or turned % 2:
        raise config.error(f"rotary_pct {share} of kv_channels {head_dim} must be an even number from 4 to {head_dim}")
    if doubled % 2:
        raise config.error(f"intermediate_size {doubled} counts gate and up together, so it must be even")
    if trained < 2:
        raise config.error("seq_length must be 2 or more")
    config.only("no_bias", True)
    config.only("scale_attn_weights", True)
    config.only("attn_type", None, "flash", "default")
    config.ignore("attn_dropout_prob", "resid_dropout_prob", "fp16", "bf16", "fp32", "onnx_safe", "use_flash_attn")
    config.ignore("use_cache_quantization", "use_cache_kernel", "softmax_in_fp32")
    std, base = config.number("initializer_range", least=0.0), config.number("rotary_emb_base", above=0.0)
    inits: dict[str, Any] = {"init": Normal(std), "output_init": Normal(std / math.sqrt(2 * depth))}
    rotary = Rotary(turned, base, stretch=SteppedNTK(trained) if config.flag("use_dynamic_ntk") else None)
    log_n = trained if config.flag("use_logn_attn") else None
    attention = AttentionSpec(hidden, heads, heads, head_dim, bias=True, rotary=rotary, log_n=log_n, **inits)
    feed_forward = FeedForwardSpec(hidden, doubled // 2, "silu", gated=True, bias=False, **inits)
    norm = NormSpec(hidden, "rms", config.number("layer_norm_epsilon", least=0.0))
    config.ignore("max_position_embeddings")
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec.sequential(attention, feed_forward, norm),) * depth,
        norm=norm,
        context_length=trained,
        tied=config.flag("tie_word_embeddings"),
        embedding_dropout=config.number("emb_dropout_prob", least=0.0, below=1.0),
        embedding_init=Normal(std),
        head_init=Normal(std),
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "transformer.h.{i}."
    fused = tuple(f"{ours}mixer.{part}.{{w}}" for part in ("query", "key", "value"))
    return WeightTable(
        rows=(
            Row("embedding.weight", "transformer.wte.weight"),
            Row(ours + "mixer_norm.weight", theirs + "ln_1.weight"),
            Row(fused, theirs + "attn.c_attn.{w}", Fused()),
            Row(ours + "mixer.output.weight", theirs + "attn.c_proj.weight", TRANSPOSED),
            Row(ours + "feed_forward_norm.weight", theirs + "ln_2.weight"),
            Row(ours + "feed_forward.up.weight", theirs + "mlp.w1.weight", TRANSPOSED),
            Row(ours + "feed_forward.gate.weight", theirs + "mlp.w2.weight", TRANSPOSED),
            Row(ours + "feed_forward.down.weight", theirs + "mlp.c_proj.weight", TRANSPOSED),
            Row("norm.weight", "transformer.ln_f.weight"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        ignored=("rotary_emb.inv_freq", "h.*.attn.rotary_emb.inv_freq"),
        prefix="transformer.",
        tied=("lm_head.weight", "transformer.wte.weight"),
    )
