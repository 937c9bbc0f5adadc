"""DeciLM: LLaMA's block with a number of key-value heads chosen for each layer, and a rotary base that rises.

`num_key_value_heads_per_layer` was found by an architecture search (AutoNAC). Source: Deci 2023, model cards of
DeciLM-6b and DeciLM-7B. Initialisation: N(0, initializer_range), as for LLaMA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models.spec import ModelSpec
from . import llama
from ._relatives import with_attention
from .published.config import Config
from .published.sizes import grouped, thinned

MODEL_TYPES = ("deci", "decilm")
ARCHITECTURE = "DeciLMForCausalLM"
_SEVEN = [4] * 5 + [2] * 5 + [4] + [2] * 9 + [1] * 11 + [4]
_SIX = [4] + [2] * 9 + [1] * 20 + [4, 4]
# fmt: off
DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads_per_layer": _SEVEN, "hidden_act": "silu",
    "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "rope_scaling": {"type": "dynamic", "factor": 2.0}, "attention_bias": False, "tie_word_embeddings": False,
    "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2,
}
_OLD = {"intermediate_size": 11008, "max_position_embeddings": 4096, "num_key_value_heads_per_layer": _SIX}
# fmt: on
SIZES = {"decilm-7b": {}, "decilm-6b": _OLD}


def resized(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """Layers evenly chosen, each with the same share of key-value heads."""
    counts = thinned(config["num_key_value_heads_per_layer"], sizes["layers"])
    heads = config["num_attention_heads"], sizes["heads"]
    return {"num_key_value_heads_per_layer": [grouped(count, *heads) for count in counts]}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a DeciLM: a LLaMA whose layers have key-value heads of their own number."""
    for name, value in (("mlp_bias", False), ("num_key_value_heads", None), ("head_dim", None)):
        config.only(name, value)
    config.ignore("naive_attention_prefill", "naive_attention_decode_batched", "naive_attention_decode_single")
    spec = llama.spec_from_config(config)
    counts, heads = config.get("num_key_value_heads_per_layer"), config.size("num_attention_heads")
    if not isinstance(counts, (list, tuple)) or any(isinstance(n, bool) or not isinstance(n, int) for n in counts):
        raise config.error(f"num_key_value_heads_per_layer must be a list of integers, not {counts!r}", TypeError)
    if len(counts) != len(spec.layers):
        raise config.error(f"num_key_value_heads_per_layer names {len(counts)} layers, there are {len(spec.layers)}")
    for count in counts:
        if count < 1 or heads % count:
            raise config.error(
                f"num_key_value_heads_per_layer: {heads} query heads cannot be shared out among {count} key-value heads"
            )
    return with_attention(spec, [{"key_value_heads": count} for count in counts])


weights_from_config = llama.weights_from_config
