"""BLOOM: a norm on the embedding, ALiBi instead of positions, pre-LayerNorm, tanh GELU, biases everywhere, tied head.

Query, key and value are fused head by head: [q k v][q k v]…. `apply_residual_connection_post_layernorm` (false in all
releases) adds to the normed stream instead of the raw one. Sources: Le Scao et al. 2022, arXiv:2211.05100; slopes:
Press et al. 2021, arXiv:2108.12409. Initialisation: N(0, initializer_range), what adds to the residual scaled by
1/√(2L); the 176B model's paper gives 0.0048 = √(1/(3·14336)), the smaller ones' configs say 0.02. attention_dropout is
0 in all releases and not applied.
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec, alibi_slopes
from ..models.spec import ModelSpec
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("bloom",)
ARCHITECTURE = "BloomForCausalLM"
# fmt: off
DEFAULTS: dict[str, Any] = {
    "vocab_size": 250880, "hidden_size": 64, "n_layer": 2, "n_head": 8, "layer_norm_epsilon": 1e-5,
    "initializer_range": 0.02, "apply_residual_connection_post_layernorm": False, "hidden_dropout": 0.0,
    "attention_dropout": 0.0, "seq_length": 2048, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
}
# fmt: on
SIZE_KEYS = {"layers": "n_layer", "heads": "n_head", "context": "seq_length"}
ALIASES = {"n_embed": "hidden_size", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
_KEYS = ("n_layer", "hidden_size", "n_head")
SIZES: dict[str, dict[str, Any]] = {
    "bloom-560m": dict(zip(_KEYS, (24, 1024, 16), strict=True)),
    "bloom-1b1": dict(zip(_KEYS, (24, 1536, 16), strict=True)),
    "bloom-1b7": dict(zip(_KEYS, (24, 2048, 16), strict=True)),
    "bloom-3b": dict(zip(_KEYS, (30, 2560, 32), strict=True)),
    "bloom-7b1": dict(zip(_KEYS, (30, 4096, 32), strict=True)),
    "bloom-176b": dict(zip(_KEYS, (70, 14336, 112), strict=True)) | {"initializer_range": 0.0048},
}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a BLOOM."""
    hidden, heads = config.size("hidden_size"), config.size("n_head")
    config.divides("n_head", heads, "hidden_size", hidden)
    depth, std = config.size("n_layer", most=10_000), config.number("initializer_range", least=0.0)
    config.only("n_inner", None, 4 * hidden)
    # How the original code fused and split its kernels: the numbers stay.
    config.ignore("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "offset_alibi")
    config.ignore("skip_bias_add", "skip_bias_add_qkv", "slow_but_exact", "attention_dropout")
    inits: dict[str, Any] = {"init": Normal(std), "output_init": Normal(std / math.sqrt(2 * depth))}
    norm = NormSpec(hidden, "layer", config.number("layer_norm_epsilon", least=0.0))
    shape = (hidden, heads, heads, hidden // heads)
    attention = AttentionSpec(*shape, bias=True, output_bias=True, slopes=alibi_slopes(heads), **inits)
    feed_forward = FeedForwardSpec(hidden, 4 * hidden, "gelu_tanh", **inits)
    settings: dict[str, Any] = {
        "residual_is_normed": config.flag("apply_residual_connection_post_layernorm"),
        "dropout": config.number("hidden_dropout", least=0.0, below=1.0),
    }
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec.sequential(attention, feed_forward, norm, **settings),) * depth,
        norm=norm,
        context_length=config.size("seq_length"),
        tied=config.flag("tie_word_embeddings"),
        embedding_norm=norm,
        embedding_init=Normal(std),
        head_init=Normal(std),
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "transformer.h.{i}."
    fused = tuple(f"{ours}mixer.{part}.{{w}}" for part in ("query", "key", "value"))
    return WeightTable(
        rows=(
            Row("embedding.weight", "transformer.word_embeddings.weight"),
            Row("embedding_norm.{w}", "transformer.word_embeddings_layernorm.{w}"),
            Row(ours + "mixer_norm.{w}", theirs + "input_layernorm.{w}"),
            Row(fused, theirs + "self_attention.query_key_value.{w}", Fused(groups=config.size("n_head"))),
            Row(ours + "mixer.output.{w}", theirs + "self_attention.dense.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.{w}", theirs + "post_attention_layernorm.{w}"),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.dense_h_to_4h.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.dense_4h_to_h.{w}", TRANSPOSED),
            Row("norm.{w}", "transformer.ln_f.{w}"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        prefix="transformer.",
        tied=("lm_head.weight", "transformer.word_embeddings.weight"),
    )
