"""Mamba: selective state spaces in place of attention and feed-forward part, RMSNorm before each, a tied head.

Read in the layout of the transformers library and in the authors' own (d_model, n_layer, `backbone.embedding.weight`;
their config.json lacks `"model_type": "mamba"`, which has to be added). The residual stream is float32 in any case.
Source: Gu & Dao 2023, arXiv:2312.00752. Initialisation as in the authors' code: embeddings N(0, 0.02), matrices as
torch draws them, the output projection over √layers; configs that the transformers library wrote say otherwise
(initializer_range 0.1, rescale_prenorm_residual false) and are heeded.
"""

from __future__ import annotations

import math
from typing import Any

from ..layers import BranchSpec, LayerSpec, Normal, NormSpec
from ..layers.mamba import MambaSpec, StepBias
from ..models.spec import ModelSpec
from .published.config import Config
from .published.layouts import DEPTHWISE, TRANSPOSED, Fused
from .published.weights import Row, WeightTable

MODEL_TYPES = ("mamba",)
ARCHITECTURE = "MambaForCausalLM"
# fmt: off
DEFAULTS = {
    "vocab_size": 50280, "hidden_size": 768, "num_hidden_layers": 24, "state_size": 16, "expand": 2, "conv_kernel": 4,
    "time_step_rank": "auto", "use_bias": False, "use_conv_bias": True, "hidden_act": "silu",
    "layer_norm_epsilon": 1e-5, "residual_in_fp32": True, "tie_word_embeddings": True, "initializer_range": 0.02,
    "rescale_prenorm_residual": True, "time_step_scale": 1.0, "time_step_min": 0.001, "time_step_max": 0.1,
    "time_step_floor": 1e-4, "time_step_init_scheme": "random", "bos_token_id": None, "eos_token_id": None,
}
# fmt: on
ALIASES = {"d_model": "hidden_size", "n_layer": "num_hidden_layers"}
SIZES = {
    "mamba-130m": {"num_hidden_layers": 24, "hidden_size": 768},
    "mamba-370m": {"num_hidden_layers": 48, "hidden_size": 1024},
    "mamba-790m": {"num_hidden_layers": 48, "hidden_size": 1536},
    "mamba-1.4b": {"num_hidden_layers": 48, "hidden_size": 2048},
    "mamba-2.8b": {"num_hidden_layers": 64, "hidden_size": 2560},
}
# Says how fresh weights are drawn; the transformers library would divide loaded ones once more.
AS_SAVED = {"rescale_prenorm_residual": False}
TRAINED_LENGTH = 2048  # nothing in the architecture enforces it


def respell(config: dict[str, Any]) -> dict[str, Any]:
    """The authors' files pad the table of embeddings, and say so beside a vocab_size that is not padded."""
    size, multiple = config.get("vocab_size"), config.get("pad_vocab_size_multiple")
    if type(size) is not int or type(multiple) is not int or multiple < 1:
        return config  # nothing to do, or for the reader to complain about
    return {**config, "vocab_size": -(-size // multiple) * multiple, "pad_vocab_size_multiple": None}


def spec_from_config(config: Config) -> ModelSpec:
    """The design of a Mamba."""
    hidden, depth = config.size("hidden_size"), config.size("num_hidden_layers", most=10_000)
    inner = hidden * config.size("expand")
    config.only("intermediate_size", None, inner)
    config.only("d_inner", None, inner)
    rank = -(-hidden // 16) if config.get("time_step_rank") == "auto" else config.size("time_step_rank")
    config.choice("hidden_act", {"silu": None, "swish": None})
    config.only("rms_norm", None, True)
    config.only("ssm_cfg", None, {})
    config.flag("residual_in_fp32")
    config.ignore("fused_add_norm", "use_mambapy", "use_associative_scan")  # ways to compute the same
    smallest = config.number("time_step_min", above=0.0)
    mixer = MambaSpec(
        hidden_size=hidden,
        inner_size=inner,
        state_size=config.size("state_size"),
        rank=rank,
        convolution_width=config.size("conv_kernel"),
        bias=config.flag("use_bias"),
        convolution_bias=config.flag("use_conv_bias"),
        step=StepBias(
            smallest,
            config.number("time_step_max", least=smallest),
            config.number("time_step_floor", above=0.0),
        ),
        step_weight_bound=config.number("time_step_scale", least=0.0) / math.sqrt(rank),
        step_weight_constant=config.choice("time_step_init_scheme", {"random": False, "constant": True}),
        output_scale=1.0 / math.sqrt(depth) if config.flag("rescale_prenorm_residual") else 1.0,
    )
    norm = NormSpec(hidden, "rms", config.number("layer_norm_epsilon", least=0.0))
    init = Normal(config.number("initializer_range", least=0.0))
    config.only("pad_vocab_size_multiple", None)  # see respell
    return ModelSpec(
        vocab_size=config.size("vocab_size"),
        hidden_size=hidden,
        layers=(LayerSpec((BranchSpec({"mixer": mixer}, norms_before=(norm,)),)),) * depth,
        norm=norm,
        context_length=TRAINED_LENGTH,
        tied=config.flag("tie_word_embeddings"),
        embedding_init=init,
        head_init=init,
    )


def weights_from_config(config: Config) -> WeightTable:
    """Which tensor is which."""
    ours, theirs = "layers.{i}.", "backbone.layers.{i}."
    return WeightTable(
        rows=(
            Row("embedding.weight", "backbone.embeddings.weight"),
            Row(ours + "mixer_norm.weight", theirs + "norm.weight"),
            Row((ours + "mixer.input.{w}", ours + "mixer.gate.{w}"), theirs + "mixer.in_proj.{w}", Fused()),
            Row(ours + "mixer.convolution.weight", theirs + "mixer.conv1d.weight", DEPTHWISE),
            Row(ours + "mixer.convolution.bias", theirs + "mixer.conv1d.bias"),
            Row(ours + "mixer.selection.weight", theirs + "mixer.x_proj.weight", TRANSPOSED),
            Row(ours + "mixer.step.{w}", theirs + "mixer.dt_proj.{w}", TRANSPOSED),
            Row(ours + "mixer.A_log", theirs + "mixer.A_log"),
            Row(ours + "mixer.D", theirs + "mixer.D"),
            Row(ours + "mixer.output.{w}", theirs + "mixer.out_proj.{w}", TRANSPOSED),
            Row("norm.weight", "backbone.norm_f.weight"),
            Row("head.weight", "lm_head.weight", TRANSPOSED),
        ),
        prefix="backbone.",
        tied=("lm_head.weight", "backbone.embeddings.weight"),
        renamed=(("backbone.embedding.weight", "backbone.embeddings.weight"),),
    )
