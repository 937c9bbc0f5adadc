"""Configs: both spellings, impossible numbers, options that are not supported; and weights that do not fit a config."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import llm_from_scratch as lfs
from llm_from_scratch.cli import main
from llm_from_scratch.families import find_family
from llm_from_scratch.families.published.config import current_to_2023
from llm_from_scratch.families.published.weights import WeightTable
from llm_from_scratch.files.safetensors import write_safetensors
from llm_from_scratch.files.sharded import read_safetensors
from llm_from_scratch.models import ModelSpec

FIXTURES = Path(__file__).parent / "fixtures"
TINY = {
    "gpt2": dict(vocab_size=11, n_positions=8, n_embd=8, n_layer=2, n_head=2),
    "llama": dict(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2),
}
IMPOSSIBLE = [
    ("gpt2", {"n_head": 3}, "n_embd 8 is not a multiple of n_head 3"),
    ("gpt2", {"vocab_size": 0}, r"vocab_size must lie in 1..\d+, not 0"),
    ("gpt2", {"n_layer": -1}, "n_layer must lie in"),
    ("gpt2", {"n_layer": 10**9}, "n_layer must lie in 1..10000"),
    ("gpt2", {"n_embd": 8.0}, "n_embd must be a positive integer, not 8.0"),
    ("gpt2", {"n_head": True}, "n_head must be a positive integer, not True"),
    ("gpt2", {"n_positions": "8"}, "n_positions must be a positive integer, not '8'"),
    ("gpt2", {"n_positions": None}, "n_positions must be a positive integer, not None"),
    ("gpt2", {"n_inner": 0}, "n_inner must lie in"),
    ("gpt2", {"n_embd": 10**30}, "n_embd must lie in"),
    ("gpt2", {"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon must be a finite number at least 0.0, not nan"),
    ("gpt2", {"layer_norm_epsilon": -1e-5}, "layer_norm_epsilon must be"),
    ("gpt2", {"initializer_range": float("inf")}, "initializer_range must be"),
    ("gpt2", {"resid_pdrop": 1.0}, "resid_pdrop must be a finite number at least 0.0, below 1.0"),
    ("gpt2", {"embd_pdrop": "0.1"}, "embd_pdrop must be a number"),
    ("gpt2", {"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false, not 1"),
    ("gpt2", {"n_ctx": 16}, "n_ctx 16 is not supported; supported: null, 8"),
    ("llama", {"num_attention_heads": 3}, "hidden_size 8 is not a multiple of num_attention_heads 3"),
    ("llama", {"num_attention_heads": 4, "num_key_value_heads": 3}, "not a multiple of num_key_value_heads 3"),
    ("llama", {"num_key_value_heads": 0}, "num_key_value_heads must lie in"),
    ("llama", {"num_attention_heads": 8}, "the width of a head must be even, not 1"),
    ("llama", {"head_dim": 5}, "the width of a head must be even, not 5"),
    ("llama", {"head_dim": -2}, "head_dim must lie in"),
    ("llama", {"rms_norm_eps": float("nan")}, "rms_norm_eps must be"),
    ("llama", {"rms_norm_eps": True}, "rms_norm_eps must be a number, not True"),
    ("llama", {"rope_theta": 0}, "rope_theta must be a finite number above 0.0, not 0"),
    ("llama", {"rope_theta": float("inf")}, "rope_theta must be"),
    ("llama", {"intermediate_size": 1.5}, "intermediate_size must be a positive integer"),
    ("llama", {"num_hidden_layers": 0}, "num_hidden_layers must lie in"),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 0}}, "factor must be a finite number at least 1.0, not 0"),
    ("llama", {"rope_scaling": {"type": "linear"}}, "factor must be a number, not None"),
    ("llama", {"rope_scaling": "linear"}, "rope_scaling must be an object or null"),
]
UNSUPPORTED = [
    ("gpt2", {"activation_function": "quick_gelu"}, "activation_function 'quick_gelu' is not supported; .*gelu_new"),
    ("gpt2", {"activation_function": ["gelu"]}, "is not supported"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention True is not supported; supported: null, False"),
    ("gpt2", {"pruned_heads": {"0": [1]}}, "pruned_heads"),
    ("gpt2", {"hidden_size": 8}, "the option hidden_size = 8 is not known here"),
    ("llama", {"hidden_act": "mish"}, "hidden_act 'mish' is not supported; supported: .*silu"),
    ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope_scaling .*yarn.* not supported; .*linear"),
    ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "llama3"),
    ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "yarn"),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0, "beta": 1}}, "beta = 1 is not known"),
    ("llama", {"rope_scaling": {"factor": 2.0}}, "supported types"),
    ("llama", {"rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 2.0}}, "not supported"),
    ("llama", {"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}, "one set of parameters for all layers"),
    ("llama", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "not supported|not known"),
    ("llama", {"sliding_window": 4096}, "the option sliding_window = 4096 is not known here"),
    ("llama", {"quantization_config": {"bits": 4}}, "quantization_config .* is not supported"),
    ("llama", {"hiden_size": 64}, "the option hiden_size = 64 is not known here"),
    ("llama", {"is_encoder_decoder": True}, "is_encoder_decoder"),
]


@pytest.mark.parametrize("family, change, message", IMPOSSIBLE + UNSUPPORTED)
def test_bad_options_are_named_before_anything_is_allocated(
    family: str, change: dict, message: str, tmp_path: Path
) -> None:
    tracemalloc.start()
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        lfs.build(family, **{**TINY[family], **change})
    assert str(caught.value).startswith(f"{family} config: ") or "rope_" in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
    # The same from a file, before the weights are looked at: there are none.
    text = json.dumps({"model_type": family, **TINY[family], **change})
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises((ValueError, TypeError), match="config.json"):
        lfs.from_pretrained(tmp_path)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=3) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "factor", "x"]), inner),
)


@given(data=st.data(), family=st.sampled_from(sorted(TINY)))
def test_any_value_of_any_option_gives_a_spec_or_an_error_that_says_why(data: st.DataObject, family: str) -> None:
    keys = [*find_family(family).defaults, "rope_parameters", "n_ctx", "quantization_config", "made_up"]
    key = data.draw(st.sampled_from(keys))
    value = data.draw(ANYTHING)
    try:
        assert isinstance(lfs.spec({"model_type": family, **TINY[family], key: value}), ModelSpec)
    except (ValueError, TypeError) as error:
        message = str(error)
        assert key in message or "a head must be even" in message or "multiple of" in message or "rope" in message


# As published, with everything that has nothing to do with the numbers.
PUBLISHED = {
    "gpt2": """{"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
        "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
        "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257}""",
    "llama-7b": """{"architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 2048,
        "max_sequence_length": 2048, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
        "pad_token_id": 0, "rms_norm_eps": 1e-06, "tie_word_embeddings": false, "torch_dtype": "float16",
        "transformers_version": "4.28.0.dev0", "use_cache": true, "vocab_size": 32000}""",
    "llama-2-70b": """{"_name_or_path": "x", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 8192, "initializer_range": 0.02,
        "intermediate_size": 28672, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 64,
        "num_hidden_layers": 80, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "float16",
        "transformers_version": "4.32.0.dev0", "use_cache": true, "vocab_size": 32000}""",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_are_the_sizes_of_that_name(name: str) -> None:
    assert lfs.spec(json.loads(PUBLISHED[name])) == lfs.spec(name)


def test_a_model_larger_than_the_machine_is_refused_at_once() -> None:
    with pytest.raises(MemoryError, match=r"parameters, which take [\d,.]+ GB as float32; this machine has"):
        lfs.build("llama", hidden_size=2**20, num_hidden_layers=1000, intermediate_size=2**22)


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_a_model_too_big_for_the_machine_is_one_line_of_the_command(command: str, tmp_path: Path, capsys: Any) -> None:
    tokenizer = lfs.Tokenizer.train("hello", 258, special_tokens=["</s>"])
    tokenizer.save(tmp_path)
    lfs.build("llama", **TINY["llama"]).save_pretrained(tmp_path)
    big = {"model_type": "llama", "hidden_size": 2**20, "num_hidden_layers": 1000, "intermediate_size": 2**22}
    (tmp_path / "config.json").write_text(json.dumps(big), encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}", encoding="utf-8")
    assert main([command, "--model", str(tmp_path), "--prompt", "hi"]) == 2
    said = r"error: there is not enough memory \(this model has [\d,]+ parameters, which take [\d,.]+ GB .*\)\n"
    assert re.fullmatch(said, capsys.readouterr().err)


@pytest.mark.parametrize("path", ["gguf/tied.gguf", "llama_gqa"])
@pytest.mark.parametrize("packed", [False, True])
def test_memory_that_is_not_given_is_named(path: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if packed and not path.endswith("gguf"):
        return

    def refuse(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(WeightTable, "load", refuse)
    with pytest.raises(MemoryError, match=r"this model has [\d,]+ parameters.* this process was not given that much"):
        lfs.from_pretrained(FIXTURES / path, packed=packed)


@pytest.mark.parametrize(
    "text, error, message",
    [
        ("", ValueError, "not valid JSON"),
        ("[]", ValueError, "an object was expected"),
        ("{}", ValueError, "model_type None is not a family known here; known: .*gpt2.*llama"),
        ('{"model_type": "bert"}', ValueError, "model_type 'bert' is not a family"),
        ('{"model_type": ["llama"]}', ValueError, "not a family"),
        ('{"model_type": "llama", "rms_norm_eps": NaN}', ValueError, "NaN is not JSON"),
        ('{"model_type": "llama", "model_type": "gpt2"}', ValueError, "'model_type' occurs twice"),
        ('{"model_type": "llama"}', FileNotFoundError, "holds no weights"),
    ],
)
def test_config_files_are_held_to_the_standard(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message):
        lfs.from_pretrained(tmp_path)


def test_places_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        lfs.from_pretrained(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="has no config.json"):
        lfs.from_pretrained(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="is a file; a directory"):
        lfs.from_pretrained(tmp_path / "file")
    shutil.copy(FIXTURES / "gpt2_tied" / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match="pickled weights"):
        lfs.from_pretrained(tmp_path)


@pytest.mark.parametrize("dtype", [np.float16, "bfloat16", int, "wide", 3])
def test_models_compute_in_float32_or_float64(dtype: Any) -> None:
    with pytest.raises(TypeError, match="float32 or float64"):
        lfs.from_pretrained(FIXTURES / "gpt2_tied", dtype=dtype)
    with pytest.raises(TypeError, match="float32 or float64"):
        lfs.build("gpt2", dtype=dtype, **TINY["gpt2"])


def damaged(tmp_path: Path, name: str, change: Any) -> Path:
    """A fixture whose tensors went through `change(tensors)`."""
    tensors = read_safetensors(FIXTURES / name)
    change(tensors)
    shutil.copy(FIXTURES / name / "config.json", tmp_path)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    return tmp_path


K = "model.layers.1.self_attn.k_proj.weight"


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("llama_gqa", lambda t: t.pop(K), f"missing: {K}"),
        ("llama_gqa", lambda t: t.update(extra=t[K]), "not expected: extra"),
        ("llama_gqa", lambda t: t.update({K: t[K].T}), rf"{K} has shape \(16, 8\), the config asks for \(8, 16\)"),
        ("llama_gqa", lambda t: t.update({K: t[K][:4]}), rf"{K} has shape \(4, 16\)"),
        ("llama_gqa", lambda t: t.update({K: t[K].astype(np.int8)}), f"{K} holds int8, not floating-point"),
        ("llama_gqa", lambda t: t.update({"model.layers.2.mlp.up_proj.weight": t[K]}), "layers.2.mlp.up_proj"),
        ("llama_gqa", lambda t: t.update({K.replace("weight", "bias"): t[K][0]}), "not expected: .*k_proj.bias"),
        ("llama_gqa", lambda t: t.update({K.replace("k_proj", "rotary_emb") + "s": t[K]}), "not expected"),
        ("llama_gqa", lambda t: t.pop("lm_head.weight"), "missing: lm_head.weight"),
        ("llama_biased", lambda t: t.pop("model.layers.0.mlp.up_proj.bias"), "missing: .*up_proj.bias"),
        ("llama_tied", lambda t: t.update({"lm_head.weight": t["lm_head.weight"] + 1}), "tie_word_embeddings"),
        ("llama_tied", lambda t: t.update({"lm_head.weight": t["lm_head.weight"][:5]}), "tie_word_embeddings"),
        ("gpt2_tied", lambda t: t.pop("transformer.wpe.weight"), "missing: transformer.wpe.weight"),
        ("gpt2_tied", lambda t: t.pop("transformer.h.0.attn.c_attn.bias"), "missing: .*c_attn.bias"),
        ("gpt2_tied", lambda t: t.clear(), "missing: wte.weight, .* and 22 more"),
        ("gpt2_hub", lambda t: t.pop("wte.weight"), "missing: wte.weight"),
        ("gpt2_hub", lambda t: t.update({"transformer.wte.weight": t["wte.weight"]}), "not expected"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, name: str, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        lfs.from_pretrained(damaged(tmp_path, name, change))
    assert str(tmp_path) in str(caught.value)


def test_a_config_of_another_size_is_refused_before_allocating(tmp_path: Path) -> None:
    directory = damaged(tmp_path, "llama_gqa", lambda t: None)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    config.update(vocab_size=2_000_000, hidden_size=512, head_dim=128)  # a gigabyte an embedding
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"embed_tokens.weight has shape \(47, 16\), .* \(2000000, 512\)"):
        lfs.from_pretrained(directory)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_known_harmless_extras_are_accepted(tmp_path: Path) -> None:
    stored = read_safetensors(FIXTURES / "llama_tied")
    assert "lm_head.weight" in stored and any("inv_freq" in key for key in stored)
    assert any(key.endswith(".attn.masked_bias") for key in read_safetensors(FIXTURES / "gpt2_hub"))
    lfs.from_pretrained(FIXTURES / "llama_tied")

    def with_buffers(tensors: dict) -> None:
        tensors["transformer.h.0.attn.bias"] = np.ones((1, 1, 8, 8), np.uint8)

    lfs.from_pretrained(damaged(tmp_path, "gpt2_tied", with_buffers))


def test_both_spellings_describe_the_same_model() -> None:
    for directory in FIXTURES.iterdir():
        if (directory / "config.json").exists():
            old, new = (
                json.loads((directory / f"config{kind}.json").read_text(encoding="utf-8")) for kind in ("", ".current")
            )
            assert lfs.spec(old) == lfs.spec(new) == lfs.spec(directory), directory.name
    assert lfs.spec({"model_type": "llama", "rope_theta": 5.0}) != lfs.spec({"model_type": "llama"})


def test_contradicting_spellings_are_refused() -> None:
    with pytest.raises(ValueError, match="says rope_theta twice, as 10000.0 and, in the new spelling, as 5.0"):
        current_to_2023({"rope_theta": 10000.0, "rope_parameters": {"rope_theta": 5.0}})
    with pytest.raises(ValueError, match="torch_dtype twice"):
        current_to_2023({"torch_dtype": "float32", "dtype": "float16"})
    both = {"model_type": "llama", "rope_theta": 5.0, "rope_scaling": {"rope_type": "default", "rope_theta": 6.0}}
    with pytest.raises(ValueError, match="rope_theta is 5.0 but rope_scaling has 6.0"):
        lfs.spec(both)
