"""Costs against formulas, and against what models really hold and remember."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.scaling.bill import PRECISIONS, costs
from llm_from_scratch.zoo import catalogue

TINY: dict[str, Any] = dict(vocab_size=11, hidden_size=8, intermediate_size=12, num_hidden_layers=2)
TINY |= dict(num_attention_heads=4, num_key_value_heads=2)


def test_costs_of_llama_2_7b_by_hand() -> None:
    bill = costs(lfs.spec("llama-2-7b"))
    d, layers, inner, vocabulary = 4096, 32, 11008, 32000
    assert bill.parts == {
        "embedding": vocabulary * d,
        "norms": (2 * layers + 1) * d,
        "mixers": layers * 4 * d * d,
        "feed-forward": layers * 3 * d * inner,
        "head": vocabulary * d,
    }
    assert sum(bill.parts.values()) == bill.parameters == bill.active_parameters == 6_738_415_616
    assert bill.memory_per_token == 2 * layers * d * 2 and bill.memory_fixed == 0
    assert bill.matrix_flops_per_token == 2 * (layers * (4 * d * d + 3 * d * inner) + vocabulary * d)
    assert bill.attention_flops_per_token == layers * 4 * d * 4097 // 2
    assert bill.bytes_to_load["float32"] == 4 * bill.parameters and list(PRECISIONS) == list(bill.bytes_to_load)
    assert bill.training_flops(2e12)["6ND"] == 6 * bill.parameters * 2e12
    assert bill.training_flops(1.0)["counted"] == 3 * bill.forward_flops_per_token


def test_a_tied_head_costs_flops_but_no_parameters() -> None:
    tied, untied = (lfs.spec({"model_type": "gpt2", "tie_word_embeddings": flag}) for flag in (True, False))
    assert costs(untied).parameters - costs(tied).parameters == 50257 * 768
    assert costs(untied).matrix_flops_per_token == costs(tied).matrix_flops_per_token


@pytest.mark.parametrize("window", [1, 5, 12, 40])
def test_attention_flops_count_the_keys_that_are_seen(window: int) -> None:
    length = 12
    spec = lfs.spec(
        {"model_type": "gpt_neo", "num_layers": 2, "attention_types": [[["local"], 2]], "window_size": window}
    )
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    seen = ((distance >= 0) & (distance < window)).sum()
    assert spec.attention_flops(length) == 2 * 4 * 2048 * seen
    assert costs(spec, length=length).attention_flops_per_token == round(2 * 4 * 2048 * seen / length)


def test_the_cache_is_as_large_as_announced() -> None:
    """bfloat16 is announced; the cache in memory is float32, twice as large."""
    model = lfs.build("llama", **TINY)
    memory = model.new_memory(1)
    model.step(np.zeros((1, 7), int), memory)
    bill = costs(model.spec)
    assert memory.nbytes == 7 * 2 * bill.memory_per_token and bill.memory_fixed == 0


def test_states_and_windows_are_fixed_costs() -> None:
    mamba = lfs.build("mamba", vocab_size=11, hidden_size=16, num_hidden_layers=3)
    bill = costs(mamba.spec)
    sizes = []
    for length in (5, 9):
        memory = mamba.new_memory(1)
        mamba.step(np.zeros((1, length), int), memory)
        sizes.append(memory.nbytes)
    assert sizes[0] == sizes[1] == bill.memory_fixed and bill.memory_per_token == 0
    local = costs(lfs.spec({"model_type": "gpt_neo", "num_layers": 2, "attention_types": [[["global", "local"], 1]]}))
    assert local.memory_per_token == 2 * 2048 * 2 and local.memory_fixed == 256 * 2 * 2048 * 2


@pytest.mark.parametrize("length, held", [(100, 100), (4096, 4096), (30000, 4096)])
def test_a_window_takes_what_its_tokens_take_until_it_is_full(length: int, held: int) -> None:
    bill = costs(lfs.spec("mistral-7b"), length=length)
    token = 32 * 2 * 8 * 128 * 2  # layers, key and value, heads of width 128, bfloat16
    assert (bill.memory_before_windows, bill.memory_per_token) == (token, 0)
    assert bill.memory_at_length == held * token
    changed = catalogue.difference("llama-2-7b", "mistral-7b")
    assert changed["memory per token (bytes)"] == ("524,288", "131,072")
    assert changed["… once windows are full"] == ("524,288", "0")


def test_experts_that_are_not_chosen_cost_no_flops() -> None:
    bill = costs(lfs.spec("mixtral-8x7b"))
    assert bill.active_parameters == bill.parameters - 32 * 6 * 3 * 4096 * 14336
    assert 12.8e9 < bill.active_parameters < 12.9e9  # the paper's 12.9B
    assert bill.matrix_flops_per_token < 2 * bill.active_parameters


def test_a_step_is_three_forwards_and_recomputing_one_more_of_the_layers() -> None:
    bill = costs(lfs.spec("llama-2-7b"))
    plain, again = bill.step_flops(10), bill.step_flops(10, recompute=True)
    assert plain["backward"] == 2 * plain["forward"] and plain["total"] == bill.training_flops(10)["counted"]
    assert plain["recompute"] == 0 and again["total"] == plain["total"] + again["recompute"]
    assert again["recompute"] == plain["forward"] - 10 * 2 * 4096 * 32000  # all but the head
