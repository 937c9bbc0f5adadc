"""LLaMA 1 and 2, and what shares their layout (XGen, Yi, SOLAR, SmolLM): pre-RMSNorm, rotary, SwiGLU, no biases.

Checkpoints in the Hugging Face layout store query and key for half-split rotary pairs; Meta's own files interleave
them. Sources: Touvron et al. 2023, arXiv:2302.13971 and arXiv:2307.09288. Initialisation: N(0, initializer_range)
everywhere, as in the transformers library (the papers are silent). attention_dropout is 0 in all releases and not
applied.
"""

from __future__ import annotations

from ...layers import AttentionSpec, FeedForwardSpec, LayerSpec, Normal, NormSpec, Rotary
from ..config import Config
from ..layouts import TRANSPOSED
from ..spec import ModelSpec
from ..weights import Row, WeightTable
from ._activations import ACTIVATIONS

MODEL_TYPES = ("llama",)
ARCHITECTURE = "LlamaForCausalLM"
DEFAULTS = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "bos_token_id": None,
    "eos_token_id": None,
}


def _size(hidden: int, heads: int, layers: int, intermediate: int, **more: object) -> dict[str, object]:
    return {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "intermediate_size": intermediate,
        **more,
    }


_TWO = {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5}
SIZES = {
    "llama-7b": _size(4096, 32, 32, 11008),
    "llama-13b": _size(5120, 40, 40, 13824),
    "llama-33b": _size(6656, 52, 60, 17920),
    "llama-65b": _size(8192, 64, 80, 22016, rms_norm_eps=1e-5),
    "llama-2-7b": _size(4096, 32, 32, 11008, **_TWO),
    "llama-2-13b": _size(5120, 40, 40, 13824, **_TWO),
    "llama-2-70b": _size(8192, 64, 80, 28672, num_key_value_heads=8, **_TWO),
}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a LLaMA."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    if config.get("head_dim") is None:
        config.divides("num_attention_heads", heads, "hidden_size", hidden)
    head_dim = config.size_or("head_dim", hidden // heads)
    if head_dim % 2:
        raise config.error(f"rotary positions turn pairs, so the width of a head must be even, not {head_dim}")
    key_value_heads = config.size_or("num_key_value_heads", heads)
    config.divides("num_key_value_heads", key_value_heads, "num_attention_heads", heads)
    base, factor = config.rotary()
    init, bias = Normal(config.number("initializer_range", least=0.0)), config.flag("attention_bias")
    config.ignore("attention_dropout")
    norm = NormSpec(hidden, "rms", config.number("rms_norm_eps", least=0.0))
    attention = AttentionSpec(
        hidden,
        heads,
        key_value_heads,
        head_dim,
        bias=bias,
        output_bias=bias,
        rotary=Rotary(head_dim, base, factor=factor),
        init=init,
        output_init=init,
    )
    feed_forward = FeedForwardSpec(
        hidden,
        config.size("intermediate_size"),
        config.choice("hidden_act", ACTIVATIONS),
        gated=True,
        bias=config.flag("mlp_bias"),
        init=init,
        output_init=init,
    )
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec.sequential(attention, feed_forward, norm),) * config.size("num_hidden_layers", most=10_000),
        norm=norm,
        context_length=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings"),
        embedding_init=init,
        head_init=init,
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "model.layers.{i}."
    pairs = {
        "mixer.query": "self_attn.q_proj",
        "mixer.key": "self_attn.k_proj",
        "mixer.value": "self_attn.v_proj",
        "mixer.output": "self_attn.o_proj",
        "feed_forward.gate": "mlp.gate_proj",
        "feed_forward.up": "mlp.up_proj",
        "feed_forward.down": "mlp.down_proj",
    }
    return WeightTable(
        rows=(
            Row("embedding.weight", "model.embed_tokens.weight"),
            Row(ours + "mixer_norm.weight", theirs + "input_layernorm.weight"),
            *(Row(ours + a + ".{w}", theirs + b + ".{w}", TRANSPOSED) for a, b in pairs.items()),
            Row(ours + "feed_forward_norm.weight", theirs + "post_attention_layernorm.weight"),
            Row("norm.weight", "model.norm.weight"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        ignored=("layers.*.self_attn.rotary_emb.inv_freq",),
        prefix="model.",
        tied=("lm_head.weight", "model.embed_tokens.weight"),
    )
