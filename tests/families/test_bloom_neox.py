"""BLOOM, GPT-NeoX, Pythia, GPT-Neo and LLaMA's relatives beyond the frozen references: slopes, starts, spellings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.layers import Normal, alibi_slopes

FIXTURES = Path(__file__).parent / "fixtures"


def test_slopes_of_powers_of_two_and_of_bloom_s_112_heads() -> None:
    np.testing.assert_allclose(alibi_slopes(8), [2.0**-a for a in range(1, 9)])
    assert alibi_slopes(1) == (2.0**-8,)
    many = np.log2(alibi_slopes(112))
    np.testing.assert_allclose(many[:64], -np.arange(1, 65) / 8)
    np.testing.assert_allclose(many[64:], -(2 * np.arange(48) + 1) / 16)
    np.testing.assert_allclose(np.log2(alibi_slopes(6, bias_max=16)), [-4, -8, -12, -16, -2, -6])


def stds(model: Decoder) -> dict[str, float]:
    found = {}
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.data.any(), name
        elif "norm" in name:
            assert (parameter.data == 1).all(), name
        else:
            found[name] = float(parameter.data.std())
    return found


def residual(name: str) -> bool:
    return name.endswith(("mixer.output.weight", "feed_forward.down.weight"))


def test_bloom_starts_as_published() -> None:
    for name, std in stds(lfs.build("bloom", n_layer=8, n_head=4, hidden_size=128, vocab_size=500)).items():
        assert std == pytest.approx(0.02 / (4 if residual(name) else 1), rel=0.05), name


def test_neox_starts_small_and_as_wang_unless_told_otherwise() -> None:
    settings: dict[str, Any] = dict(hidden_size=128, num_hidden_layers=5, num_attention_heads=4, vocab_size=500)
    for name, std in stds(lfs.build("gpt_neox", intermediate_size=512, **settings)).items():
        expected = 2 / (5 * math.sqrt(128)) if residual(name) else math.sqrt(2 / (5 * 128))
        assert std == pytest.approx(expected, rel=0.05), name
    told = lfs.build("gpt_neox", intermediate_size=512, initializer_range=0.05, **settings)
    assert all(std == pytest.approx(0.05, rel=0.05) for std in stds(told).values())


def test_gpt_neo_starts_alike_everywhere() -> None:
    settings: dict[str, Any] = dict(num_layers=2, attention_types=[[["global", "local"], 1]], num_heads=4)
    for name, std in stds(lfs.build("gpt_neo", hidden_size=128, vocab_size=500, **settings)).items():
        assert std == pytest.approx(0.02, rel=0.05), name


PUBLISHED = {
    "bloom-560m": """{"apply_residual_connection_post_layernorm": false, "attention_dropout": 0.0,
        "attention_softmax_in_fp32": true, "bias_dropout_fusion": true, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 3, "unk_token_id": 0, "hidden_dropout": 0.0, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "masked_softmax_fusion": true, "model_type": "bloom", "n_embed": 1024,
        "n_inner": null, "n_layer": 24, "num_attention_heads": 16, "offset_alibi": 100, "pretraining_tp": 1,
        "seq_length": 2048, "skip_bias_add": true, "skip_bias_add_qkv": false, "use_cache": true,
        "vocab_size": 250880}""",
    "gpt-neox-20b": """{"architectures": ["GPTNeoXForCausalLM"], "attention_probs_dropout_prob": 0,
        "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu_fast", "hidden_dropout_prob": 0, "hidden_size": 6144,
        "initializer_range": 0.02, "intermediate_size": 24576,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neox",
        "num_attention_heads": 64, "num_hidden_layers": 44, "rotary_emb_base": 10000, "rotary_pct": 0.25,
        "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": true, "vocab_size": 50432}""",
    "pythia-12b": """{"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
        "hidden_act": "gelu", "hidden_size": 5120, "initializer_range": 0.02, "intermediate_size": 20480,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 40,
        "num_hidden_layers": 36, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false,
        "torch_dtype": "float16", "use_cache": true, "use_parallel_residual": true, "vocab_size": 50688}""",
    "gpt-neo-125m": """{"activation_function": "gelu_new", "architectures": ["GPTNeoForCausalLM"],
        "attention_dropout": 0, "attention_layers": ["global", "local", "global", "local", "global", "local", "global",
        "local", "global", "local", "global", "local"], "attention_types": [[["global", "local"], 6]],
        "bos_token_id": 50256, "embed_dropout": 0, "eos_token_id": 50256, "gradient_checkpointing": false,
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": null, "layer_norm_epsilon": 1e-05,
        "max_position_embeddings": 2048, "model_type": "gpt_neo", "num_heads": 12, "num_layers": 12,
        "resid_dropout": 0, "summary_activation": null, "summary_first_dropout": 0.1, "summary_proj_to_labels": true,
        "summary_type": "cls_index", "summary_use_proj": true, "vocab_size": 50257, "window_size": 256}""",
    "yi-34b": """{"architectures": ["YiForCausalLM"], "auto_map": {"AutoConfig": "configuration_yi.YiConfig",
        "AutoModel": "modeling_yi.YiModel"}, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 7168, "initializer_range": 0.02, "intermediate_size": 20480, "max_position_embeddings": 4096,
        "model_type": "Yi", "num_attention_heads": 56, "num_hidden_layers": 60, "num_key_value_heads": 8,
        "pad_token_id": 0, "rms_norm_eps": 1e-05, "rope_theta": 5000000.0, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 64000}""",
    "solar-10.7b": """{"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 48,
        "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
        "rope_theta": 10000.0, "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": false,
        "vocab_size": 32000}""",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_configs_as_published(name: str) -> None:
    config = json.loads(PUBLISHED[name])
    described = lfs.spec(config)
    if config["model_type"] == "gpt_neox":  # the files say 0.02, the papers start otherwise: only the start differs
        assert described.embedding_init == Normal(0.02) != lfs.spec(name).embedding_init
        del config["initializer_range"]
        described = lfs.spec(config)
    assert described == lfs.spec(name)


@pytest.mark.parametrize(
    "family, settings, message",
    [
        ("bloom", {"n_embed": 64, "hidden_size": 32}, "bloom config: hidden_size is there twice, as 64 and as 32"),
        ("bloom", {"n_head": 5}, "hidden_size 64 is not a multiple of n_head 5"),
        ("bloom", {"n_inner": 100}, "n_inner 100 is not supported"),
        ("gpt_neox", {"rotary_pct": 1.5}, "rotary_pct 1.5 of a head of width 96 is not an even number"),
        ("gpt_neox", {"rotary_pct": 0.01}, "is not an even number of coordinates"),
        ("gpt_neox", {"rope_theta": 5.0, "rotary_emb_base": 6.0}, "rotary_emb_base is there twice"),
        ("gpt_neox", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope_scaling .*not supported"),
        ("gpt_neo", {"attention_types": [[["global", "sparse"], 12]]}, "'global' or 'local' and how often"),
        ("gpt_neo", {"attention_types": [[["global"], 12]]}, "describe 12 layers, num_layers is 24"),
        ("gpt_neo", {"attention_types": [["global", 24, 1]]}, "must look like"),
        ("gpt_neo", {"attention_types": "global"}, "must look like"),
        ("gpt_neo", {"attention_layers": ["local"] * 24}, "attention_layers .* is not supported"),
    ],
)
def test_bad_options_are_named(family: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.spec({"model_type": family, **settings})


def test_linear_scaling_divides_the_angles_of_a_partial_rotary_too() -> None:
    config = json.loads((FIXTURES / "neox_pythia" / "config.json").read_text(encoding="utf-8"))
    plain = lfs.spec(config).layers[0].branches[0].functions["mixer"].rotary
    scaled = lfs.spec({**config, "rope_scaling": {"type": "linear", "factor": 4.0}})
    rotary = scaled.layers[0].branches[0].functions["mixer"].rotary
    assert plain.dims == rotary.dims == 4
    np.testing.assert_allclose(rotary.inverse_frequency(), plain.inverse_frequency() / 4)


def test_yi_s_first_releases_are_read_and_written_in_today_s_names(tmp_path: Path) -> None:
    """The same weights under ln1 and ln2 and with the type of 2023."""
    config = json.loads((FIXTURES / "llama_gqa" / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "Yi", "architectures": ["YiForCausalLM"]}
    tensors = {
        key.replace("input_layernorm", "ln1").replace("post_attention_layernorm", "ln2"): value
        for key, value in read_safetensors(FIXTURES / "llama_gqa").items()
    }
    assert sum(".ln1." in key or ".ln2." in key for key in tensors) == 4
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(tmp_path / "model.safetensors", tensors)
    model, same = lfs.from_pretrained(tmp_path), lfs.from_pretrained(FIXTURES / "llama_gqa")
    assert all(np.array_equal(value, same.state_dict()[key]) for key, value in model.state_dict().items())
    model.save_pretrained(tmp_path / "saved")
    saved, original = read_safetensors(tmp_path / "saved"), read_safetensors(FIXTURES / "llama_gqa")
    assert saved.keys() == original.keys() and all(np.array_equal(saved[key], original[key]) for key in saved)
    written = json.loads((tmp_path / "saved" / "config.json").read_text(encoding="utf-8"))
    assert written["model_type"] == "llama" and written["architectures"] == ["LlamaForCausalLM"]
    tensors["model.layers.0.input_layernorm.weight"] = tensors["model.layers.0.ln1.weight"]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(ValueError, match=r"hold model.layers.0.input_layernorm.weight twice, as .*ln1"):
        lfs.from_pretrained(tmp_path)
