"""The architectures of 2023 that the llama.cpp library knows under the names of these families.

Its feed-forward parts compute the GELU by tanh for all of them; where a config says otherwise, a file says so under
`hidden_act`, a key of ours that the library does not read (the two are 5e-4 apart at most).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import rows
from .facts import SIZES, Architecture, Fact, Header, Sizes

_LAYER_NORM, _RMS_NORM = "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"


def _norm(key: str, option: str) -> Fact:
    return Fact(key, option, lambda spec: spec.norm.eps if spec.norm else None, float)


def _base(option: str) -> Fact:
    return Fact("rope.freq_base", option, lambda spec: spec.mixers[0].rotary.base, float, 10000.0)


def _activation(option: str, default: str) -> Fact:
    """gelu or gelu_tanh, in the words of a config."""
    words = {"gelu": "gelu", "gelu_tanh": "gelu_new"}
    return Fact(
        "hidden_act", option, lambda spec: words.get(spec.feed_forwards[0].activation), str, default, told=False
    )


def _llama(config: dict[str, Any], sizes: Sizes, header: Header) -> Mapping[str, Any]:
    if sizes["head_dim"] * sizes["heads"] == sizes["width"]:
        config.pop("head_dim")
    if config["num_local_experts"]:
        return {}
    del config["num_local_experts"], config["num_experts_per_tok"]
    return {"attention_bias": "blk.0.attn_q.bias" in header.shapes, "mlp_bias": "blk.0.ffn_up.bias" in header.shapes}


def _qwen(config: dict[str, Any], sizes: Sizes, header: Header) -> Mapping[str, Any]:
    return {"kv_channels": sizes["head_dim"]}


def _falcon(config: dict[str, Any], sizes: Sizes, header: Header) -> Mapping[str, Any]:
    """7B's design is the newer one with a single key-value head and a single norm."""
    norms = 1 + ("blk.0.attn_norm_2.weight" in header.shapes)
    if norms == sizes["key_value_heads"] == 1:
        return {"multi_query": True, "parallel_attn": True}
    new = {"new_decoder_architecture": True, "num_ln_in_parallel_attn": norms}
    return {**new, "num_kv_heads": sizes["key_value_heads"]}


def _mpt(config: dict[str, Any], sizes: Sizes, header: Header) -> Mapping[str, Any]:
    ratio, rest = divmod(sizes["feed_forward"], sizes["width"])
    if rest:
        raise ValueError(f"mpt.feed_forward_length {sizes['feed_forward']} is no multiple of {sizes['width']}")
    limits = {"alibi_bias_max": config.pop("alibi_bias_max"), "clip_qkv": config.pop("clip_qkv") or None}
    return {"expansion_ratio": ratio, "attn_config": {**limits, "alibi": True}}


def _neox(config: dict[str, Any], sizes: Sizes, header: Header) -> Mapping[str, Any]:
    return {"rotary_pct": config.pop("turned") / sizes["head_dim"]}


