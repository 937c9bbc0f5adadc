"""Hyena's mixer with its first kind of filter: the network's formula, chunks, packed rows, gradients, limits."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.layers.basic import NormSpec
from llm_from_scratch.layers.block import BranchSpec, LayerSpec
from llm_from_scratch.layers.hyena import HyenaSpec
from llm_from_scratch.layers.implicit_filter import ImplicitFilterSpec
from llm_from_scratch.models import ModelSpec
from llm_from_scratch.zoo import costs


def model(length: int = 24, **settings: int) -> Decoder:
    mixer = HyenaSpec(6, ImplicitFilterSpec(length, width=5, **settings))
    layer = LayerSpec((BranchSpec({"mixer": mixer}, norms_before=(NormSpec(6, "rms"),)),))
    spec = ModelSpec(vocab_size=11, hidden_size=6, layers=(layer, layer), norm=None, context_length=length)
    made = Decoder(spec, np.random.default_rng(0)).astype(np.float64)
    for name, parameter in made.named_parameters():
        if "filter" not in name:
            parameter.data += 0.3 * np.random.default_rng(1).normal(size=parameter.shape)
    return made


def test_the_filter_is_the_paper_s_formula_written_out() -> None:
    layer = ImplicitFilterSpec(10, waves=2, width=4, depth=2, shift=0.1).build(3, np.random.default_rng(0))
    layer.astype(np.float64)
    weights = {name: parameter.data for name, parameter in layer.named_parameters()}
    got = layer.values(7).data
    for t in range(7):
        angle = 2 * np.pi * t / 10
        z = [t / 9, np.cos(1e-4 * angle), np.cos(angle), -np.sin(1e-4 * angle), -np.sin(angle)]
        for i in range(2):
            z = np.sin(10.0 * (np.array(z) @ weights[f"layers.{i}.weight"] + weights[f"layers.{i}.bias"]))
        decay = np.abs(np.linspace(np.log(0.01) / 1.5, np.log(0.01) / 0.3, 3))
        np.testing.assert_allclose(got[t], z @ weights["last.weight"] * (np.exp(-t / 9 * decay) + 0.1), atol=1e-14)


@pytest.mark.parametrize("borders", [[0, 1, 2, 20], [0, 9, 20], [0, 19, 20]])
def test_any_split_into_chunks_gives_the_same_logits(borders: list[int]) -> None:
    decoder, ids = model(), np.random.default_rng(0).integers(0, 11, (2, 20))
    with lfs.no_grad():
        whole, memory = decoder(ids).data, decoder.new_memory(2)
        parts = [decoder(ids[:, a:b], memory=memory).data for a, b in zip(borders, borders[1:])]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=0, atol=1e-12)


def test_packed_documents_are_read_as_if_alone_and_the_last_one_is_continued() -> None:
    decoder, ids = model(), np.random.default_rng(0).integers(0, 11, (1, 20))
    segments = (np.arange(20) >= 8).astype(int)[None]
    with lfs.no_grad():
        memory = decoder.new_memory(1)
        packed = decoder(ids, segments=segments, memory=memory).data
        np.testing.assert_allclose(packed[:, :8], decoder(ids[:, :8]).data, rtol=0, atol=1e-12)
        np.testing.assert_allclose(packed[:, 8:], decoder(ids[:, 8:]).data, rtol=0, atol=1e-12)
        alone = decoder(np.append(ids[:, 8:], [[4]], axis=1)).data[:, -1]
        np.testing.assert_allclose(decoder.step(np.array([[4]]), memory), alone, rtol=0, atol=1e-12)


def test_gradients() -> None:
    decoder, rng = model(waves=2), np.random.default_rng(3)
    ids = rng.integers(0, 11, (1, 6))
    names, values = zip(*decoder.named_parameters())

    def loss(*_: object) -> lfs.Tensor:
        return decoder.loss({"ids": ids[:, :-1], "targets": ids[:, 1:]})

    assert lfs.gradcheck(loss, *values, names=names) < 1e-6


def test_it_keeps_all_inputs_and_has_a_longest_sequence() -> None:
    decoder = model(length=8)
    memory = decoder.new_memory(1)
    for length in range(1, 9):
        decoder.step(np.array([[3]]), memory)
        assert memory.layers[0]["mixer"].state.shape == (1, length, 6)
    assert memory.nbytes == 2 * costs(decoder.spec).memory_fixed  # float64
    with pytest.raises(ValueError, match="made for 8 steps, not for 9"):
        decoder.step(np.array([[3]]), memory)
    with pytest.raises(ValueError, match="waves must be a positive integer, not 0"):
        ImplicitFilterSpec(8, waves=0)
