"""Beams change places and are doubled: whatever a model remembers follows them, or the answers would differ."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.generation import generate

from .conftest import MODELS, model_of


class Rereading:
    """The same model without a memory of its own: it keeps the ids and reads all of them again for every token."""

    def __init__(self, model):
        self.model = model

    def new_memory(self, batch_size):
        return Texts([] for _ in range(batch_size))

    def step(self, ids, memory, mask=None):
        mask = np.ones(np.shape(ids), bool) if mask is None else mask
        for row, text in enumerate(memory):
            memory[row] = text + ids[row][mask[row]].tolist()
        with lfs.no_grad():
            return np.stack([self.model([text]).data[0, -1] for text in memory])


class Texts(list):
    def select(self, rows):
        self[:] = [self[row] for row in rows]


@pytest.mark.parametrize("name", MODELS)
def test_beams_with_a_memory_are_beams_without(name):
    model = model_of(name)
    prompts = [[7, 8, 9, 10, 11, 12], [13], [20, 21, 22]]
    ids = np.array([[0] * (6 - len(prompt)) + prompt for prompt in prompts])
    settings = {"max_new_tokens": 12, "num_beams": 3, "stop_tokens": [3, 4], "mask": ids > 0, "no_repeat_ngram_size": 2}
    found = generate(model, ids, **settings)
    np.testing.assert_array_equal(found, generate(Rereading(model), ids, **settings))
    greedy = generate(model, ids, **{**settings, "num_beams": 1, "temperature": 0.0})
    assert found.shape != greedy.shape or (found != greedy).any()  # the beams did something


def test_positions_are_limited_with_beams_too():
    model = model_of("gpt2_tied")
    limit = model.position_limit
    assert generate(model, [[5] * (limit - 3)], max_new_tokens=4, num_beams=2, stop_tokens=()).shape == (1, limit + 1)
    with pytest.raises(ValueError, match=f"need {limit + 1} positions, this model has {limit}"):
        generate(model, [[5] * (limit - 3)], max_new_tokens=5, num_beams=2)
    assert generate(model, [[5]], max_new_tokens=2, num_beams=100, stop_tokens=()).shape == (1, 3)  # more than words