def _log_of_decay(stored: np.ndarray) -> np.ndarray:
    if not (stored < 0).all():
        raise ValueError("ssm_a holds rates that are not negative: a state would grow without bound")
    return np.log(-stored.astype(np.float64))


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "llama",
            ("llama", "mistral", "mixtral"),
            rows.interleaved,
            (
                _norm(_RMS_NORM, "rms_norm_eps"),
                _base("rope_theta"),
                Fact(
                    "expert_count",
                    "num_local_experts",
                    lambda spec: getattr(spec.feed_forwards[0], "experts", 0),
                    default=0,
                    told=False,
                ),
                Fact(
                    "expert_used_count",
                    "num_experts_per_tok",
                    lambda spec: getattr(spec.feed_forwards[0], "chosen", 0),
                    default=0,
                    told=False,
                ),
            ),
            rotary=True,
            family=lambda header: "mixtral" if header.metadata.get("llama.expert_count") else "llama",
            finish=_llama,
        ),
        Architecture(
            "qwen",
            ("qwen",),
            rows.fused,
            (_norm(_RMS_NORM, "layer_norm_epsilon"), _base("rotary_emb_base")),
            # gate and up are counted together, as the config does; heads share the width out.
            sizes=(
                *(fact for fact in SIZES if fact.option not in ("feed_forward", "head_dim")),
                Fact("feed_forward_length", "feed_forward", lambda spec: 2 * spec.feed_forwards[0].intermediate_size),
            ),
            always={"use_dynamic_ntk": False, "use_logn_attn": False},
            rotary=True,
            head_needed=True,
            finish=_qwen,
        ),
        Architecture(
            "qwen2",
            ("qwen2",),
            rows.separate,
            (_norm(_RMS_NORM, "rms_norm_eps"), _base("rope_theta")),
            rotary=True,
        ),
        Architecture(
            "falcon",
            ("falcon",),
            rows.falcon,
            (_norm(_LAYER_NORM, "layer_norm_epsilon"), _base("rope_theta"), _activation("activation", "gelu")),
            own=frozenset({"key_value_heads"}),
            rotary=True,
            finish=_falcon,
        ),
        Architecture("bloom", ("bloom",), rows.fused, (_norm(_LAYER_NORM, "layer_norm_epsilon"),)),
        Architecture(
            "mpt",
            ("mpt",),
            rows.fused,
            (
                _norm(_LAYER_NORM, "layer_norm_epsilon"),
                Fact("attention.clamp_kqv", "clip_qkv", lambda spec: spec.mixers[0].clip, float, 0.0),
                Fact("attention.max_alibi_bias", "alibi_bias_max", lambda spec: None, float, 8.0),
            ),
            own=frozenset({"feed_forward"}),
            finish=_mpt,
            more=lambda config, spec: {
                "attention.max_alibi_bias": float({"alibi_bias_max": 8.0, **config["attn_config"]}["alibi_bias_max"])
            },
        ),
        Architecture(
            "gpt2",
            ("gpt2",),
            rows.fused,
            (_norm(_LAYER_NORM, "layer_norm_epsilon"), _activation("activation_function", "gelu_new")),
        ),
        Architecture(
            "gptneox",
            ("gpt_neox",),
            rows.fused,
            (
                _norm(_LAYER_NORM, "layer_norm_eps"),
                _base("rotary_emb_base"),
                Fact("rope.dimension_count", "turned", lambda spec: spec.mixers[0].rotary.dims),
                Fact(
                    "use_parallel_residual",
                    "use_parallel_residual",
                    lambda spec: len(spec.layers[0].branches) == 1,
                    bool,
                    True,
                ),
                _activation("hidden_act", "gelu"),
            ),
            own=frozenset({"turned"}),
            rotary=True,
            head_needed=True,
            finish=_neox,
        ),
        Architecture(
            "mamba",
            ("mamba",),
            rows.mamba,
            (
                _norm(_RMS_NORM, "layer_norm_epsilon"),
                Fact("ssm.conv_kernel", "conv_kernel", lambda spec: spec.mixers[0].convolution_width),
                Fact("ssm.inner_size", "d_inner", lambda spec: spec.mixers[0].inner_size),
                Fact("ssm.state_size", "state_size", lambda spec: spec.mixers[0].state_size),
                Fact("ssm.time_step_rank", "time_step_rank", lambda spec: spec.mixers[0].rank),
            ),
            sizes=tuple(fact for fact in SIZES if fact.option in ("layers", "width")),
            # The library refuses a file without these, though nothing here has heads.
            more=lambda config, spec: {
                "context_length": spec.context_length,
                "attention.head_count": 0,
                "feed_forward_length": 0,
            },
            values={"ssm_a": (_log_of_decay, lambda ours: -np.exp(ours.astype(np.float64)))},
        ),
    )
}
"""By the word under `general.architecture`."""


def find_architecture(word: Any) -> Architecture:
    """The architecture of a file's metadata; ValueError lists those that are known."""
    if not isinstance(word, str) or word not in ARCHITECTURES:
        raise ValueError(f"the architecture {word!r:.60} is not supported; GGUF files are read of {_known()}")
    return ARCHITECTURES[word]


def architecture_of(family: str) -> Architecture:
    """The architecture that holds a family's models; ValueError lists the families that have one.

    >>> architecture_of("gpt_neox").name, architecture_of("mixtral").name
    ('gptneox', 'llama')
    """
    for architecture in ARCHITECTURES.values():
        if family in architecture.families:
            return architecture
    known = sorted(name for architecture in ARCHITECTURES.values() for name in architecture.families)
    raise ValueError(f"models of the family {family!r} cannot be written as GGUF; those of {', '.join(known)} can")


def _known() -> str:
    return ", ".join(sorted(ARCHITECTURES))
