"""GLM-130B: the residual is the normed stream times α (DeepNorm as coded), rotary, GeGLU, biases everywhere, tied head.

Each layer is h = norm(x), x = α h + f(h), twice, with α = √(2L): the norm stands before the branch, but what it gives
is also the residual, which is DeepNorm's x ← norm(α x + f(x)) cut at another place. The feed-forward part is
x₁ · gelu(x₂), the exact GELU. Query, key and value are fused head by head, and rotary turns the whole head in halves.
The model fills blanks: a context that sees itself in both directions, then the missing text from left to right; see
`data.infilling` for training examples and `generation.fill_blanks`.

Sources: Zeng et al. 2022, arXiv:2210.02414, and the released code; DeepNorm: Wang et al. 2022, arXiv:2203.00555.
Initialisation: Xavier-normal, with gain β = 1/√(2L) on the feed-forward part, values and output; the embedding is
N(0, 0.02²), as the released code's default has it. attention_dropout is not applied. Options of this package's own:
deepnorm_alpha (null: √(2L)), hidden_dropout, and embedding_gradient_scale, the paper's remedy against spikes of the
loss, 0.1 in training, which released configs do not mention.
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import AttentionSpec, BranchSpec, FeedForwardSpec, LayerSpec, NormSpec, Rotary, XavierNormal
from ..models.spec import ModelSpec
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("glm130b", "glm")
ARCHITECTURE = "GLM130B"
# fmt: off
DEFAULTS: dict[str, Any] = {
    "vocab_size": 150528, "hidden_size": 12288, "num_layers": 70, "num_attention_heads": 96,
    "inner_hidden_size": 32768, "max_sequence_length": 2048, "layernorm_order": "post", "layernorm_epsilon": 1e-5,
    "position_encoding_2d": False, "deepnorm_alpha": None, "hidden_dropout": 0.0, "embedding_gradient_scale": 1.0,
}
# fmt: on
SIZE_KEYS = {"layers": "num_layers", "feed_forward": "inner_hidden_size", "context": "max_sequence_length"}
SIZES = {"glm-130b": {"hidden_dropout": 0.1, "embedding_gradient_scale": 0.1}}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of GLM-130B."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides("num_attention_heads", heads, "hidden_size", hidden)
    depth, head_dim = config.size("num_layers", most=10_000), hidden // heads
    if head_dim % 2:
        raise config.error(f"rotary positions turn pairs, so the width of a head must be even, not {head_dim}")
    config.only("layernorm_order", "post")
    config.only("position_encoding_2d", False)  # two streams of positions: a later model's
    config.ignore("attention_dropout")
    alpha = math.sqrt(2 * depth)
    if config.get("deepnorm_alpha") is not None:
        alpha = config.number("deepnorm_alpha", above=0.0)
    plain, deep = XavierNormal(), XavierNormal(1 / math.sqrt(2 * depth))
    attention = AttentionSpec(
        hidden, heads, heads, head_dim, bias=True, output_bias=True, rotary=Rotary(head_dim),
        init=plain, value_init=deep, output_init=deep,
    )  # fmt: skip
    inner = config.size("inner_hidden_size")
    feed_forward = FeedForwardSpec(hidden, inner, "gelu", gated=True, init=deep, output_init=deep)
    norm = NormSpec(hidden, "layer", config.number("layernorm_epsilon", least=0.0))
    dropout = config.number("hidden_dropout", least=0.0, below=1.0)
    settings: dict[str, Any] = {"norms_before": (norm,), "alpha": alpha, "residual_is_normed": True, "dropout": dropout}
    layer = LayerSpec(
        (BranchSpec({"mixer": attention}, **settings), BranchSpec({"feed_forward": feed_forward}, **settings))
    )
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(layer,) * depth,
        norm=norm,
        context_length=config.size("max_sequence_length"),
        embedding_dropout=dropout,
        embedding_gradient_scale=config.number("embedding_gradient_scale", least=0.0),
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "transformer.layers.{i}."
    fused = tuple(f"{ours}mixer.{part}.{{w}}" for part in ("query", "key", "value"))
    doubled = (ours + "feed_forward.up.{w}", ours + "feed_forward.gate.{w}")  # x₁ and x₂
    return WeightTable(
        rows=(
            Row("embedding.weight", "transformer.word_embeddings.weight"),
            Row(ours + "mixer_norm.{w}", theirs + "input_layernorm.{w}"),
            Row(fused, theirs + "attention.query_key_value.{w}", Fused(groups=config.size("num_attention_heads"))),
            Row(ours + "mixer.output.{w}", theirs + "attention.dense.{w}", TRANSPOSED),
            Row(ours + "feed_forward_norm.{w}", theirs + "post_attention_layernorm.{w}"),
            Row(doubled, theirs + "mlp.dense_h_to_4h.{w}", Fused()),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.dense_4h_to_h.{w}", TRANSPOSED),
            Row("norm.{w}", "transformer.final_layernorm.{w}"),
        ),
        prefix="transformer.",
    )
