"""Bytes by hand, against real optimisers and files, and the article's four numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.quantization.blocks import quantize
from llm_from_scratch.scaling.bill import BITS
from llm_from_scratch.scaling.memory import (
    TRAINING,
    activation_memory,
    loading,
    rule_of_thumb,
    training_memory,
)
from llm_from_scratch.training.config import OPTIMIZERS

TINY: dict[str, Any] = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3)
TINY |= dict(num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=16)


def test_the_articles_numbers_and_where_the_tenth_comes_from() -> None:
    assert rule_of_thumb(100e9) == pytest.approx(220e9)
    assert [rule_of_thumb(30e9, bits) / 1e9 for bits in (16, 8, 4)] == pytest.approx([66, 33, 16.5])
    thirty = loading(lfs.spec("llama-33b"), rows=2)
    assert thirty.weights == 2 * 32_528_943_616  # "a bit under 66 GB": a rounded name is most of it
    assert thirty.cache == 2 * 2048 * 60 * 2 * 6656 * 2 and 0.1 < thirty.extra < 0.12
    assert thirty.total == thirty.weights + thirty.cache + thirty.activations
    small = loading(lfs.spec("llama-33b"), length=1)
    assert small.extra < 1e-3  # without a text there is no tenth


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_in_float32_is_what_a_real_optimiser_holds(name: str) -> None:
    model = lfs.build("llama", **TINY, seed=0)
    settings = lfs.TrainingSettings(steps=1, optimizer=name, threads=1)
    optimizer = settings.make_optimizer(model.parameters())
    ids = np.arange(16).reshape(1, 16)
    lfs.accumulate_gradients(model, ids, ids)
    optimizer.step()
    held = sum(array.nbytes for slot in optimizer._slots.values() for array in slot.kept.values())
    count = model.parameter_count
    found = training_memory(count, optimizer=name, precision="float32")
    assert found.optimizer == held
    assert found.weights == found.gradients == 4 * count and found.master == 0


def test_precisions_of_training() -> None:
    mixed, half = training_memory(10, precision="mixed"), training_memory(10, precision="bfloat16")
    assert (mixed.weights, mixed.gradients, mixed.master, mixed.optimizer, mixed.total) == (20, 20, 40, 80, 160)
    assert half.total == 80 and list(TRAINING) == ["float32", "mixed", "bfloat16"]


def test_bits_are_those_of_the_formats() -> None:
    numbers = np.ones((1, 256), np.float32)
    for kind in ("Q8_0", "Q4_0"):
        assert BITS[kind] == 8 * quantize(numbers, kind).size / numbers.size
    assert BITS["NF4, double"] == pytest.approx(4.127, abs=5e-4)


def test_activations_of_a_gpt_are_those_of_the_literature() -> None:
    """34 bytes a token, layer and unit of width, without the two and a bit of dropout's masks."""
    spec = lfs.spec("gpt2")
    outside = 2 * (2 * 768) + 4 * 50257
    assert activation_memory(spec, rows=3, length=100) == 300 * (12 * 32 * 768 + outside)
    assert activation_memory(spec, rows=3, length=100, recompute=True) == 300 * ((12 * 2 + 32) * 768 + outside)


def test_activations_of_a_llama_by_hand() -> None:
    spec = lfs.spec({"model_type": "llama", **TINY})
    attention = 32 + 16 + 16 + 32 + 32  # queries, keys, values, what attention makes, what the output matrix makes
    layer = 2 * 32 + attention + 3 * 48 + 32
    assert activation_memory(spec, length=10) == 10 * (2 * (3 * layer + 2 * 32) + 4 * 64)
    assert activation_memory(spec, length=10, bytes_each=4) == 10 * (4 * (3 * layer + 2 * 32) + 4 * 64)


@pytest.mark.parametrize(
    "name", ["mixtral-8x7b", "mamba-130m", "stripedhyena-7b", "gopher-44m", "glm-130b", "opt-350m"]
)
def test_every_kind_of_model_has_activations(name: str) -> None:
    spec = lfs.spec(name)
    kept, again = (activation_memory(spec, length=64, recompute=flag) for flag in (False, True))
    assert 0 < again < kept
    assert activation_memory(spec, rows=2, length=64) == 2 * kept


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rule_of_thumb(0), "parameters must be more than 0"),
        (lambda: rule_of_thumb(1e9, -4), "bits must be more than 0"),
        (lambda: training_memory(1e9, optimizer="adagrad"), "optimizer must be one of adamw, adam, lion, sgd"),
        (lambda: training_memory(1e9, precision="fp8"), "precision must be one of float32, mixed, bfloat16"),
        (lambda: training_memory(float("nan")), "parameters must be finite"),
        (lambda: activation_memory(lfs.spec("gpt2"), rows=0), "rows must be a whole number"),
        (lambda: activation_memory(lfs.spec("gpt2"), length=True), "length must be a whole number"),
        (lambda: loading(lfs.spec("gpt2"), rows=1.5), "rows must be a whole number"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
