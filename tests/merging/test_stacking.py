"""Layers stacked and renumbered, and SOLAR's numbers."""

import numpy as np
import pytest

import llm_from_scratch.merging as M
from llm_from_scratch.merging.stacking import depth_of, layer_of


def _model(layers, mark=0):
    names = {"embed.weight": -1, "head.weight": -2}
    return {name: np.array(value) for name, value in names.items()} | {
        f"model.layers.{k}.experts.{e}.w": np.array(100 * mark + 10 * k + e) for k in range(layers) for e in range(2)
    }


def test_solar_makes_48_layers_of_32():
    model = _model(32)
    deep = M.depth_up_scale(model, drop=8)
    assert depth_of(deep) == 48 and deep.keys() == _model(48).keys()
    order = [int(deep[f"model.layers.{k}.experts.1.w"]) // 10 for k in range(48)]
    assert order == [*range(24), *range(8, 32)]
    assert deep["model.layers.30.experts.1.w"] == model["model.layers.14.experts.1.w"]


def test_layers_of_several_models_and_what_is_outside_from_the_first():
    a, b = _model(3, 1), _model(3, 2)
    b["embed.weight"] = np.array(7)
    found = M.stack([(a, 1, 3), (b, 0, 1)])
    assert [int(found[f"model.layers.{k}.experts.0.w"]) for k in range(3)] == [110, 120, 200]
    assert found["embed.weight"] == -1 and depth_of(found) == 3


@pytest.mark.parametrize("part", [(0, 4), (-1, 2), (2, 2), (2, 1)])
def test_ranges_that_are_none(part):
    with pytest.raises(ValueError, match=r"layers .* to .* of a model that has 3"):
        M.stack([(_model(3), *part)])
    with pytest.raises(ValueError, match="no layers"):
        M.stack([])


@pytest.mark.parametrize("drop", [-1, 3, 1.0, True])
def test_what_cannot_be_dropped(drop):
    with pytest.raises(ValueError, match="drop must be"):
        M.depth_up_scale(_model(3), drop=drop)


def test_numbers_that_are_no_layers():
    assert layer_of("h.3.w") == ("h.", 3, ".w") and layer_of("0.w") == ("", 0, ".w")
    for name in ("w", "conv1d.weight", "layers.x.w", "h3.w", "w.3"):
        assert layer_of(name) is None, name


def test_passthrough_is_the_tensor_or_scaled():
    x = np.ones(3, np.float32)
    assert M.passthrough(x) is x
    np.testing.assert_array_equal(M.passthrough(x, 0.25), [0.25] * 3)
    assert M.passthrough(x, 0.25).dtype == np.float32
