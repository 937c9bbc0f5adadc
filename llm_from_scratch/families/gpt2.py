"""GPT-2: pre-LayerNorm, learned positions, fused query-key-value, a head tied to the embedding, biases everywhere.

Matrices are stored (in, out), as ours are. Source: Radford et al. 2019. Initialisation: N(0, 0.02), positions 0.01
(the original code; the transformers library draws them at 0.02), residual projections 0.02/√(2L). attn_pdrop is not
applied: the attention never holds the probabilities it would act on.
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec
from ..models.spec import ModelSpec, PositionTable
from ._activations import ACTIVATIONS
from .published.config import Config
from .published.layouts import TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("gpt2",)
ARCHITECTURE = "GPT2LMHeadModel"
# fmt: off
DEFAULTS = {
    "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
    "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.02,
    "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1, "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": None,
}
# fmt: on
SIZE_KEYS = {"layers": "n_layer", "width": "n_embd", "heads": "n_head", "feed_forward": "n_inner"}
SIZE_KEYS |= {"context": "n_positions"}
SIZES = {
    "gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12},
    "gpt2-medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16},
    "gpt2-large": {"n_layer": 36, "n_embd": 1280, "n_head": 20},
    "gpt2-xl": {"n_layer": 48, "n_embd": 1600, "n_head": 25},
}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a GPT-2."""
    hidden, heads, depth = config.size("n_embd"), config.size("n_head"), config.size("n_layer", most=10_000)
    config.divides("n_head", heads, "n_embd", hidden)
    positions = config.size("n_positions")
    config.only("n_ctx", None, positions)  # says the same a second time
    # These leave the numbers as they are.
    config.ignore("attn_pdrop", "reorder_and_upcast_attn")
    std, dropout = config.number("initializer_range", least=0.0), config.number("resid_pdrop", least=0.0, below=1.0)
    inits: dict[str, Any] = {"init": Normal(std), "output_init": Normal(std / math.sqrt(2 * depth))}
    norm = NormSpec(hidden, "layer", config.number("layer_norm_epsilon", least=0.0))
    width, activation = config.size_or("n_inner", 4 * hidden), config.choice("activation_function", ACTIVATIONS)
    feed_forward = FeedForwardSpec(hidden, width, activation, **inits)
    scale = 1.0 / math.sqrt(hidden // heads) if config.flag("scale_attn_weights") else 1.0
    by_layer = config.flag("scale_attn_by_inverse_layer_idx")
    layers = []
    for number in range(1, depth + 1):
        shape: tuple[int, int, int, int] = (hidden, heads, heads, hidden // heads)
        own = scale / number if by_layer else scale
        attention = AttentionSpec(*shape, bias=True, output_bias=True, scale=own, **inits)
        layers.append(LayerSpec.sequential(attention, feed_forward, norm, dropout=dropout))
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=tuple(layers),
        norm=norm,
        context_length=positions,
        tied=config.flag("tie_word_embeddings"),
        positions=PositionTable(positions, init=Normal(std / 2)),
        embedding_dropout=config.number("embd_pdrop", least=0.0, below=1.0),
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
            Row("positions.weight", "transformer.wpe.weight"),
            Row(ours + "mixer_norm.{w}", theirs + "ln_1.{w}"),
            Row(fused, theirs + "attn.c_attn.{w}", Fused(outputs_first=False)),
            Row(ours + "mixer.output.{w}", theirs + "attn.c_proj.{w}"),
            Row(ours + "feed_forward_norm.{w}", theirs + "ln_2.{w}"),
            Row(ours + "feed_forward.up.{w}", theirs + "mlp.c_fc.{w}"),
            Row(ours + "feed_forward.down.{w}", theirs + "mlp.c_proj.{w}"),
            Row("norm.{w}", "transformer.ln_f.{w}"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        ignored=("h.*.attn.bias", "h.*.attn.masked_bias"),
        prefix="transformer.",
        tied=("lm_head.weight", "transformer.wte.weight"),
    )
