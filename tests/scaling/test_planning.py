"""Plans: every budget, their consistency, the LLaMA that is named, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.models.decoder import Decoder
from llm_from_scratch.scaling.energy import flops_of
from llm_from_scratch.scaling.laws import CHINCHILLA, REPLICATION, optimal_allocation
from llm_from_scratch.scaling.planning import llama_of, plan


def test_a_budget_of_flops() -> None:
    found = plan(flops=1e21)
    assert (found.parameters, found.tokens) == optimal_allocation(1e21, REPLICATION)
    assert found.flops == pytest.approx(1e21) and found.serving_flops == 0
    assert found.bytes == 16 * found.parameters and found.days == pytest.approx(found.used.gpu_hours / found.gpus / 24)
    assert plan(flops=1e21, law=CHINCHILLA).parameters < found.parameters
    assert found.to_json()["used"]["gpu_hours"] == found.used.gpu_hours


def test_hours_are_flops() -> None:
    by_hours = plan(hours=1000, gpu="h100", utilisation=0.3)
    assert by_hours.flops == pytest.approx(flops_of(1000, "h100", 0.3)) and by_hours.used.gpu_hours == pytest.approx(
        1000
    )


def test_tokens_and_parameters() -> None:
    tokens = plan(tokens=300e9)
    assert tokens.tokens == 300e9 and optimal_allocation(tokens.flops, REPLICATION)[1] == pytest.approx(300e9)
    both = plan(tokens=1.4e12, parameters=65.2e9)
    assert (both.parameters, both.tokens) == (65.2e9, 1.4e12)
    alone = plan(parameters=7e9)
    assert optimal_allocation(alone.flops, REPLICATION)[0] == pytest.approx(7e9)
    fixed = plan(parameters=7e9, flops=1e22)
    assert fixed.tokens == pytest.approx(1e22 / 42e9)


def test_serving_makes_it_smaller_and_the_loss_is_kept() -> None:
    plain, used = plan(flops=1e23), plan(flops=1e23, served=1e13)
    assert used.parameters < plain.parameters and used.loss == pytest.approx(plain.loss)
    assert used.serving_flops == 2 * used.parameters * 1e13
    assert used.flops + used.serving_flops < plain.flops + 2 * plain.parameters * 1e13
    same = plan(tokens=plain.tokens, served=1e13)
    assert same.parameters == pytest.approx(used.parameters, rel=1e-6)


@pytest.mark.parametrize("size", np.geomspace(5e6, 5e11, 26))
def test_the_llama_is_of_that_size_and_can_be_described(size: float) -> None:
    config = llama_of(size)
    spec = lfs.spec(config)
    assert abs(Decoder(spec).parameter_count / size - 1) < 0.2
    assert spec.hidden_size % config["num_attention_heads"] == 0


def test_the_llama_of_a_small_vocabulary() -> None:
    spec = lfs.spec(llama_of(3e5, vocabulary=512, context=64))
    assert spec.vocab_size == 512 and spec.context_length == 64 and spec.tied


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "give one budget"),
        ({"flops": 1e21, "hours": 10}, "give one budget.*flops, hours"),
        ({"flops": 0}, "flops must be more than 0"),
        ({"hours": -1}, "gpu_hours must be more than 0"),
        ({"tokens": float("nan")}, "tokens must be finite"),
        ({"flops": 1e21, "served": -1}, "served must be at least 0"),
        ({"parameters": 1e9, "tokens": 1e9, "served": 1e9}, "served tokens choose the size"),
        ({"flops": 1e21, "gpu": "abacus"}, "unknown accelerator 'abacus'"),
        ({"flops": 1e21, "utilisation": 2.0}, "utilisation is a share"),
        ({"flops": 1e21, "gpus": 0}, "gpus must be a whole number"),
        ({"flops": 1e21, "price": -1}, "price must be at least 0"),
        ({"parameters": 7e9, "flops": 1e6}, "too small: 7e\\+09 parameters would read 2.38e-05 tokens"),
        ({"parameters": 7e9, "tokens": 0.5}, "too small: 7e\\+09 parameters would read 0.5 tokens"),
        ({"parameters": 1e5}, "no LLaMA of about 1e\\+05 parameters"),
        ({"parameters": 1e15}, "no LLaMA of about 1e\\+15 parameters .* to 2.64e\\+13"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**settings)
