"""Qwen2 and Qwen1.5: LLaMA's block with biases on query, key and value only.

use_sliding_window (off in all releases) gives the layers from max_window_layers on a window. Source: Yang et al. 2024,
arXiv:2407.10671. Initialisation: N(0, initializer_range), as in the transformers library.
"""

from __future__ import annotations

from typing import Any

from ..models.spec import ModelSpec
from . import llama
from ._relatives import with_attention
from .published.config import Config

MODEL_TYPES = ("qwen2",)
ARCHITECTURE = "Qwen2ForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": None, "hidden_act": "silu",
    "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": None,
    "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28, "tie_word_embeddings": False,
    "initializer_range": 0.02, "bos_token_id": None, "eos_token_id": None,
}
# fmt: on
_KEYS = ("hidden_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers", "intermediate_size")
_TWO = {"rope_theta": 1e6, "max_position_embeddings": 131072}


def _size(*values: int) -> dict[str, Any]:
    return dict(zip(_KEYS, values, strict=True))


SIZES = {
    "qwen2-0.5b": _size(896, 14, 2, 24, 4864) | _TWO | {"tie_word_embeddings": True},
    "qwen2-1.5b": _size(1536, 12, 2, 28, 8960) | _TWO | {"tie_word_embeddings": True},
    "qwen2-7b": _size(3584, 28, 4, 28, 18944) | _TWO | {"vocab_size": 152064},
    "qwen2-72b": _size(8192, 64, 8, 80, 29568) | _TWO | {"vocab_size": 152064, "rms_norm_eps": 1e-5},
}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Qwen2: a LLaMA with three biases, and windows if wanted."""
    for name, value in (("attention_bias", False), ("mlp_bias", False), ("head_dim", None)):  # no options here
        config.only(name, value)
    spec = llama.spec_from_config(config)
    first, window = 0.0, None
    if config.flag("use_sliding_window") and config.get("sliding_window") is not None:
        window, first = config.size("sliding_window"), config.number("max_window_layers", least=0.0)
    config.ignore("sliding_window", "max_window_layers")
    windows = [window if i >= first else None for i in range(len(spec.layers))]
    # The current library writes the same down layer by layer.
    config.only("layer_types", None, ["sliding_attention" if w else "full_attention" for w in windows])
    return with_attention(spec, [{"bias": True, "window": w} for w in windows])


from_scratch = llama.from_scratch
weights_from_config = llama.weights_from_config
