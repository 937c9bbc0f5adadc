"""Calibration text: its rows, what is refused, and its way through the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.compression.calibration import Flow, calibration_rows, check_calibration, watching
from llm_from_scratch.layers import Linear
from llm_from_scratch.recipes.technique_table import VOCABULARY, small_model

IDS = np.random.default_rng(0).integers(0, VOCABULARY, (7, 20))


def test_rows_are_spread_over_the_text_and_all_of_it_where_there_is_no_more() -> None:
    text = np.arange(103)
    assert calibration_rows(text, context=10).tolist() == text[:100].reshape(10, 10).tolist()
    assert calibration_rows(text, context=10, rows=50).shape == (10, 10)
    assert calibration_rows(text, context=10, rows=3)[:, 0].tolist() == [0, 40, 90]
    assert calibration_rows(text, context=10, rows=1)[:, 0].tolist() == [0]


@pytest.mark.parametrize(
    ("ids", "settings", "message"),
    [
        (np.arange(9), {"context": 10}, "9 tokens is too short: not one row of 10"),
        (np.empty(0, int), {"context": 10}, "0 tokens is too short"),
        (np.arange(20).reshape(2, 10), {"context": 5}, "too short"),
        (np.arange(20), {"context": 0}, "context is a positive whole number"),
        (np.arange(20), {"context": 5, "rows": 0}, "rows is a positive whole number"),
    ],
)
def test_rows_that_cannot_be_had(ids: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration_rows(ids, **settings)


def test_a_single_text_is_cut_to_what_the_model_reads() -> None:
    text = np.random.default_rng(0).integers(0, 50, 1100)
    assert check_calibration(text, 50).shape == (2, 512)
    assert check_calibration(text, 50, 64).shape == (17, 64)
    assert check_calibration(text[:40], 50).shape == (1, 40)
    with pytest.raises(ValueError, match="rows of 20 tokens exceed the 16 positions"):
        check_calibration(IDS, VOCABULARY, 16)
    with pytest.raises(ValueError, match="only 2 differ"):
        check_calibration(np.tile([3, 4], 50), 50)
    assert check_calibration(np.tile([0, 1], 50), 2).shape == (1, 100)  # all that there is to differ


@pytest.mark.parametrize("family", ["gpt2", "bloom", "mamba", "glm", "stripedhyena"])
@pytest.mark.parametrize("at_once", [20, 60, 10**6])
def test_states_between_layers_are_those_of_a_pass(family: str, at_once: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("llm_from_scratch.compression.calibration._AT_ONCE", at_once)
    model = small_model(family)
    states: list[Any] = []
    with lfs.no_grad():
        model.states({"ids": IDS}, hidden=states)
    layers = model.layers
    flow = Flow.of(model, IDS)
    assert model.layers is layers and len(flow.contexts) == -(-len(IDS) * 20 // max(20, at_once // 20 * 20))
    for layer, wanted in zip(layers, states, strict=False):
        np.testing.assert_allclose(flow.states, wanted.data, atol=2e-5)
        flow.advance(layer)
    with lfs.no_grad():
        np.testing.assert_allclose(model.norm(lfs.Tensor(flow.states)).data, states[-1].data, atol=2e-5)


def test_the_model_has_its_layers_again_whatever_happens() -> None:
    model = small_model("gpt2")
    layers = model.layers
    with pytest.raises(ValueError, match="outside the vocabulary"):
        Flow.of(model, IDS + 1000)
    assert model.layers is layers


def test_what_is_watched_is_what_a_module_is_called_with_and_nothing_stays_behind() -> None:
    layer, seen = Linear(3, 2, rng=np.random.default_rng(0)), []
    x = lfs.Tensor(np.ones((4, 3), np.float32))
    with watching({"it": layer}, lambda name, *args: seen.append((name, args[0]))):
        with watching({"too": layer}, lambda name, *args: seen.append((name, args[0]))):
            y = layer(x)
        with pytest.raises(ValueError, match="does not fit|shape|in"):
            layer(lfs.Tensor(np.ones((4, 5), np.float32)))
    assert [name for name, _ in seen] == ["too", "it", "it"] and seen[0][1] is x and seen[1][1] is x
    assert type(layer) is Linear and (layer(x).data == y.data).all() and len(seen) == 3
