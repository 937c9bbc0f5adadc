"""MPT: ALiBi, no biases anywhere (norms neither), a tied head, Wqkv = [Q | K | V], exact GELU.

Options of attn_config: alibi_bias_max (16 for StoryWriter), clip_qkv (6 for StoryWriter), qk_ln (a norm over all
heads of query and of key), softmax_scale. The transformers library ignores alibi_bias_max and qk_ln, and other options
that are refused here. `learned_pos_emb: true` in a published config means nothing while alibi is on. Source: MosaicML
2023, blog and llm-foundry. Initialisation as in the published init_config, whatever a config says: kaiming_normal,
fan-in, relu, what adds to the residual divided by √(2 · layers). Dropout inside the attention is 0 in all releases and
not applied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec, alibi_slopes
from ..models.spec import ModelSpec
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("mpt",)
ARCHITECTURE = "MPTForCausalLM"
_ATTENTION = {
    "attn_type": "multihead_attention", "attn_pdrop": 0, "alibi": True, "alibi_bias_max": 8, "clip_qkv": None,
    "qk_ln": False, "softmax_scale": None, "prefix_lm": False, "attn_uses_sequence_id": False,
}  # fmt: skip
# fmt: off
DEFAULTS = {
    "vocab_size": 50432, "d_model": 4096, "n_heads": 32, "n_layers": 32, "expansion_ratio": 4, "max_seq_len": 2048,
    "attn_config": _ATTENTION, "layer_norm_epsilon": 1e-5, "norm_type": "low_precision_layernorm", "no_bias": True,
    "learned_pos_emb": True, "logit_scale": None, "embedding_fraction": 1.0, "resid_pdrop": 0.0, "emb_pdrop": 0.0,
    "tie_word_embeddings": True,
}
# fmt: on
SIZE_KEYS = {"layers": "n_layers", "width": "d_model", "heads": "n_heads", "context": "max_seq_len"}
ALIASES = {"hidden_size": "d_model", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"}
SIZES = {
    "mpt-7b": {},
    "mpt-7b-storywriter": {
        "max_seq_len": 65536,
        "attn_config": {**_ATTENTION, "alibi_bias_max": 16, "clip_qkv": 6.0},
    },
    "mpt-30b": {"d_model": 7168, "n_heads": 64, "n_layers": 48, "max_seq_len": 8192},
}


def _attention(config: Config, hidden: int, heads: int, norm: NormSpec) -> dict[str, Any]:
    """The fields of AttentionSpec that attn_config decides."""
    given = config.get("attn_config")
    if not isinstance(given, Mapping):
        raise config.error(f"attn_config must be an object, not {given!r}", TypeError)
    inner = Config({**_ATTENTION, **given}, "mpt config: attn_config of the")
    inner.only("attn_type", "multihead_attention")
    for name, value in (("alibi", True), ("prefix_lm", False), ("attn_uses_sequence_id", False)):
        inner.only(name, value)
    inner.ignore("attn_impl", "attn_pdrop")
    found: dict[str, Any] = {"slopes": alibi_slopes(heads, inner.number("alibi_bias_max", above=0.0))}
    if inner.get("clip_qkv"):  # null and 0 switch it off
        found["clip"] = inner.number("clip_qkv", above=0.0)
    if inner.get("softmax_scale"):
        found["scale"] = inner.number("softmax_scale", above=0.0)
    if inner.flag("qk_ln"):
        found |= {"query_norm": norm, "key_norm": norm}
    inner.finish()
    return found


def spec_from_config(config: Config) -> ModelSpec:
    """The design of an MPT."""
    hidden, heads = config.size("d_model"), config.size("n_heads")
    config.divides("n_heads", heads, "d_model", hidden)
    depth, ratio = config.size("n_layers", most=10_000), config.size("expansion_ratio")
    config.only("no_bias", True)
    config.only("norm_type", "low_precision_layernorm", "layernorm")
    config.only("logit_scale", None)
    config.only("embedding_fraction", 1.0, 1)
    config.ignore("learned_pos_emb", "init_config", "init_device", "initializer_range", "verbose", "tokenizer_name")
    norm = NormSpec(hidden, "layer", config.number("layer_norm_epsilon", least=0.0), bias=False)
    std = math.sqrt(2 / hidden)
    inits: dict[str, Any] = {"init": Normal(std), "output_init": Normal(std / math.sqrt(2 * depth))}
    attention = AttentionSpec(hidden, heads, heads, hidden // heads, **_attention(config, hidden, heads, norm), **inits)
    inits["output_init"] = Normal(std / math.sqrt(2 * depth * ratio))
    feed_forward = FeedForwardSpec(hidden, ratio * hidden, "gelu", bias=False, **inits)
    dropout = config.number("resid_pdrop", least=0.0, below=1.0)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec.sequential(attention, feed_forward, norm, dropout=dropout),) * depth,
        norm=norm,
        context_length=config.size("max_seq_len"),
        tied=config.flag("tie_word_embeddings"),
        embedding_dropout=config.number("emb_pdrop", least=0.0, below=1.0),
        embedding_init=Normal(std),
        head_init=Normal(std),
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "transformer.blocks.{i}."
    fused = tuple(f"{ours}mixer.{part}.weight" for part in ("query", "key", "value"))
    return WeightTable(
        rows=(
            Row("embedding.weight", "transformer.wte.weight"),
            Row(ours + "mixer_norm.weight", theirs + "norm_1.weight"),
            Row(fused, theirs + "attn.Wqkv.weight", Fused()),
            Row(ours + "mixer.query_norm.weight", theirs + "attn.q_ln.weight"),
            Row(ours + "mixer.key_norm.weight", theirs + "attn.k_ln.weight"),
            Row(ours + "mixer.output.weight", theirs + "attn.out_proj.weight", TRANSPOSED),
            Row(ours + "feed_forward_norm.weight", theirs + "norm_2.weight"),
            Row(ours + "feed_forward.up.weight", theirs + "ffn.up_proj.weight", TRANSPOSED),
            Row(ours + "feed_forward.down.weight", theirs + "ffn.down_proj.weight", TRANSPOSED),
            Row("norm.weight", "transformer.norm_f.weight"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        prefix="transformer.",
        tied=("lm_head.weight", "transformer.wte.weight"),
    )
