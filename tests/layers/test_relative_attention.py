"""The relative attention layer: XLNet's whole mixer, memory, padding, documents, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import llm_from_scratch as lfs
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers import (
    AttentionSpec,
    Context,
    NormSpec,
    Recording,
    RelativeAttention,
    RelativeAttentionSpec,
    Rotary,
)
from llm_from_scratch.layers.relative_attention import sinusoids

FIXTURES = Path(__file__).parents[1] / "functional" / "fixtures"
FROZEN = load_file(FIXTURES / "relative_attention.safetensors")
WEIGHTS = {"query": "q", "key": "k", "value": "v", "distance": "r", "output": "o"}


def loaded(case: str, dtype: Any) -> RelativeAttention:
    layer = RelativeAttentionSpec(12, 3, 3, 4).build(np.random.default_rng(0)).astype(dtype)
    for ours, theirs in WEIGHTS.items():
        getattr(layer, ours).weight.data = FROZEN[f"{case}.weight.{theirs}"].astype(dtype)
    for name in ("content_bias", "position_bias"):
        getattr(layer, name).data = FROZEN[f"{case}.{name}"].reshape(-1).astype(dtype)
    return layer


def context(length: int, offset: int = 0, **more: Any) -> Context:
    positions = np.arange(offset, offset + length)[None]
    return Context(positions, offset, all_positions=np.arange(offset + length)[None], **more)


def test_sinusoids_are_the_library_s() -> None:
    for case in ("plain", "memory"):
        wanted = FROZEN[f"{case}.encoding"]
        np.testing.assert_allclose(sinusoids(0, len(wanted), 12), wanted, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(sinusoids(0, 9, 6)[4:], sinusoids(4, 9, 6))
    assert sinusoids(0, 3, 4, "f").dtype == np.float32


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_the_whole_mixer_and_its_gradients(dtype: Any, tolerance: float) -> None:
    layer = loaded("plain", dtype)
    x = Tensor(FROZEN["plain.x"].astype(dtype), requires_grad=True)
    y = layer(x, None, context(9))
    np.testing.assert_allclose(y.data, FROZEN["plain.output"], rtol=0, atol=2 * tolerance)
    y.backward(FROZEN["plain.cotangent"].astype(dtype))
    found = {"x.gradient": x.grad}
    found |= {f"weight.{theirs}.gradient": getattr(layer, ours).weight.grad for ours, theirs in WEIGHTS.items()}
    found |= {f"{name}.gradient": getattr(layer, name).grad.reshape(3, 4) for name in ("content_bias", "position_bias")}
    for name, gradient in found.items():
        wanted = FROZEN[f"plain.{name}"]
        assert np.abs(wanted).max() > 0.3 and gradient.dtype == dtype
        np.testing.assert_allclose(gradient, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(), err_msg=name)


def test_remembered_tokens_are_xlnet_s_mems() -> None:
    layer = loaded("memory", np.float64)
    memory = layer.new_memory()
    with lfs.no_grad():
        layer(Tensor(FROZEN["memory.mems"]), memory, context(5))
        y = layer(Tensor(FROZEN["memory.x"]), memory, context(6, 5))
    np.testing.assert_allclose(y.data, FROZEN["memory.output"], rtol=0, atol=1e-12)
    assert memory.nbytes == 8 * (2 * 2 * 11 * 12 + 11 * 12)  # keys and values of two rows, the distances once


@pytest.mark.parametrize("recording", [False, True])
def test_any_pieces_crop_and_select(recording: bool) -> None:
    layer = loaded("plain", np.float64)
    x = np.random.default_rng(1).normal(size=(3, 90, 12))
    whole = layer(Tensor(x), None, context(90)).data
    memory = layer.new_memory()

    def run(a: int, b: int, rows: Any = slice(None)) -> np.ndarray:
        if recording:
            return layer(Tensor(x[rows, a:b]), memory, context(b - a, a)).data
        with lfs.no_grad():
            return layer(Tensor(x[rows, a:b]), memory, context(b - a, a)).data

    for a, b in zip([0, 1, 2, 40, 41], [1, 2, 40, 41, 90]):
        np.testing.assert_allclose(run(a, b), whole[:, a:b], rtol=0, atol=1e-12)
    memory.crop(30)
    memory.select(np.array([2, 0]))
    np.testing.assert_allclose(run(30, 70, [2, 0]), whole[[2, 0], 30:70], rtol=0, atol=1e-12)


def test_gradients_reach_the_distances_through_a_memory() -> None:
    found = []
    for memory in (None, loaded("plain", np.float64).new_memory()):
        layer = loaded("plain", np.float64)
        layer(Tensor(FROZEN["plain.x"]), memory, context(9)).backward(FROZEN["plain.cotangent"])
        found.append(layer.distance.weight.grad)
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-13)


def test_padding_and_documents() -> None:
    layer = loaded("plain", np.float64)
    x = np.random.default_rng(2).normal(size=(1, 6, 12))
    alone = [layer(Tensor(x[:, a:b]), None, context(b - a)).data for a, b in ((0, 4), (4, 6))]
    segments = np.array([[0, 0, 0, 0, 1, 1]])
    packed = layer(Tensor(x), None, Context(np.array([[0, 1, 2, 3, 0, 1]]), segments=segments)).data
    np.testing.assert_allclose(packed, np.concatenate(alone, axis=1), rtol=0, atol=1e-13)
    bias = np.where(np.arange(6) < 4, -np.inf, 0.0)[None]
    left = layer(Tensor(x), None, Context(np.array([[0, 0, 0, 0, 0, 1]]), key_bias=bias)).data
    np.testing.assert_allclose(left[:, 4:], alone[1], rtol=0, atol=1e-13)


def test_recorded_maps_are_what_the_output_is_made_of() -> None:
    layer = loaded("plain", np.float64)
    record = Recording()
    x = Tensor(FROZEN["plain.x"])
    y = layer(x, None, context(9, record=record))
    (weights,) = record["attention"]
    values = layer.value(x).data.reshape(2, 9, 3, 4).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-12)
    assert (weights[..., np.triu_indices(9, 1)[0], np.triu_indices(9, 1)[1]] == 0).all()
    mixed = (weights @ values).transpose(0, 2, 1, 3).reshape(2, 9, 12)
    np.testing.assert_allclose(layer.output(Tensor(mixed)).data, y.data, atol=1e-12)


HIDE_THE_THIRD = np.array([[0.0, 0.0, -np.inf, 0.0]])


@pytest.mark.parametrize(
    "given, message",
    [
        (Context(np.arange(4)[None], prefix_length=np.array([2])), "no bidirectional prefix"),
        (Context(np.array([[0, 1, 2, 4]])), "must be neighbours"),
        (Context(np.array([[0, 1, 1, 2]]), key_bias=HIDE_THE_THIRD), "padding before or behind"),
        (Context(np.array([[0, 1, 0, 1]]), segments=np.array([[0, 0, 1, 0]])), "must be neighbours"),
    ],
)
def test_what_it_cannot_do_is_refused(given: Context, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loaded("plain", np.float64)(Tensor(np.zeros((1, 4, 12))), None, given)


def test_positions_may_begin_anywhere() -> None:
    layer, x = loaded("plain", np.float64), Tensor(FROZEN["plain.x"])
    shifted = layer(x, None, Context(np.arange(7, 16)[None])).data
    np.testing.assert_array_equal(shifted, layer(x, None, context(9)).data)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rotary": Rotary(4)}, "the setting rotary is not known here"),
        ({"slopes": (0.5, 0.5, 0.5)}, "slopes"),
        ({"window": 8}, "window"),
        ({"causal": False}, "causal"),
        ({"query_norm": NormSpec(12)}, "query_norm"),
        ({"key_value_heads": 1}, "3 heads cannot share 1"),
        ({"hidden_size": 13}, "even width, not 13"),
        ({"heads": 0}, "heads must be a positive integer"),
    ],
)
def test_settings_it_does_not_have_are_refused(settings: dict[str, Any], message: str) -> None:
    sizes = {"hidden_size": 12, "heads": 3, "key_value_heads": 3, "head_dim": 4}
    AttentionSpec(**sizes)
    with pytest.raises(ValueError, match=message):
        RelativeAttentionSpec(**{**sizes, **settings})
