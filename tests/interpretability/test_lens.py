"""The logit lens against the model itself with its last layers silenced."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.interpretability import logit_lens

from .test_stream import IDS, PREFIXES, small


@pytest.mark.parametrize("family", all_families())
def test_entries_are_what_the_head_makes_of_each_layers_input(family):
    model = small(family)
    said = logit_lens(model, IDS)
    with lfs.no_grad():
        assert said.shape == (len(model.layers) + 1, 2, 9, 30) and np.array_equal(said[-1], model(IDS).data)
        for i in range(3):  # the same by another way: the remaining layers pass on what they read
            with lfs.no_grad():
                layers, model.layers = model.layers, model.layers[:i]
                try:
                    np.testing.assert_allclose(said[i], model(IDS).data, rtol=0, atol=1e-12)
                finally:
                    model.layers = layers


@pytest.mark.parametrize("add", PREFIXES)
def test_a_learned_prefix_is_left_out(add):
    model = small("llama")
    add(model, 3)
    said = logit_lens(model, IDS)
    assert said.shape == (4, 2, 9, 30)
    with lfs.no_grad():
        np.testing.assert_array_equal(said[0], model.head(model.norm(model.embed(IDS))).data)
