"""GPT-Neo: GPT-2 with layers that see everything alternating with layers that see the last 256 tokens only.

Query, key and value have no biases, and scores are not divided by √head_dim. Source: EleutherAI's GPT-Neo, 2021 (the
pattern is that of GPT-3, Brown et al. 2020, arXiv:2005.14165). Initialisation: N(0, initializer_range) everywhere.
attention_dropout is 0 in all releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec
from ..models.spec import ModelSpec, PositionTable
from ._activations import ACTIVATIONS
from .published.config import Config
from .published.layouts import TRANSPOSED
from .published.weights import Row, WeightTable

MODEL_TYPES = ("gpt_neo",)
ARCHITECTURE = "GPTNeoForCausalLM"
# fmt: off
DEFAULTS: dict[str, Any] = {
    "vocab_size": 50257, "max_position_embeddings": 2048, "hidden_size": 2048, "num_layers": 24, "num_heads": 16,
    "attention_types": [[["global", "local"], 12]], "intermediate_size": None, "window_size": 256,
    "activation_function": "gelu_new", "resid_dropout": 0.0, "embed_dropout": 0.0, "attention_dropout": 0.0,
    "layer_norm_epsilon": 1e-5, "initializer_range": 0.02, "tie_word_embeddings": True, "bos_token_id": 50256,
    "eos_token_id": 50256,
}
# fmt: on
SIZE_KEYS = {"layers": "num_layers", "heads": "num_heads", "window": "window_size"}
ALIASES = {"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"}
_KEYS = ("num_layers", "hidden_size", "num_heads")
SIZES: dict[str, dict[str, Any]] = {
    "gpt-neo-125m": dict(zip(_KEYS, (12, 768, 12), strict=True)) | {"attention_types": [[["global", "local"], 6]]},
    "gpt-neo-1.3b": dict(zip(_KEYS, (24, 2048, 16), strict=True)),
    "gpt-neo-2.7b": dict(zip(_KEYS, (32, 2560, 20), strict=True)) | {"attention_types": [[["global", "local"], 16]]},
}


def resized(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """As many pairs of a global and a local layer as the depth asks for."""
    return {"attention_types": [[["global", "local"], (sizes["layers"] + 1) // 2]]}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a GPT-Neo."""
    hidden, heads = config.size("hidden_size"), config.size("num_heads")
    config.divides("num_heads", heads, "hidden_size", hidden)
    positions, std = config.size("max_position_embeddings"), config.number("initializer_range", least=0.0)
    # Dropout inside the attention is not applied, nor is that of a classifier's head.
    config.ignore("attention_dropout", "classifier_dropout")
    inits: dict[str, Any] = {"init": Normal(std), "output_init": Normal(std)}
    norm = NormSpec(hidden, "layer", config.number("layer_norm_epsilon", least=0.0))
    dropout = config.number("resid_dropout", least=0.0, below=1.0)
    width = config.size_or("intermediate_size", 4 * hidden)
    feed_forward = FeedForwardSpec(hidden, width, config.choice("activation_function", ACTIVATIONS), **inits)
    windows = {"global": None, "local": config.size("window_size")}

    def layer(kind: str) -> LayerSpec:
        shape = (hidden, heads, heads, hidden // heads)
        attention = AttentionSpec(*shape, output_bias=True, scale=1.0, window=windows[kind], **inits)
        return LayerSpec.sequential(attention, feed_forward, norm, dropout=dropout)

    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=tuple(layer(kind) for kind in _kinds(config)),
        norm=norm,
        context_length=positions,
        tied=config.flag("tie_word_embeddings"),
        positions=PositionTable(positions, init=Normal(std)),
        embedding_dropout=config.number("embed_dropout", least=0.0, below=1.0),
        embedding_init=Normal(std),
        head_init=Normal(std),
    )


def _kinds(config: Config) -> list[str]:
    """The layers in order, from [[["global", "local"], 12]]: each list of kinds so many times."""
    depth = config.size("num_layers", most=10_000)
    kinds: list[str] = []
    runs = config.get("attention_types")
    for run in runs if isinstance(runs, (list, tuple)) else [None]:
        parts, times = run if isinstance(run, (list, tuple)) and len(run) == 2 else (None, None)
        if not isinstance(parts, (list, tuple)) or isinstance(times, bool) or not isinstance(times, int):
            raise config.error(f'attention_types must look like [[["global", "local"], 12]], not {runs!r}', TypeError)
        if not set(map(str, parts)) <= {"global", "local"} or not 0 <= times <= depth:
            raise config.error(f"attention_types {runs!r}: 'global' or 'local' and how often were expected")
        kinds += list(parts) * times
    if len(kinds) != depth:
        raise config.error(f"attention_types describe {len(kinds)} layers, num_layers is {depth}")
    config.only("attention_layers", None, kinds)  # says the same a second time
    return kinds


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "transformer.h.{i}."
    return WeightTable(
        rows=(
            Row("embedding.weight", "transformer.wte.weight"),
            Row("positions.weight", "transformer.wpe.weight"),
            Row(ours + "mixer_norm.{w}", theirs + "ln_1.{w}"),
            Row(ours + "mixer.query.{w}", theirs + "attn.attention.q_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.key.{w}", theirs + "attn.attention.k_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.value.{w}", theirs + "attn.attention.v_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.output.{w}", theirs + "attn.attention.out_proj.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.{w}", theirs + "ln_2.{w}"),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.c_fc.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.c_proj.{w}", TRANSPOSED),
            Row("norm.{w}", "transformer.ln_f.{w}"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        ignored=("h.*.attn.attention.bias", "h.*.attn.attention.masked_bias"),
        prefix="transformer.",
        tied=("lm_head.weight", "transformer.wte.weight"),
    )
