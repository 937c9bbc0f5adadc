"""Mixtral: Mistral's block with eight feed-forward parts a layer, of which a router chooses two for each token.

The load-balancing loss joins `model.loss` in training when `output_router_logits` is true, as in the transformers
library; released configs say false, fresh models say true unless told otherwise. The first release carried Mistral's
`sliding_window` 4096 by mistake: with its context of 32768 it is taken for none. Source: Jiang et al. 2024,
arXiv:2401.04088. Initialisation: N(0, initializer_range) everywhere, as in the transformers library.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ..layers import LayerSpec, MixtureSpec, Normal
from ..models.spec import ModelSpec
from . import llama
from ._stacked import ExpertTable
from .published.config import Config
from .published.layouts import TRANSPOSED
from .published.weights import Row, WeightTable

MODEL_TYPES = ("mixtral",)
ARCHITECTURE = "MixtralForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": None, "hidden_act": "silu",
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 1e6, "rope_scaling": None,
    "sliding_window": None, "num_local_experts": 8, "num_experts_per_tok": 2, "output_router_logits": True,
    "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "tie_word_embeddings": False,
    "initializer_range": 0.02, "bos_token_id": 1, "eos_token_id": 2,
}
# fmt: on
ALIASES = {"num_experts": "num_local_experts"}
SIZES = {"mixtral-8x7b": {"max_position_embeddings": 32768, "router_aux_loss_coef": 0.02}}
_FIRST_RELEASE = (4096, 32768)  # sliding_window and max_position_embeddings of a model that was trained without window


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Mixtral: a LLaMA whose feed-forward parts are mixtures."""
    for name in ("attention_bias", "mlp_bias"):
        config.only(name, False)
    config.only("router_jitter_noise", None, 0, 0.0)
    spec = llama.spec_from_config(config)
    window = None if config.get("sliding_window") is None else config.size("sliding_window")
    if (window, spec.context_length) == _FIRST_RELEASE:
        window = None
    experts, chosen = config.size("num_local_experts", most=10_000), config.size("num_experts_per_tok")
    if chosen > experts:
        raise config.error(f"num_experts_per_tok is {chosen}, but num_local_experts only {experts}")
    asked, weight = config.flag("output_router_logits"), config.number("router_aux_loss_coef", least=0.0)
    settings: dict[str, Any] = {"experts": experts, "chosen": chosen, "balance": weight if asked else 0.0}
    settings["router_init"] = Normal(config.number("initializer_range"))

    def mixed(layer: LayerSpec) -> LayerSpec:
        first, second = layer.branches
        attention: Any = first.functions["mixer"]
        expert: Any = second.functions["feed_forward"]
        mixture = MixtureSpec(expert, **settings)
        first = dataclasses.replace(first, functions={"mixer": dataclasses.replace(attention, window=window)})
        return LayerSpec((first, dataclasses.replace(second, functions={"feed_forward": mixture})))

    return spec.replace(layers=(mixed(spec.layers[0]),) * len(spec.layers))


from_scratch = llama.from_scratch


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which: LLaMA's, but for the feed-forward parts."""
    base = llama.weights_from_config(config)
    ours, theirs = "layers.{i}.feed_forward.", "model.layers.{i}.block_sparse_moe."
    rows = (
        *(row for row in base.rows if ".mlp." not in row.theirs),
        Row(ours + "router.weight", theirs + "gate.weight", TRANSPOSED),
        Row(ours + "experts.{n}.gate.weight", theirs + "experts.{n}.w1.weight", TRANSPOSED),
        Row(ours + "experts.{n}.down.weight", theirs + "experts.{n}.w2.weight", TRANSPOSED),
        Row(ours + "experts.{n}.up.weight", theirs + "experts.{n}.w3.weight", TRANSPOSED),
    )
    router = ("model.layers.{i}.mlp.gate.weight", theirs + "gate.weight")
    return ExpertTable(rows=rows, ignored=base.ignored, prefix=base.prefix, tied=base.tied, renamed=(router,))
