"""Mistral, Qwen2, DeciLM, and a rotary base that rises: padding, starts, sizes, memories, bad configs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.files.sharded import read_safetensors

FIXTURES = Path(__file__).parent / "fixtures"
TINY: dict[str, Any] = dict(
    vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=3, num_attention_heads=4
)
DECI: dict[str, Any] = dict(num_key_value_heads_per_layer=[4, 2, 1], max_position_embeddings=10)
IDS = np.random.default_rng(0).integers(0, 31, (2, 40))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["mistral_window", "qwen2_grouped"])
def test_padding_on_either_side(name: str, side: str) -> None:
    model, frozen = lfs.from_pretrained(FIXTURES / name), read_safetensors(FIXTURES / name / "reference.safetensors")
    mask = frozen[f"{side}_mask"]
    logits = model(frozen["input_ids"], mask=mask).data * mask[..., None]
    np.testing.assert_allclose(logits, frozen[f"{side}_logits"], rtol=0, atol=2e-4)


COUNTS = {
    "mistral-7b": 7_241_732_096,
    "mistral-7b-v0.2": 7_241_732_096,
    "decilm-7b": 7_043_551_232,
    "decilm-6b": 5_717_102_592,
    "qwen2-0.5b": 494_032_768,
    "qwen2-1.5b": 1_543_714_304,
    "qwen2-7b": 7_615_616_512,
    "qwen2-72b": 72_706_203_648,
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_sizes(name: str) -> None:
    assert Decoder(lfs.spec(name)).parameter_count == COUNTS[name]


def test_versions_of_mistral_differ_in_window_and_base() -> None:
    first, second = (
        lfs.spec(name).layers[0].branches[0].functions["mixer"] for name in ("mistral-7b", "mistral-7b-v0.2")
    )
    assert (first.window, first.rotary.base) == (4096, 10000.0)
    assert (second.window, second.rotary.base) == (None, 1e6)
    assert first.key_value_heads == 8 and not first.bias


def test_decilm_has_the_heads_of_each_layer() -> None:
    heads = [layer.branches[0].functions["mixer"].key_value_heads for layer in lfs.spec("decilm-7b").layers]
    assert heads[:6] == [4] * 5 + [2] and heads[-2:] == [1, 4] and sum(heads) == 20 + 10 + 4 + 18 + 11 + 4


@pytest.mark.parametrize("family", ["mistral", "qwen2", "deci"])
def test_fresh_models_start_as_llama_s_do(family: str) -> None:
    settings = {**TINY, "hidden_size": 128, "intermediate_size": 256, "vocab_size": 300, "initializer_range": 0.05}
    model = lfs.build(family, **settings, **({"num_key_value_heads_per_layer": [4, 2, 1]} if family == "deci" else
                                              {"num_key_value_heads": 2}))  # fmt: skip
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert family == "qwen2" and not parameter.data.any() and "output" not in name
        elif "norm" in name:
            assert (parameter.data == 1).all()
        else:
            assert parameter.data.std() == pytest.approx(0.05, rel=0.05), name


def test_repeating_key_value_heads_changes_nothing() -> None:
    """A DeciLM equals the LLaMA whose layers all have the most heads, each shared one written out several times."""
    model = lfs.build("deci", **TINY, **DECI, dtype=np.float64)
    whole = lfs.build("llama", **TINY, dtype=np.float64, rope_scaling={"type": "dynamic", "factor": 2.0},
                      max_position_embeddings=10, rms_norm_eps=1e-5)  # fmt: skip
    state = model.state_dict()
    for i, heads in enumerate(DECI["num_key_value_heads_per_layer"]):
        for part in ("key", "value"):
            name = f"layers.{i}.mixer.{part}.weight"
            state[name] = np.repeat(state[name].reshape(16, heads, 4), 4 // heads, axis=1).reshape(16, 16)
    whole.load_state_dict(state)
    np.testing.assert_allclose(model(IDS).data, whole(IDS).data, atol=1e-12)


def rising(**settings: Any) -> Decoder:
    return lfs.build("deci", **TINY, **{**DECI, **settings}, dtype=np.float64, initializer_range=0.3)


def test_beyond_the_trained_length_the_whole_is_run_again() -> None:
    model = rising()
    with lfs.no_grad():
        for borders in ([0, 9, 10, 11, 12, 30], [0, 3, 25, 26], [0, 20, 21]):
            memory = model.new_memory(2)
            for a, b in zip(borders, borders[1:]):
                got = model(IDS[:, a:b], memory=memory).data
                np.testing.assert_allclose(got, model(IDS[:, :b]).data[:, a:], rtol=0, atol=1e-12)
            assert memory.length == borders[-1]
    # Had the old keys been kept, the numbers would differ visibly:
    fixed = rising(rope_scaling={"type": "linear", "factor": 1.0})
    assert np.abs(fixed(IDS).data - model(IDS).data)[:, -1].max() > 1e-3
    np.testing.assert_allclose(fixed(IDS[:, :10]).data, model(IDS[:, :10]).data, atol=1e-12)


def test_rows_of_different_lengths_have_bases_of_their_own() -> None:
    model = rising()
    mask = np.ones((2, 20), bool)
    mask[1, :14] = False  # 6 real tokens: below the trained length, 20 beyond it
    memory = model.new_memory(2)
    with lfs.no_grad():
        for a, b in ((0, 20), (20, 21), (21, 26)):
            got = model(IDS[:, a:b], memory=memory, mask=mask if b == 20 else None).data
            np.testing.assert_allclose(got[0], model(IDS[:1, :b]).data[0, a:], atol=1e-12)
            np.testing.assert_allclose(got[1, -1], model(IDS[1:, 14:b]).data[0, -1], atol=1e-12)


def test_documents_in_a_packed_row_have_bases_of_their_own() -> None:
    model = rising()
    segments = np.repeat([[3, 5, 8]], 2, axis=0).repeat([7, 15, 18], axis=1)
    packed = model(IDS, segments=segments).data
    for a, b in ((0, 7), (7, 22), (22, 40)):
        np.testing.assert_allclose(packed[:, a:b], model(IDS[:, a:b]).data, atol=1e-12)


def test_going_back_below_the_trained_length() -> None:
    model = rising()
    memory = model.new_memory(2)
    model.step(IDS[:, :15], memory)
    memory.crop(8)
    np.testing.assert_allclose(model.step(IDS[:, 8:9], memory), model(IDS[:, :9]).data[:, -1], atol=1e-12)
    memory.select([1])
    np.testing.assert_allclose(model.step(IDS[1:, 9:14], memory), model(IDS[1:, :14]).data[:, -1], atol=1e-12)


def test_generation_agrees_with_running_the_prefix_again() -> None:
    model, prompt = rising(), IDS[:, :6]
    ids = prompt
    for _ in range(12):
        ids = np.concatenate([ids, model(ids).data[:, -1:].argmax(-1)], axis=1)
    np.testing.assert_array_equal(model.generate(prompt, max_new_tokens=12, temperature=0.0), ids)


def test_gradients_flow_through_a_sequence_that_is_run_again() -> None:
    model = rising()
    memory = model.new_memory(2)
    model.step(IDS[:, :11], memory)
    got = model(IDS[:, 11:14], memory=memory)
    np.testing.assert_allclose(got.data, model(IDS[:, :14]).data[:, 11:], atol=1e-12)
    got.sum().backward()
    assert all(p.grad is not None and np.isfinite(p.grad).all() for p in model.parameters())


def test_a_window_and_a_rising_base_together() -> None:
    model = lfs.build(
        "mistral", **TINY, num_key_value_heads=2, sliding_window=4, max_position_embeddings=10, dtype=np.float64,
        rope_scaling={"type": "dynamic", "factor": 2.0}, initializer_range=0.3,
    )  # fmt: skip
    memory = model.new_memory(2)
    for t in range(16):
        got = model.step(IDS[:, t : t + 1], memory)
        np.testing.assert_allclose(got, model(IDS[:, : t + 1]).data[:, -1], atol=1e-12)


BAD = [
    ("mistral", {"sliding_window": 0}, "sliding_window must lie in 1"),
    ("mistral", {"sliding_window": "4096"}, "sliding_window must be a positive integer"),
    ("mistral", {"attention_bias": True}, "attention_bias True is not supported"),
    ("mistral", {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "supported types: linear, dynamic, default"),
    ("mistral", {"rope_scaling": {"type": "dynamic"}}, "factor must be a number"),
    ("mistral", {"rope_scaling": {"type": "dynamic", "factor": 0.5}}, "factor must be a finite number at least 1"),
    ("mistral", {"num_key_value_heads": 3}, "not a multiple of num_key_value_heads 3"),
    ("qwen2", {"use_sliding_window": 1}, "use_sliding_window must be true or false"),
    ("qwen2", {"use_sliding_window": True, "max_window_layers": -1}, "max_window_layers must be"),
    ("qwen2", {"layer_types": ["sliding_attention"] * 3}, "layer_types .* is not supported"),
    ("qwen2", {"use_mrope": True}, "use_mrope"),
    ("deci", {"num_key_value_heads_per_layer": [4, 2]}, "names 2 layers, there are 3"),
    ("deci", {"num_key_value_heads_per_layer": [4, 3, 2]}, "4 query heads cannot be shared out among 3"),
    ("deci", {"num_key_value_heads_per_layer": [4, 0, 2]}, "4 query heads cannot be shared out among 0"),
    ("deci", {"num_key_value_heads_per_layer": [4, 2.0, 2]}, "must be a list of integers"),
    ("deci", {"num_key_value_heads": 2}, "num_key_value_heads 2 is not supported"),
    ("deci", {"num_attention_heads": 8, "num_key_value_heads_per_layer": [8, 4, 1]}, "needs heads of 4 or more"),
]


@pytest.mark.parametrize("family, change, message", BAD)
def test_bad_configs_are_named(family: str, change: dict[str, Any], message: str) -> None:
    settings = {"mistral": {"num_key_value_heads": 2}, "qwen2": {}, "deci": DECI}[family]
    with pytest.raises((ValueError, TypeError), match=message):
        lfs.build(family, **{**TINY, **settings, **change})
