"""Phi-1, 1.5 and 2: attention and feed-forward part in parallel behind one shared LayerNorm, biases on all matrices.

Half of each head is rotary, 40% in Phi-2; the head has a bias too, as GPT-J's has. Sources: Gunasekar et al. 2023,
arXiv:2306.11644; Li et al. 2023, arXiv:2309.05463; Microsoft 2023. Initialisation: N(0, initializer_range), as in the
transformers library. attention_dropout is 0 in all releases and not applied. Read is the layout of the transformers
library; the files of the first weeks (`phi-msft`) held query, key and value in one tensor.
"""

from __future__ import annotations

from typing import Any

from ..layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec
from ..models.spec import ModelSpec
from ._activations import ACTIVATIONS
from ._relatives import rotary_from_config
from .published.config import Config
from .published.layouts import TRANSPOSED
from .published.weights import Row, WeightTable

MODEL_TYPES = ("phi",)
ARCHITECTURE = "PhiForCausalLM"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 51200, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": None, "hidden_act": "gelu_new", "max_position_embeddings": 2048,
    "layer_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "partial_rotary_factor": 0.5,
    "qk_layernorm": False, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "initializer_range": 0.02,
    "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
_TWO = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32, "resid_pdrop": 0.1}
SIZES = {"phi-1": {}, "phi-1.5": {}, "phi-2": {**_TWO, "partial_rotary_factor": 0.4}}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Phi."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    config.divides("num_attention_heads", heads, "hidden_size", hidden)
    head_dim, shared = hidden // heads, config.size_or("num_key_value_heads", heads)
    config.divides("num_key_value_heads", shared, "num_attention_heads", heads)
    config.ignore("attention_dropout")
    rotary = rotary_from_config(config, int(head_dim * config.number("partial_rotary_factor", above=0.0)))
    init = Normal(config.number("initializer_range", least=0.0))
    inits: dict[str, Any] = {"init": init, "output_init": init}
    eps, dropout = config.number("layer_norm_eps", least=0.0), config.number("resid_pdrop", least=0.0, below=1.0)
    norm, each = NormSpec(hidden, "layer", eps), NormSpec(head_dim, "layer", eps)
    norms: dict[str, Any] = {"query_norm": each, "key_norm": each} if config.flag("qk_layernorm") else {}
    attention = AttentionSpec(
        hidden, heads, shared, head_dim, bias=True, output_bias=True, rotary=rotary, **norms, **inits
    )
    width, activation = config.size_or("intermediate_size", 4 * hidden), config.choice("hidden_act", ACTIVATIONS)
    layer = LayerSpec.parallel(attention, FeedForwardSpec(hidden, width, activation, **inits), norm, dropout=dropout)
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(layer,) * config.size("num_hidden_layers", most=10_000),
        norm=norm,
        context_length=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings"),
        head_bias=True,
        embedding_dropout=config.number("embd_pdrop", least=0.0, below=1.0),
        embedding_init=init,
        head_init=init,
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "model.layers.{i}."
    matrices = {"mixer.query": "self_attn.q_proj", "mixer.key": "self_attn.k_proj", "mixer.value": "self_attn.v_proj"}
    matrices |= {"mixer.output": "self_attn.dense", "feed_forward.up": "mlp.fc1", "feed_forward.down": "mlp.fc2"}
    return WeightTable(
        rows=(
            Row("embedding.weight", "model.embed_tokens.weight"),
            Row(ours + "mixer_norm.{w}", theirs + "input_layernorm.{w}"),
            *(Row(f"{ours}{a}.{{w}}", f"{theirs}{b}.{{w}}", TRANSPOSED) for a, b in matrices.items()),
            Row(ours + "mixer.query_norm.{w}", theirs + "self_attn.q_layernorm.{w}"),
            Row(ours + "mixer.key_norm.{w}", theirs + "self_attn.k_layernorm.{w}"),
            Row("norm.{w}", "model.final_layernorm.{w}"),
            Row("head.{w}", "lm_head.{w}", TRANSPOSED),
        ),
        ignored=("layers.*.self_attn.rotary_emb.inv_freq",),
        prefix="model.",
        tied=("lm_head.weight", "model.embed_tokens.weight"),
    )
