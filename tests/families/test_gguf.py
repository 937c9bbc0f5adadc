"""The tables of GGUF files: tensor names as the `gguf` package lists them, what a difference of specs is called."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import find_family
from llm_from_scratch.families.gguf import ARCHITECTURES, Header, architecture_of, find_architecture
from llm_from_scratch.families.gguf.facts import first_difference
from llm_from_scratch.families.published.layouts import Stacked

_PLACE = Path(__file__).parents[1] / "checkpoints" / "gguf_models.py"
_SPEC = importlib.util.spec_from_file_location("gguf_models", _PLACE)
models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(models)

# MODEL_TENSORS of gguf 0.19, without "blk.{bid}."; what is in brackets no model here has.
NAMES = {
    "llama": "token_embd output_norm output rope_freqs attn_norm attn_q attn_k attn_v attn_output (attn_rot_embd) "
    "ffn_gate_inp ffn_norm ffn_gate ffn_down ffn_up ffn_gate_exps ffn_down_exps ffn_up_exps",
    "qwen": "token_embd output_norm output (rope_freqs) attn_norm attn_qkv attn_output (attn_rot_embd) ffn_norm "
    "ffn_gate ffn_down ffn_up",
    "qwen2": "token_embd output_norm output (rope_freqs) attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate "
    "ffn_down ffn_up",
    "falcon": "token_embd output_norm output attn_norm attn_norm_2 attn_qkv attn_output ffn_down ffn_up",
    "bloom": "token_embd token_embd_norm output_norm (output) attn_norm attn_qkv attn_output ffn_norm ffn_down ffn_up",
    "mpt": "token_embd output_norm (output) attn_norm attn_qkv attn_output ffn_norm ffn_down ffn_up (ffn) "
    "(attn_q_norm) (attn_k_norm) (position_embd)",
    "gpt2": "token_embd position_embd output_norm output attn_norm attn_qkv attn_output ffn_norm ffn_down ffn_up",
    "gptneox": "token_embd output_norm output attn_norm attn_qkv attn_output ffn_norm ffn_down ffn_up",
    "mamba": "token_embd output_norm output attn_norm ssm_in ssm_conv1d ssm_x ssm_dt ssm_a ssm_d ssm_out",
}


def _written(name):
    """The names of the tensors of all cases of an architecture, without numbers of layers, weight and bias."""
    found = set()
    for case, (family, _) in models.CASES.items():
        architecture = architecture_of(find_family(family).name)
        if architecture.name == name:
            model = models.random_model(case)
            found |= set(architecture.table(model.spec).sources(model.weights()))
            found |= {"rope_freqs"} if getattr(_rotary(model), "factors", None) else set()
    return {path.removeprefix("blk.").lstrip("0123456789.").partition(".")[0] for path in found}


def _rotary(model):
    return getattr(model.spec.mixers[0], "rotary", None)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tensor_names_are_those_of_the_gguf_package(name):
    expected = {word for word in NAMES[name].split() if not word.startswith("(")}
    assert _written(name) == expected


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_frozen_names_are_those_of_the_gguf_package(name):
    constants = pytest.importorskip("gguf").constants
    (kind,) = [kind for kind, word in constants.MODEL_ARCH_NAMES.items() if word == name]
    listed = {constants.TENSOR_NAMES[tensor].removeprefix("blk.{bid}.") for tensor in constants.MODEL_TENSORS[kind]}
    assert {word.strip("()") for word in NAMES[name].split()} == listed


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_keys_are_those_of_the_gguf_package(name):
    keys = pytest.importorskip("gguf").constants.Keys
    listed = {
        value.replace("{arch}.", "")
        for group in vars(keys).values()
        if isinstance(group, type)
        for value in vars(group).values()
        if isinstance(value, str)
    }
    architecture = ARCHITECTURES[name]
    found = {fact.key for fact in (*architecture.sizes, *architecture.facts)} - {"hidden_act"}  # a key of ours
    assert found <= listed and len(found) >= 6


def test_rows_of_query_and_key_are_neighbours_and_parts_stand_in_a_row():
    model = models.random_model("llama")
    q = model.layers[0].mixer.query.weight.data.T  # (outputs, inputs): four heads of 16
    stored = ARCHITECTURES["llama"].table(model.spec).sources(model.weights())["blk.0.attn_q.weight"].make()
    np.testing.assert_array_equal(stored[:4], q[[0, 8, 1, 9]])
    np.testing.assert_array_equal(stored[16:18], q[[16, 24]])
    model = models.random_model("bloom")
    stored = ARCHITECTURES["bloom"].table(model.spec).sources(model.weights())["blk.1.attn_qkv.weight"].make()
    mixer = model.layers[1].mixer
    parts = [part.weight.data.T for part in (mixer.query, mixer.key, mixer.value)]
    np.testing.assert_array_equal(stored, np.concatenate(parts))


def test_the_norms_of_falcon_40b_change_places():
    model = models.random_model("falcon_40b")
    sources = ARCHITECTURES["falcon"].table(model.spec).sources(model.weights())
    for name, ours in (("attn_norm", model.layers[0].feed_forward_norm), ("attn_norm_2", model.layers[0].mixer_norm)):
        np.testing.assert_array_equal(sources[f"blk.0.{name}.weight"].make(), ours.weight.data)


def test_experts_are_stacked():
    model = models.random_model("mixtral")
    stored = ARCHITECTURES["llama"].table(model.spec).sources(model.weights())["blk.1.ffn_down_exps.weight"].make()
    assert stored.shape == (4, 64, 96)
    np.testing.assert_array_equal(stored[2], model.layers[1].feed_forward.experts[2].down.weight.data.T)
    with pytest.raises(ValueError, match="cannot be stacked"):
        Stacked().stored_shape([(2, 3), (3, 2)])


def test_what_stands_for_decay_is_minus_its_exponential():
    theirs, ours = ARCHITECTURES["mamba"].values["ssm_a"]
    logs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(ours(logs), -np.exp(logs), rtol=1e-6)
    np.testing.assert_allclose(theirs(ours(logs).astype(np.float32)), logs, atol=1e-6)
    with pytest.raises(ValueError, match="not negative"):
        theirs(np.array([-1.0, 0.0], np.float32))


def test_the_first_difference_of_specs_is_named():
    spec = lfs.build("llama", **models.CASES["llama"][1]).spec
    assert first_difference(spec, spec) is None
    layer = spec.layers[1].branches[0]
    for field, value in (("heads", 2), ("window", 4), ("bias", True)):
        mixer = dataclasses.replace(layer.functions["mixer"], **{field: value})
        branches = (dataclasses.replace(layer, functions={"mixer": mixer}), spec.layers[1].branches[1])
        other = spec.replace(layers=(spec.layers[0], dataclasses.replace(spec.layers[1], branches=branches)))
        where, ours, theirs = first_difference(spec, other)
        assert where == f"spec.layers[1].branches[0].functions.mixer.{field}" and theirs == value != ours
    assert first_difference(spec, spec.replace(layers=spec.layers[:1])) == ("the number of spec.layers", 2, 1)
    assert first_difference(spec, spec.replace(embedding_dropout=0.5)) is None  # of training alone
    assert first_difference(spec, spec.replace(embedding_norm=spec.norm))[0] == "spec.embedding_norm"
    # Float32, as files store it, is no difference; anything more is.
    assert first_difference(1e-5, float(np.float32(1e-5))) is None and first_difference(1e-5, 1.001e-5)


def _header(architecture, metadata, shapes=()):
    shapes = {"token_embd.weight": (10, 64), **dict(shapes)}
    metadata = {f"{architecture}.{key}": value for key, value in metadata.items()}
    return Header(metadata, shapes, lambda name: np.ones(8), lambda one, other: False)


SIZES = {"block_count": 2, "context_length": 64, "embedding_length": 64, "feed_forward_length": 256,
         "attention.head_count": 4, "attention.layer_norm_epsilon": 1e-5}  # fmt: skip
BAD = {
    "no such architecture": ("rwkv6", {}, "'rwkv6' is not supported; GGUF files are read of bloom, falcon"),
    "no architecture": (None, {}, "architecture None is not supported"),
    "shared keys": ("gpt2", {"attention.head_count_kv": 2}, r"gpt2\.attention\.head_count_kv is 2, only 4 is"),
    "narrow heads": ("gpt2", {"attention.key_length": 8}, r"gpt2\.attention\.key_length is 8, only 16 is supported"),
    "another width": ("bloom", {"feed_forward_length": 100}, r"bloom\.feed_forward_length is 100, only 256 is supp"),
    "no ratio": ("mpt", {"feed_forward_length": 100}, "mpt.feed_forward_length 100 is no multiple of 64"),
    "another width of values": ("gpt2", {"attention.value_length": 8}, "value_length 8 is not the width 16"),
    "a key nobody knows": ("gpt2", {"attention.temperature": 2.0}, "temperature = 2.0 is not known here"),
    "a window": ("falcon", {"attention.sliding_window": 4}, "sliding_window = 4 is not known here"),
    "a word": ("gpt2", {"hidden_act": 3}, "hidden_act must be a word, not 3"),
    "truth": ("gptneox", {"rope.dimension_count": 4, "use_parallel_residual": 1}, "must be true or false, not 1"),
    "yarn": ("falcon", {"rope.scaling.type": "yarn"}, "'yarn' is not supported; supported: none, linear"),
    "nothing missing but a norm": ("gpt2", {"attention.layer_norm_epsilon": None}, "has no gpt2.attention.layer_norm"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_metadata_that_cannot_be_are_refused_by_name(name):
    word, changes, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        architecture = find_architecture(word)
        keys = find_family(architecture.families[0]).size_keys
        architecture.config(_header(word, {**SIZES, **changes}), keys)


def test_the_metadata_of_these_tests_are_otherwise_good():
    for name in ("gpt2", "bloom", "mpt", "falcon"):
        family = find_family(ARCHITECTURES[name].families[0])
        config = ARCHITECTURES[name].config(_header(name, SIZES), family.size_keys)
        assert len(family.spec({"model_type": name, **config}).layers) == 2
