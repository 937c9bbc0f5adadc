"""Falcon in its three designs, all with LayerNorm, exact GELU and a tied head.

RW 1B and 7B: sequential blocks with biases and ALiBi. 7B: one key-value head, attention and feed-forward part in
parallel behind one norm, rotary. 40B and 180B ("new decoder architecture"): grouped heads, parallel, a norm for each.
Query, key and value are fused: head by head [q k v] (RW), [all q | k | v] (7B), group by group [q … q k v] (40B).
ALiBi adds slope · position to q·k before the division by √head_dim, both rounded to bfloat16. Files of the first
release say RefinedWeb, n_head, n_head_kv. Sources: Almazrouei et al. 2023, arXiv:2311.16867; Penedo et al. 2023,
arXiv:2306.01116; the released code. Initialisation: N(0, initializer_range). attention_dropout is 0 in all releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec, alibi_slopes
from ..models.spec import ModelSpec
from ._activations import ACTIVATIONS
from ._relatives import rotary_from_config
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.sizes import grouped
from .published.weights import Row, WeightTable

MODEL_TYPES = ("falcon", "RefinedWeb", "RefinedWebModel")
ARCHITECTURE = "FalconForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 65024, "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71, "num_kv_heads": None,
    "ffn_hidden_size": None, "activation": "gelu", "bias": False, "alibi": False, "multi_query": True,
    "parallel_attn": True, "new_decoder_architecture": False, "num_ln_in_parallel_attn": None,
    "max_position_embeddings": 2048, "rope_theta": 10000.0, "rope_scaling": None, "layer_norm_epsilon": 1e-5,
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "initializer_range": 0.02, "tie_word_embeddings": True,
    "bos_token_id": 11, "eos_token_id": 11,
}
# fmt: on
SIZE_KEYS = {"feed_forward": "ffn_hidden_size"}
ALIASES = {
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_head_kv": "num_kv_heads",
    "n_embed": "hidden_size",
}
_KEYS = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_kv_heads")
_RW = {"alibi": True, "bias": True, "multi_query": False, "parallel_attn": False}
_NEW = {"new_decoder_architecture": True}
SIZES = {
    "falcon-rw-1b": dict(zip(_KEYS, (24, 2048, 32, 32), strict=True)) | _RW | {"vocab_size": 50304},
    "falcon-rw-7b": dict(zip(_KEYS, (36, 4096, 64, 64), strict=True)) | _RW,
    "falcon-7b": {},
    "falcon-40b": dict(zip(_KEYS, (60, 8192, 128, 8), strict=True)) | _NEW,
    "falcon-180b": dict(zip(_KEYS, (80, 14848, 232, 8), strict=True)) | _NEW,
}


def respell(config: dict[str, Any]) -> dict[str, Any]:
    """The first release's config of 40B says by n_head_kv alone that it has the new architecture."""
    return {"new_decoder_architecture": True, **config} if config.get("n_head_kv") is not None else config


def resized(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Key-value heads in the same ratio, where the config says how many. (7B's are one, whatever it says.)"""
    heads, shared = config["num_attention_heads"], config["num_kv_heads"]
    return {} if shared is None else {"num_kv_heads": grouped(shared, heads, sizes["heads"])}


def _groups(config: Config) -> tuple[int, int]:
    """Key-value heads, and groups of the fused matrix."""
    heads = config.size("num_attention_heads")
    if config.flag("new_decoder_architecture"):
        config.ignore("multi_query")
        key_value_heads = config.size_or("num_kv_heads", heads)
        config.divides("num_kv_heads", key_value_heads, "num_attention_heads", heads)
        return key_value_heads, key_value_heads
    if config.flag("multi_query"):
        config.ignore("num_kv_heads")  # the published config of 7B says 71 there
        return 1, 1
    config.only("num_kv_heads", None, heads)
    return heads, heads


def _norms(config: Config) -> int:
    """How many norms precede a layer's two functions when they are parallel; 0 when they are not."""
    new = config.flag("new_decoder_architecture")
    config.only("num_ln_in_parallel_attn", None, *((1, 2) if new else (1,)))
    if new:
        config.only("parallel_attn", True)
        return config.size_or("num_ln_in_parallel_attn", 2)
    return 1 if config.flag("parallel_attn") else 0


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Falcon."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides("num_attention_heads", heads, "hidden_size", hidden)
    head_dim, key_value_heads = hidden // heads, _groups(config)[0]
    config.only("apply_residual_connection_post_layernorm", False)
    config.ignore("attention_dropout", "rope_theta", "rope_scaling")
    bias, init = config.flag("bias"), Normal(config.number("initializer_range", least=0.0))
    inits: dict[str, Any] = {"init": init, "output_init": init}
    position: dict[str, Any] = {"slopes": alibi_slopes(heads), "bfloat16_slopes": True}
    if not config.flag("alibi"):
        if head_dim % 2:
            raise config.error(f"rotary positions turn pairs, so the width of a head must be even, not {head_dim}")
        position = {"rotary": rotary_from_config(config, head_dim)}
    attention = AttentionSpec(
        hidden, heads, key_value_heads, head_dim, bias=bias, output_bias=bias, **position, **inits
    )
    width = config.size_or("ffn_hidden_size", 4 * hidden)
    feed_forward = FeedForwardSpec(hidden, width, config.choice("activation", ACTIVATIONS), bias=bias, **inits)
    norm = NormSpec(hidden, "layer", config.number("layer_norm_epsilon", least=0.0))
    norms, dropout = _norms(config), config.number("hidden_dropout", least=0.0, below=1.0)
    layer = LayerSpec.sequential(attention, feed_forward, norm, dropout=dropout)
    if norms:
        layer = LayerSpec.parallel(attention, feed_forward, *[norm] * norms, dropout=dropout)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(layer,) * config.size("num_hidden_layers", most=10_000),
        norm=norm,
        context_length=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings"),
        embedding_init=init,
        head_init=init,
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "transformer.h.{i}."
    fused = tuple(f"{ours}mixer.{part}.{{w}}" for part in ("query", "key", "value"))
    first, second = ("ln_attn", "ln_mlp") if _norms(config) == 2 else ("input_layernorm", "post_attention_layernorm")
    return WeightTable(
        rows=(
            Row("embedding.weight", "transformer.word_embeddings.weight"),
            Row(ours + "mixer_norm.{w}", theirs + first + ".{w}"),
            Row(fused, theirs + "self_attention.query_key_value.{w}", Fused(groups=_groups(config)[1])),
            Row(ours + "mixer.output.{w}", theirs + "self_attention.dense.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.{w}", theirs + second + ".{w}"),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.dense_h_to_4h.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.dense_4h_to_h.{w}", TRANSPOSED),
            Row("norm.{w}", "transformer.ln_f.{w}"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        ignored=("h.*.self_attention.*inv_freq",),
        prefix="transformer.",
        tied=("lm_head.weight", "transformer.word_embeddings.weight"),
    )
