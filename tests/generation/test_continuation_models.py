"""Generation over real models: cached equals recomputed, a row of a batch equals the prompt alone."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.checkpoints import build
from llm_from_scratch.generation import generate

FAMILIES = {
    "llama": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "intermediate_size": 24, "vocab_size": 50, "max_position_embeddings": 32, "initializer_range": 0.3},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "n_positions": 32, "initializer_range": 0.3},
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def model(request):
    return build(request.param, seed=1, dtype=np.float64, **FAMILIES[request.param])


def test_greedy_with_a_memory_is_greedy_without(model):
    prompt = [3, 1, 4, 1, 5]
    out = model.generate([prompt], max_new_tokens=12, temperature=0.0)
    ids = list(prompt)
    for _ in range(12):
        ids.append(int(model(np.array([ids])).data[0, -1].argmax()))
    assert out.tolist() == [ids]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_of_unequal_length(model, temperature):
    prompts = [[7, 8, 9, 10, 11, 12], [3], [20, 21, 22]]
    ids = np.array([[0] * (6 - len(p)) + p for p in prompts])
    mask = np.array([[False] * (6 - len(p)) + [True] * len(p) for p in prompts])
    settings = {"max_new_tokens": 15, "temperature": temperature, "stop_tokens": [5, 6]}
    together = model.generate(ids, mask=mask, seed=40, **settings)
    for row, prompt in enumerate(prompts):
        alone = model.generate([prompt], seed=40 + row, **settings)[0, len(prompt) :]
        found = together[row, 6:]
        assert found[: len(alone)].tolist() == alone.tolist() and set(found[len(alone) :].tolist()) <= {5}


def test_rows_that_have_ended_are_no_longer_computed(model):
    class Counting:
        position_limit = None

        def new_memory(self, batch_size):
            return model.new_memory(batch_size)

        def step(self, ids, memory, mask=None):
            rows.append(len(ids))
            return model.step(ids, memory, mask)

    rows = []
    settings = {"max_new_tokens": 25, "stop_tokens": list(range(1, 7)), "seed": 3}
    ids = np.random.default_rng(0).integers(7, 50, size=(12, 3))
    together = generate(Counting(), ids, **settings)
    assert rows[0] == 12 and rows == sorted(rows, reverse=True) and 0 < rows[-1] < 6
    for row in range(12):
        alone = model.generate(ids[row : row + 1], **{**settings, "seed": 3 + row})[0]
        assert together[row, : len(alone)].tolist() == alone.tolist()


def test_bad_ids_and_too_many_positions(model):
    with pytest.raises(ValueError, match="50"):
        model.generate([[50]], max_new_tokens=1)
    if "n_positions" in model.config:
        assert model.position_limit == model.config["n_positions"] == 32
        steps = []
        with pytest.raises(ValueError, match="need 33 positions, this model has 32: shorten the prompt"):
            model.generate([[1, 2]], max_new_tokens=32, stream=steps.append)
        assert steps == []  # refused before the first token
        assert model.generate([[1, 2]], max_new_tokens=31).shape == (1, 33)
    else:
        assert model.position_limit is None
