"""Relative attention against XLNet's core (fixtures/make_relative_attention.py) and the formula, pair by pair."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.functional import relative_positions as module

FROZEN = load_file(Path(__file__).with_name("fixtures") / "relative_attention.safetensors")
NAMES = ("heads.q", "heads.k", "heads.v", "heads.relative", "content_bias", "position_bias")


@pytest.mark.parametrize("block", [4, 128])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("case", ["plain", "memory"])
def test_output_and_gradients_equal_xlnet_s(
    case: str, dtype: Any, tolerance: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    leaves = [Tensor(FROZEN[f"{case}.{name}"].astype(dtype), requires_grad=True) for name in NAMES]
    offset = leaves[1].shape[2] - leaves[0].shape[2]
    assert (offset > 0) == (case == "memory")
    y = F.relative_attention(*leaves, key_offset=offset)
    wanted = FROZEN[f"{case}.attended"]
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(y.data, wanted, rtol=0, atol=tolerance)
    y.backward(FROZEN[f"{case}.attended.gradient"].astype(dtype))
    for name, leaf in zip(NAMES, leaves):
        wanted = FROZEN[f"{case}.{name}.gradient"]
        assert leaf.grad.dtype == dtype and np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(leaf.grad, wanted, rtol=0, atol=5 * tolerance, err_msg=name)


def inputs(rng: np.random.Generator, length: int = 7, keys: int = 10, heads: int = 3) -> list[np.ndarray]:
    shapes = [
        (2, heads, length, 4),
        (2, heads, keys, 4),
        (2, heads, keys, 5),
        (heads, keys + 1, 4),
        (heads, 4),
        (heads, 4),
    ]
    return [rng.normal(size=shape) for shape in shapes]


BIAS = np.where(np.arange(10) < np.array([[4], [0]]), -np.inf, 0.0)
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"key_offset": 3},
    "scale": {"key_offset": 3, "scale": 0.2},
    "padding, and queries that see nothing": {"key_offset": 3, "key_bias": BIAS},
    "documents": {"key_offset": 3, "segments": np.array([[0] * 4 + [1] * 6, [2] * 9 + [3]])},
    "more keys than are seen": {"key_offset": 0},
}


@pytest.mark.parametrize("block", [1, 3, 128])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_the_formula(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    arrays = inputs(np.random.default_rng(1))
    expected = F.plain.relative_attention(*arrays, **SETTINGS[name])
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(F.relative_attention(*arrays, **SETTINGS[name]).data, expected, rtol=0, atol=1e-13)


def test_tiles_of_some_heads_give_what_one_tile_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = inputs(np.random.default_rng(2), heads=5)
    cotangent = np.random.default_rng(3).normal(size=(2, 5, 7, 5))
    results = []
    for limit in (1 << 20, 2 * 2 * 7 * 10 * 8):  # bytes: all heads together, or two at a time
        monkeypatch.setattr(module, "TILE_BYTES", limit)
        leaves = [Tensor(array, requires_grad=True) for array in arrays]
        y = F.relative_attention(*leaves, key_offset=3)
        y.backward(cotangent)
        results.append([y.data, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_memory_grows_with_the_length_alone() -> None:
    peaks = []
    for length in (512, 1024, 2048):
        arrays = [np.zeros(s, np.float32) for s in [(1, 1, length, 64)] * 3 + [(1, length, 64), (1, 64), (1, 64)]]
        tracemalloc.start()
        with no_grad():
            F.relative_attention(*arrays)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 2.2 * peaks[1] < 5 * peaks[0]
    assert peaks[2] < 4 * 2048 * 2048 / 2  # bytes: half of one T × T matrix, let alone T × T × D


@pytest.mark.parametrize(
    "change, message",
    [
        ({3: np.zeros((3, 9, 4))}, r"relative must be \(3, 10 or more, 4\), one row a distance; got \(3, 9, 4\)"),
        ({3: np.zeros((3, 10, 5))}, "relative must be"),
        ({4: np.zeros((4, 3))}, r"content_bias must be \(3, 4\)"),
        ({5: np.zeros(4)}, r"position_bias must be \(3, 4\)"),
        ({1: np.zeros((2, 1, 10, 4)), 2: np.zeros((2, 1, 10, 5))}, "3 heads of queries and 1 of keys"),
        ({0: np.zeros((2, 3, 8, 4))}, "8 queries after 3 keys need 11 keys"),
    ],
)
def test_shapes_are_checked(change: dict[int, np.ndarray], message: str) -> None:
    arrays = inputs(np.random.default_rng(0))
    for place, array in change.items():
        arrays[place] = array
    with pytest.raises(ValueError, match=message):
        F.relative_attention(*arrays, key_offset=3)
