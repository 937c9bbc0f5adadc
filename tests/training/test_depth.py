"""Statistics by depth: which layer a tensor belongs to, and how tensors add up to a layer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm_from_scratch.training.depth import by_depth, layer_of, plot_statistics


def entry(step, scale=1.0):
    return {
        "step": step,
        "activations": {"embedding": {"rms": 0.1}, "layers.0.mixer": {"rms": 9.0}, "layers.0": {"rms": 2.0 * scale},
                        "layers.10": {"rms": 4.0}, "norm": {"rms": 1.0}},
        "parameters": {
            "embedding.weight": {"gradient": 1.0, "weight": 2.0, "update": 0.5},
            "layers.0.a": {"gradient": 3.0 * scale, "weight": 3.0, "update": 0.1},
            "layers.0.b": {"gradient": 4.0 * scale, "weight": 4.0, "update": 0.2},
        },
    }  # fmt: skip


def test_tensors_add_up_to_layers():
    names, table = by_depth([entry(1), entry(2, 2.0)], "gradient")
    assert names == ["embedding", "layers.0"]
    np.testing.assert_allclose(table, [[1, 1], [5, 10]])
    _, table = by_depth([entry(1)], "update")
    np.testing.assert_allclose(table[:, 0], [0.5, math.hypot(0.3, 0.8) / 5])


def test_of_activations_the_layers_and_what_they_read():
    names, table = by_depth([entry(1), entry(3, 2.0)], "rms")
    assert names == ["embedding", "layers.0", "layers.10"]
    np.testing.assert_allclose(table, [[0.1, 0.1], [2, 4], [4, 4]])


@pytest.mark.parametrize("path, layer", [
    ("layers.3.feed_forward.experts.2.up.weight", "layers.3"), ("model.layers.0.mixer", "model.layers.0"),
    ("layers.12", "layers.12"), ("norm.weight", "norm"), ("head", "head"),
])  # fmt: skip
def test_which_layer_a_path_is_in(path, layer):
    assert layer_of(path) == layer


def test_nothing_measured_is_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no statistics yet"):
        plot_statistics([], tmp_path / "a.png")
    one = plot_statistics([entry(5)], tmp_path / "a.png")
    assert one.exists()
