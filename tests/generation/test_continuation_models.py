"""Generation over real models: cached equals recomputed, a row of a batch equals the prompt alone."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.checkpoints import build

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
