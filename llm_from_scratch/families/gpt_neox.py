"""GPT-NeoX-20B and Pythia: attention and feed-forward part in parallel, a quarter of each head rotary, untied head.

Both functions read the same stream through norms of their own; `use_parallel_residual: false` gives the usual order.
Query, key and value are fused head by head: [q k v][q k v]…. Pythia uses the exact GELU, the 20B model the one by tanh.
Sources: Black et al. 2022, arXiv:2204.06745; Biderman et al. 2023, arXiv:2304.01373. Initialisation, where the config
does not say initializer_range: N(0, 2/(5d)) ("small"), what adds to the residual N(0, (2/(L√d))²) ("Wang").
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec, Rotary
from ..models.spec import ModelSpec
from ._activations import ACTIVATIONS
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("gpt_neox",)
ARCHITECTURE = "GPTNeoXForCausalLM"
# fmt: off
DEFAULTS: dict[str, Any] = {
    "vocab_size": 50432, "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64,
    "intermediate_size": 24576, "hidden_act": "gelu", "rotary_pct": 0.25, "rotary_emb_base": 10000.0,
    "rope_scaling": None, "max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "use_parallel_residual": True,
    "attention_bias": True, "attention_dropout": 0.0, "hidden_dropout": 0.0, "tie_word_embeddings": False,
    "bos_token_id": 0, "eos_token_id": 0,
}
# fmt: on
ALIASES = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
ALIASES |= {"hidden_dropout_prob": "hidden_dropout", "attention_probs_dropout_prob": "attention_dropout"}
_KEYS = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")


def _size(*values: int) -> dict[str, int]:
    return dict(zip(_KEYS, values, strict=True)) | {"intermediate_size": 4 * values[1]}


SIZES: dict[str, dict[str, Any]] = {
    "gpt-neox-20b": {"hidden_act": "gelu_fast"},
    "pythia-70m": _size(6, 512, 8, 50304),
    "pythia-160m": _size(12, 768, 12, 50304),
    "pythia-410m": _size(24, 1024, 16, 50304),
    "pythia-1b": _size(16, 2048, 8, 50304),
    "pythia-1.4b": _size(24, 2048, 16, 50304),
    "pythia-2.8b": _size(32, 2560, 32, 50304),
    "pythia-6.9b": _size(32, 4096, 32, 50432),
    "pythia-12b": _size(36, 5120, 40, 50688),
}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a GPT-NeoX."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides("num_attention_heads", heads, "hidden_size", hidden)
    depth, width = config.size("num_hidden_layers", most=10_000), config.size("intermediate_size")
    head_dim, share = hidden // heads, config.number("rotary_pct", above=0.0)
    turned = int(head_dim * share)
    if share > 1 or turned < 2 or turned % 2:
        raise config.error(f"rotary_pct {share} of a head of width {head_dim} is not an even number of coordinates")
    base, factor = config.rotary("rotary_emb_base")
    config.ignore("attention_dropout", "classifier_dropout")
    small, wang = math.sqrt(2 / (5 * hidden)), 2 / (depth * math.sqrt(hidden))
    if config.get("initializer_range") is not None:
        small = wang = config.number("initializer_range", least=0.0)
    inits: dict[str, Any] = {"init": Normal(small), "output_init": Normal(wang)}
    bias: dict[str, Any] = {"bias": config.flag("attention_bias"), "output_bias": config.flag("attention_bias")}
    rotary = Rotary(turned, base, factor=factor)
    attention = AttentionSpec(hidden, heads, heads, head_dim, rotary=rotary, **bias, **inits)
    feed_forward = FeedForwardSpec(hidden, width, config.choice("hidden_act", ACTIVATIONS), **inits)
    norm = NormSpec(hidden, "layer", config.number("layer_norm_eps", least=0.0))
    dropout = config.number("hidden_dropout", least=0.0, below=1.0)
    parallel = config.flag("use_parallel_residual")
    layer = LayerSpec.sequential(attention, feed_forward, norm, dropout=dropout)
    if parallel:
        layer = LayerSpec.parallel(attention, feed_forward, norm, norm, dropout=dropout)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(layer,) * depth,
        norm=norm,
        context_length=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings"),
        embedding_init=Normal(small),
        head_init=Normal(small),
        embedding_dropout=dropout,
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "gpt_neox.layers.{i}."
    fused = tuple(f"{ours}mixer.{part}.{{w}}" for part in ("query", "key", "value"))
    heads = config.size("num_attention_heads")
    return WeightTable(
        rows=(
            Row("embedding.weight", "gpt_neox.embed_in.weight"),
            Row(ours + "mixer_norm.{w}", theirs + "input_layernorm.{w}"),
            Row(fused, theirs + "attention.query_key_value.{w}", Fused(groups=heads)),
            Row(ours + "mixer.output.{w}", theirs + "attention.dense.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.{w}", theirs + "post_attention_layernorm.{w}"),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.dense_h_to_4h.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.dense_4h_to_h.{w}", TRANSPOSED),
            Row("norm.{w}", "gpt_neox.final_layer_norm.{w}"),
            Row("head.weight", "embed_out.weight", TRANSPOSED),
        ),
        ignored=(
            "layers.*.attention.bias",
            "layers.*.attention.masked_bias",
            "layers.*.attention.rotary_emb.inv_freq",
        ),
        prefix="gpt_neox.",
        tied=("embed_out.weight", "gpt_neox.embed_in.weight"),
    )
