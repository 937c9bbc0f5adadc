"""Activation patching where the path of the information is known."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.interpretability import activation_patching

from .test_stream import PREFIXES, small

CLEAN, WRONG = np.array([[3, 1, 4, 1, 5]]), np.array([[3, 9, 4, 1, 5]])


def last(logits):
    return float(logits[0, -1, 2])


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "glm", "stripedhyena"])
def test_the_stream_carries_everything_and_only_from_where_the_texts_differ(family):
    model = small(family)
    table = activation_patching(model, CLEAN, WRONG, last)
    assert table.shape == (3, 5)
    np.testing.assert_allclose(table[:, 0], 0, atol=1e-9)  # equal until then
    np.testing.assert_allclose(table[-1], [0, 0, 0, 0, 1], atol=1e-9)
    assert abs(table[0, 1]) > 1e-3  # after one layer, still at the word


@pytest.mark.parametrize("add", PREFIXES)
def test_places_are_those_of_the_text_behind_a_learned_prefix(add):
    model = small("llama")
    add(model, 3)
    table = activation_patching(model, CLEAN, WRONG, last)
    np.testing.assert_allclose(table[:, 0], 0, atol=1e-9)
    np.testing.assert_allclose(table[-1], [0, 0, 0, 0, 1], atol=1e-9)
    assert abs(table[0, 1]) > 1e-3


def test_nothing_moves_sideways_where_attention_is_silenced():
    model = small("llama")
    for layer in range(3):
        model.layers[layer].mixer.output.weight.data *= 0
    with pytest.raises(ValueError, match="no effect"):  # the last token cannot know of the second
        activation_patching(model, CLEAN, WRONG, last)
    table = activation_patching(model, CLEAN, WRONG, lambda logits: float(logits[0, 1, 2]))
    np.testing.assert_allclose(table, np.tile([0, 1, 0, 0, 0], (3, 1)), atol=1e-9)


def test_parts_of_a_layer():
    model = small("llama")
    for part in ("mixer", "feed_forward"):
        table = activation_patching(model, CLEAN, WRONG, last, part=part)
        assert table.shape == (3, 5) and abs(table).max() > 1e-3
        np.testing.assert_allclose(table[:, 0], 0, atol=1e-9)
    with pytest.raises(ValueError, match="no layer has a part 'experts'; they have feed_forward, mixer"):
        activation_patching(model, CLEAN, WRONG, last, part="experts")


@pytest.mark.parametrize("other", [CLEAN[:, :4], CLEAN[0], np.concatenate([CLEAN, CLEAN])])
def test_texts_of_other_lengths_are_refused(other):
    with pytest.raises(ValueError, match="single rows of the same length"):
        activation_patching(small("llama"), CLEAN, other, last)
