"""OPT and Galactica: pre-LayerNorm (OPT-350M: post), learned positions, ReLU (Galactica: GELU), tied head.

Two rows of the position table precede position 0: the first is never used, the second belonged to padding, which no
token sees here. The 350M model embeds at a smaller width (`word_embed_proj_dim`) and has no final norm. Galactica's
paper has no biases and no learned norms, its published checkpoints have both or neither: all four combinations load.

`attention_band: W` is ours: Fourrier's review of 2023 credits OPT with GPT-3's alternation of dense and locally banded
layers, while the released code and weights are dense throughout. With it, odd layers see the last W tokens only.

Sources: Zhang et al. 2022, arXiv:2205.01068; Taylor et al. 2022, arXiv:2211.09085. Initialisation as in the paper:
N(0, 0.006), what adds to the residual scaled by 1/√(2L), biases 0 (published configs say init_std 0.02).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..layers import AttentionSpec, BranchSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec
from ..models.spec import ModelSpec, PositionTable
from ._activations import ACTIVATIONS
from .published.config import Config
from .published.layouts import TRANSPOSED
from .published.weights import Row, WeightTable

MODEL_TYPES = ("opt",)
ARCHITECTURE = "OPTForCausalLM"
# fmt: off
DEFAULTS: dict[str, Any] = {
    "vocab_size": 50272, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072,
    "max_position_embeddings": 2048, "do_layer_norm_before": True, "_remove_final_layer_norm": False,
    "word_embed_proj_dim": None, "dropout": 0.1, "attention_dropout": 0.0, "activation_function": "relu",
    "layerdrop": 0.0, "init_std": 0.006, "enable_bias": True, "layer_norm_elementwise_affine": True,
    "tie_word_embeddings": True, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2, "attention_band": None,
}
# fmt: on
SIZE_KEYS = {"feed_forward": "ffn_dim"}
_KEYS = ("num_hidden_layers", "num_attention_heads", "hidden_size", "ffn_dim")
_POST = {"do_layer_norm_before": False, "word_embed_proj_dim": 512}
_GALACTICA = {"vocab_size": 50000, "activation_function": "gelu", "bos_token_id": 0}


def _size(layers: int, heads: int, hidden: int) -> dict[str, int]:
    return dict(zip(_KEYS, (layers, heads, hidden, 4 * hidden), strict=True))


SIZES: dict[str, dict[str, Any]] = {
    "opt-125m": _size(12, 12, 768),
    "opt-350m": _size(24, 16, 1024) | _POST,
    "opt-1.3b": _size(24, 32, 2048),
    "opt-2.7b": _size(32, 32, 2560),
    "opt-6.7b": _size(32, 32, 4096),
    "opt-13b": _size(40, 40, 5120),
    "opt-30b": _size(48, 56, 7168),
    "opt-66b": _size(64, 72, 9216),
    "opt-175b": _size(96, 96, 12288),
    "galactica-125m": _size(12, 12, 768) | _GALACTICA,
    "galactica-1.3b": _size(24, 32, 2048) | _GALACTICA,
    "galactica-6.7b": _size(32, 32, 4096) | _GALACTICA,
    "galactica-30b": _size(48, 56, 7168) | _GALACTICA,
    "galactica-120b": _size(96, 80, 10240) | _GALACTICA,
}


def resized(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """A factorised embedding keeps its share of the width."""
    narrow = config["word_embed_proj_dim"]
    return {} if narrow is None else {"word_embed_proj_dim": sizes["width"] * narrow // config["hidden_size"]}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of an OPT."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides("num_attention_heads", heads, "hidden_size", hidden)
    depth, positions = config.size("num_hidden_layers", most=10_000), config.size("max_position_embeddings")
    bias, std = config.flag("enable_bias"), config.number("init_std", least=0.0)
    affine = config.flag("layer_norm_elementwise_affine")
    norm = NormSpec(hidden, "layer", weight=affine, bias=affine)
    pre, dropout = config.flag("do_layer_norm_before"), config.number("dropout", least=0.0, below=1.0)
    final = not config.flag("_remove_final_layer_norm") and pre
    # Dropout of attention maps is 0 in all releases; layerdrop too, and acts in training alone.
    config.ignore("attention_dropout", "layerdrop", "activation_dropout")
    inits: dict[str, Any] = {"init": Normal(std), "output_init": Normal(std / math.sqrt(2 * depth))}
    activation = config.choice("activation_function", ACTIVATIONS)
    feed_forward = FeedForwardSpec(hidden, config.size("ffn_dim"), activation, bias=bias, **inits)
    band = None if config.get("attention_band") is None else config.size("attention_band")

    def layer(number: int) -> LayerSpec:
        shape = (hidden, heads, heads, hidden // heads)
        window = band if number % 2 else None
        attention = AttentionSpec(*shape, bias=bias, output_bias=bias, window=window, **inits)
        place: dict[str, Any] = {"norms_before": (norm,)} if pre else {"norm_after": norm}
        parts: dict[str, Any] = {"mixer": attention, "feed_forward": feed_forward}
        return LayerSpec(tuple(BranchSpec({name: part}, dropout=dropout, **place) for name, part in parts.items()))

    width = config.size_or("word_embed_proj_dim", hidden)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=tuple(layer(number) for number in range(depth)),
        norm=norm if final else None,
        context_length=positions,
        tied=config.flag("tie_word_embeddings"),
        positions=PositionTable(positions, offset=2, init=Normal(std)),
        embedding_size=None if width == hidden else width,
        embedding_init=Normal(std),
        head_init=Normal(std),
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which. The norm before (or after) the feed-forward part is called final_layer_norm, too."""
    ours, theirs = "layers.{i}.", "model.decoder.layers.{i}."
    after = "" if config.flag("do_layer_norm_before") else "_after"
    return WeightTable(
        rows=(
            Row("embedding.weight", "model.decoder.embed_tokens.weight"),
            Row("embedding_projection.weight", "model.decoder.project_in.weight", TRANSPOSED),
            Row("positions.weight", "model.decoder.embed_positions.weight"),
            Row(ours + f"mixer_norm{after}.{{w}}", theirs + "self_attn_layer_norm.{w}"),
            Row(ours + "mixer.query.{w}", theirs + "self_attn.q_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.key.{w}", theirs + "self_attn.k_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.value.{w}", theirs + "self_attn.v_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.output.{w}", theirs + "self_attn.out_proj.{w}", TRANSPOSED),
            Row(ours + f"feed_forward_norm{after}.{{w}}", theirs + "final_layer_norm.{w}"),
            Row(ours + "feed_forward.up.{w}", theirs + "fc1.{w}", TRANSPOSED),
            Row(ours + "feed_forward.down.{w}", theirs + "fc2.{w}", TRANSPOSED),
            Row("norm.{w}", "model.decoder.final_layer_norm.{w}"),
            Row("head_projection.weight", "model.decoder.project_out.weight", TRANSPOSED),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        prefix="model.",
        tied=("lm_head.weight", "model.decoder.embed_tokens.weight"),
    )
