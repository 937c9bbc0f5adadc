"""Scores of heads whose attention is known."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.interpretability import induction_scores, offset_scores
from llm_from_scratch.interpretability.induction import attention_maps

from .test_stream import IDS, PREFIXES, small


def test_scores_are_means_over_a_diagonal_of_the_maps():
    model = small("llama")
    ids = np.random.default_rng(3).integers(0, 30, (2, 12))
    maps = attention_maps(model, ids)
    scores = offset_scores(model, ids, 3, start=5)
    for layer in range(3):
        for head in range(4):
            by_hand = np.mean([maps[layer][b, head, t, t - 3] for b in range(2) for t in range(5, 12)])
            assert scores[layer, head] == pytest.approx(by_hand, abs=1e-14)


def test_a_head_that_looks_at_what_followed_scores_one(monkeypatch):
    """Attention is planted: head 2 looks behind the last occurrence of its token, the others at themselves."""
    rng = np.random.default_rng(0)
    once = np.stack([rng.choice(30, 7, replace=False) for _ in range(4)])  # what the default seed draws
    ids = np.concatenate([once, once], axis=1)

    def planted(q, k, **settings):
        maps = np.tile(np.eye(14), (4, 4, 1, 1))
        for b, row in enumerate(ids):
            for t in range(7, 14):
                maps[b, 2, t] = np.eye(14)[list(row).index(row[t]) + 1]
        return maps

    monkeypatch.setattr("llm_from_scratch.layers.attention.F.attention_weights", planted)
    scores = induction_scores(small("llama"), length=7)
    np.testing.assert_allclose(scores[:, 2], 1.0)
    np.testing.assert_allclose(scores[:, [0, 1, 3]], 0.0)


def test_layers_without_heads_are_nan():
    scores = induction_scores(small("stripedhyena"), length=5)
    assert scores.shape == (3, 4) and np.isnan(scores).any() and not np.isnan(scores).all()
    assert induction_scores(small("mamba"), length=5).shape == (3, 0)


@pytest.mark.parametrize("add", PREFIXES)
def test_a_learned_prefix_is_left_out(add):
    model = small("llama")
    add(model, 3)
    with model.record() as seen, lfs.no_grad():
        model(IDS)
    for found, whole in zip(attention_maps(model, IDS), seen["attention"], strict=True):
        first = whole.shape[2] - 9  # tokens of a prompt are queries too, keys of a prefix are not
        np.testing.assert_array_equal(found, whole[:, :, first:, 3:])


@pytest.mark.parametrize("settings, message", [
    ({"length": 1}, "at least 2"), ({"rows": 0}, "at least 1"), ({"length": True}, "at least 2"),
    ({"tokens": (5, 5)}, "a range of ids"), ({"tokens": (0, 31)}, "a range of ids"), ({"length": 40}, "positions"),
])  # fmt: skip
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        induction_scores(small("gpt2"), **settings)


@pytest.mark.parametrize("offset, start", [(-1, None), (4, 3), (9, None), (2, 9)])
def test_offsets_outside_the_text_are_refused(offset, start):
    with pytest.raises(ValueError, match="0 <= offset <= start < T"):
        offset_scores(small("llama"), IDS, offset, start=start)
