"""Mistral 7B: LLaMA's block with grouped queries and, in v0.1, a sliding window.

A query sees itself and the `sliding_window` - 1 tokens before it (0 <= i - j < W, as in the transformers library and
flash-attention; Mistral's own one-file code lets prompts see one more). v0.2 has no window and a rotary base of 1e6.
Source: Jiang et al. 2023, arXiv:2310.06825. Initialisation: N(0, initializer_range), as in the transformers library.
"""

from __future__ import annotations

from ..models.spec import ModelSpec
from . import llama
from ._relatives import with_attention
from .published.config import Config

MODEL_TYPES = ("mistral",)
ARCHITECTURE = "MistralForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": None, "hidden_act": "silu",
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None,
    "sliding_window": 4096, "tie_word_embeddings": False, "initializer_range": 0.02, "bos_token_id": 1,
    "eos_token_id": 2,
}
# fmt: on
SIZES = {"mistral-7b": {}, "mistral-7b-v0.2": {"sliding_window": None, "rope_theta": 1e6}}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Mistral: a LLaMA with a window."""
    for name in ("attention_bias", "mlp_bias"):
        config.only(name, False)
    spec = llama.spec_from_config(config)
    window = None if config.get("sliding_window") is None else config.size("sliding_window")
    return with_attention(spec, [{"window": window}] * len(spec.layers))


from_scratch = llama.from_scratch
weights_from_config = llama.weights_from_config
