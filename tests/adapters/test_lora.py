"""LoRA's settings: where it goes, how it begins, its scale, its dropout, DoRA's gradients, and wrong input."""

from __future__ import annotations

import math

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import adapters as A
from llm_from_scratch.checkpoints import from_pretrained

from .conftest import IDS, check_gradients, small, stir
from .test_peft_reading import BASES


def test_how_it_begins():
    model = small("llama", np.float32)
    paths = lfs.adapters.add_lora(model, 4, 16, ("query", "value"), "mine")
    assert paths == [f"layers.{i}.mixer.{name}" for i in range(2) for name in ("query", "value")]
    part = model.layers[0].mixer.query.adapters["mine"]
    assert part.A.shape == (32, 4) and part.B.shape == (4, 32) and not part.B.data.any()
    bound = 1 / math.sqrt(32)
    assert bound * 0.9 < np.abs(part.A.data).max() <= bound and abs(part.A.data.mean()) < bound / 4
    assert part.scale == 4.0
    again = small("llama", np.float32)
    A.add_lora(again, 4, seed=1)
    assert (again.layers[0].mixer.query.adapters["default"].A.data != part.A.data).any()
    stable = small("llama")
    A.add_lora(stable, 4, 16, stabilized=True)
    part = stable.layers[0].mixer.query.adapters["default"]
    assert part.scale == 8.0 and part.A.dtype == np.float64


def test_dropout_is_on_the_branch_alone_and_only_in_passes_with_rng():
    model = small("llama")
    alone = model(IDS).data
    A.add_lora(model, 2, targets=("query", "down"), dropout=0.5)
    assert (model(IDS, rng=np.random.default_rng(0)).data == alone).all()  # B is zero: nothing of it shows yet
    stir(model)
    steady = model(IDS).data
    one, other = (model(IDS, rng=np.random.default_rng(seed)).data for seed in (0, 1))
    assert np.abs(one - steady).max() > 1e-3 and np.abs(one - other).max() > 1e-3
    assert (model(IDS).data == steady).all()
    batch = {"ids": IDS, "targets": IDS}
    assert model.loss(batch, rng=np.random.default_rng(0)).item() != model.loss(batch).item()
    kept = model.token_log_probabilities(batch, rng=np.random.default_rng(0)).data
    assert np.abs(kept - model.token_log_probabilities(batch).data).max() > 1e-3
    # on the head, too, which is called outside of the layers
    headed = small("llama", tie_word_embeddings=False)
    A.add_lora(headed, 2, targets="head", dropout=0.5)
    stir(headed)
    assert np.abs(headed(IDS, rng=np.random.default_rng(0)).data - headed(IDS).data).max() > 1e-3


def test_the_expectation_of_dropout_is_the_pass_without():
    model = small("llama")
    A.add_lora(model, 2, targets="head", dropout=0.3)
    stir(model)
    draws = [model(IDS, rng=np.random.default_rng(seed)).data for seed in range(400)]
    spread = np.std(draws, axis=0) / math.sqrt(len(draws))
    assert (np.abs(np.mean(draws, axis=0) - model(IDS).data) < 5.5 * spread + 1e-12).all()


def test_gradients_of_dora_with_the_lengths_as_constants():
    model = small("llama")
    A.add_lora(model, 2, targets=("query", "down"), decomposed=True)
    stir(model)
    kind = type(model.layers[0].mixer.query.adapters["default"])
    parts = [m for _, m in model.named_modules() if type(m) is kind]
    held = {id(part): part.lengths() for part in parts}
    original, kind.lengths = kind.lengths, lambda self: held[id(self)]
    try:
        check_gradients(model)
    finally:
        kind.lengths = original


def test_doras_lengths():
    model = small("llama")
    weight = model.layers[0].mixer.query.weight.data
    weight[:, 3] = 0
    alone = model(IDS).data
    A.add_lora(model, 2, decomposed=True)
    np.testing.assert_allclose(model(IDS).data, alone, atol=1e-12)
    part = model.layers[0].mixer.query.adapters["default"]
    lengths = np.sqrt((weight**2).sum(0))
    lengths[3] = 1
    np.testing.assert_allclose(part.magnitude.data, lengths)
    part.magnitude.data *= 2
    np.testing.assert_allclose(part.merged(model.layers[0].mixer.query.base).weight.data, 2 * weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "the rank is a whole number of 1 or more, not 0"),
        ({"rank": 2.0}, "the rank is a whole number"),
        ({"rank": True}, "the rank is a whole number"),
        ({"rank": 33}, "no product of rank 33 fits: the matrices chosen have rank 32 at most"),
        ({"alpha": 0}, "alpha is a number above 0"),
        ({"alpha": math.nan}, "alpha is a number above 0"),
        ({"alpha": math.inf}, "alpha is a number above 0"),
        ({"alpha": True}, "alpha is a number above 0"),
        ({"dropout": "0.1"}, "dropout is a probability"),
        ({"dropout": 1.0}, "dropout is a probability"),
        ({"targets": ("query", "valu")}, "no linear layer of this model is called 'valu'. There are: Attention: query"),
        ({"targets": "layers.7.*"}, "is called 'layers.7"),
        ({"targets": "embedding", "decomposed": True}, "DoRA is for linear layers"),
    ],
)
def test_wrong_settings_change_nothing(settings, message):
    model = small("gpt2")
    with pytest.raises(ValueError, match=message):
        A.add_lora(model, **settings)
    assert A.names(model) == [] and all(p.requires_grad for p in model.parameters())
    for targets in ((), None, 3, ("query", "")):
        with pytest.raises(TypeError, match="targets are names"):
            A.add_lora(model, targets=targets)


def test_numbers_of_numpy_are_numbers(tmp_path):
    model, again = small("gpt2"), small("gpt2")
    A.add_lora(model, np.int64(2), np.float32(3.0), dropout=np.float32(0.5))
    stir(model)
    A.save_adapter(model, tmp_path)
    A.load_adapter(again, tmp_path)
    np.testing.assert_allclose(again(IDS).data, model(IDS).data, atol=1e-12)
    A.combine(model, {"default": np.float32(0.5)}, into="half")
    assert model.layers[0].mixer.query.adapters["half"].B.dtype == np.float64


def test_a_mamba_is_told_what_it_has():
    with pytest.raises(ValueError, match="'query'. There are: Mamba: input, gate, selection, step, output"):
        A.add_lora(small("mamba"))


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        ("all-linear", 2 * 7), ("layers.0.*", 7), (("layers.*.mixer.*",), 8), ("layers.1.feed_forward.up", 1),
        (("query", "all-linear"), 14), ("head", 1), (("embedding", "gate"), 3),
    ],
)  # fmt: skip
def test_targets(targets, count):
    assert len(A.add_lora(small("llama", tie_word_embeddings=False), 2, targets=targets)) == count


def test_beside_the_packed_matrices_of_a_gguf_file():
    path = next((BASES / "gguf").glob("*q4*.gguf"), None) or sorted((BASES / "gguf").glob("*.gguf"))[-1]
    model = from_pretrained(path, packed=True)
    ids = np.array([[1, 2, 3, 4]])
    alone = model(ids).data
    A.add_lora(model, 2, targets="all-linear")
    assert (model(ids).data == alone).all()
    stir(model)
    lfs.accumulate_gradients(model, ids, ids)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    whole = model(ids).data
    memory = model.new_memory(1)
    for k in range(4):
        last = model.step(ids[:, k : k + 1], memory)
    np.testing.assert_allclose(last, whole[:, -1], atol=2e-4)
    A.remove(model, "default")
    assert (model(ids).data == alone).all()
