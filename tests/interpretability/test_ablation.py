"""Heads switched off, against a model whose weights say the same."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.interpretability import ablate_heads, head_means
from llm_from_scratch.interpretability.heads import with_heads

from .test_stream import IDS, small

HEADED = ["llama", "gpt2", "gopher", "bloom", "falcon", "mpt", "glm", "mixtral"]


@pytest.mark.parametrize("family", HEADED)
def test_a_head_without_a_say_is_a_head_whose_output_rows_are_zero(family):
    model = small(family)
    with lfs.no_grad(), ablate_heads(model, [(1, 2), (1, 0), (2, 3)]):
        without = model(IDS).data
    for layer, head in [(1, 2), (1, 0), (2, 3)]:
        mixer = with_heads(model)[f"layers.{layer}.mixer"]
        width = mixer.spec.head_dim
        mixer.output.weight.data[head * width : (head + 1) * width] = 0
    with lfs.no_grad():
        np.testing.assert_allclose(without, model(IDS).data, rtol=0, atol=1e-12)


def test_all_is_as_before_afterwards_and_after_an_error():
    model = small("llama")
    before = model(IDS).data
    with pytest.raises(RuntimeError), ablate_heads(model, [(0, 1)]):
        assert not np.array_equal(model(IDS).data, before)
        raise RuntimeError
    np.testing.assert_array_equal(model(IDS).data, before)


def test_means_are_what_a_head_says_on_the_average():
    model = small("llama")
    means = head_means(model, IDS)
    assert {layer: mean.shape for layer, mean in means.items()} == dict.fromkeys(range(3), (4, 8))
    seen = []
    with model.patch("layers.1.mixer.output", lambda read: (seen.append(read.data), read)[1], at="input"):
        model(IDS)
    np.testing.assert_allclose(means[1][2], seen[0][..., 16:24].mean(axis=(0, 1)), atol=1e-14)
    with ablate_heads(model, [(1, 2)], means=means), lfs.no_grad():
        out = model(IDS).data
    with lfs.no_grad(), ablate_heads(model, [(1, 2)]):
        assert abs(out - model(IDS).data).max() > 1e-6


def test_what_stands_before_the_text_is_not_in_the_means():
    """A learned prompt is read like tokens, but it is none of ids."""
    model = small("llama")
    lfs.adapters.add_prompt(model, 3)
    seen = []
    with model.patch("layers.1.mixer.output", lambda read: (seen.append(read.data), read)[1], at="input"):
        model(IDS)
    assert seen[0].shape[1] == IDS.shape[1] + 3
    np.testing.assert_allclose(head_means(model, IDS)[1].reshape(-1), seen[0][:, 3:].mean(axis=(0, 1)), atol=1e-14)


def test_a_mean_in_the_place_of_every_text_alike_changes_nothing():
    model = small("llama")
    ids = np.full((1, 6), 7)  # the same token everywhere: without a window every head says the same at every place
    with lfs.no_grad():
        before = model(ids).data
        with ablate_heads(model, [(0, h) for h in range(4)], means=head_means(model, ids)):
            np.testing.assert_allclose(model(ids).data, before, atol=1e-12)


@pytest.mark.parametrize("heads, message", [
    ([(3, 0)], "layers 0..2"), ([(-1, 0)], "layers 0..2"), ([(0, 4)], "heads 0..3, not 4"),
    ([(True, 0)], "layers 0..2"), ([(0, -1)], "heads 0..3"), ([(0, 1.0)], "heads 0..3, not 1.0"),
    ([(0, True)], "heads 0..3, not True"), ([(0,)], r"a pair \(layer, head\)"), ([3], "a pair"),
])  # fmt: skip
def test_heads_that_there_are_not_are_refused(heads, message):
    with pytest.raises(ValueError, match=message), ablate_heads(small("llama"), heads):
        raise AssertionError("refused before anything runs")


def test_a_layer_without_heads_is_refused_by_the_name_of_its_mixer():
    with pytest.raises(ValueError, match="layer 0 has no heads: it has Mamba"), ablate_heads(small("mamba"), [(0, 0)]):
        raise AssertionError("refused before anything runs")


def test_means_of_another_model_are_refused():
    with pytest.raises(ValueError, match="no means of the heads of layers.0.mixer"):
        with ablate_heads(small("llama"), [(0, 0)], means={0: np.zeros((2, 8))}):
            raise AssertionError("refused before anything runs")
