"""Miniatures: a release's choices at another size, equally large, and all of them alive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import AttentionSpec
from llm_from_scratch.recipes.miniature import layer_parameters, miniature
from llm_from_scratch.zoo import choices

SIZES = {name for family in all_families().values() for name in family.sizes}
NAMES = """gpt2 gpt-neo-1.3b gpt-neox-20b pythia-1b opt-1.3b opt-350m galactica-6.7b bloom-7b1 llama-7b llama-2-70b
    yi-6b mistral-7b mixtral-8x7b mpt-7b falcon-rw-1b falcon-7b falcon-40b qwen-7b qwen2-0.5b decilm-7b
    phi-2 mamba-130m stripedhyena-7b""".split()
TARGET = 4 * 12 * 64**2


def built(name: str, **sizes: Any) -> Any:
    config = miniature(name, **sizes)
    return lfs.build(config.pop("model_type"), **config)


@pytest.mark.parametrize("name", [name for name in NAMES if name in SIZES])
def test_a_miniature_is_as_large_as_asked_keeps_its_choices_and_lives(name: str) -> None:
    model = built(name, width=64, parameters=TARGET)
    assert layer_parameters(model.spec) == pytest.approx(TARGET, rel=0.02)
    small, large = choices(model.spec), choices(lfs.spec(name))
    for heading in ("norm", "placement", "feed-forward", "biases", "head"):
        assert small[heading] == large[heading], heading
    assert small["mixer"].split(",")[0].split(" ")[0] == large["mixer"].split(",")[0].split(" ")[0]
    ids = np.random.default_rng(0).integers(0, 512, (2, 20))
    loss = model.loss({"ids": ids, "targets": np.roll(ids, -1, 1)})
    assert loss.item() == pytest.approx(np.log(512), abs=2.0)  # MPT starts with large embeddings
    loss.backward()
    assert all(np.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_every_release_can_be_made_small() -> None:
    for name in SIZES:
        spec = lfs.spec(miniature(name, layers=2, width=64, heads=4))
        assert (len(spec.layers), spec.hidden_size, spec.vocab_size) == (2, 64, 512), name


def test_ratios_are_kept() -> None:
    def first(name: str, **sizes: Any) -> Any:
        return lfs.spec(miniature(name, **sizes)).mixers[0]

    assert first("llama-2-70b", heads=16).key_value_heads == 2  # 8 of 64
    assert first("llama-2-70b", heads=4).key_value_heads == 2  # what is grouped stays grouped
    assert first("llama-7b", heads=4).key_value_heads == 4
    striped = lfs.spec(miniature("stripedhyena-7b", heads=4)).mixers
    assert [getattr(part, "key_value_heads", None) for part in striped] == [None, 2, None, 2]  # 8 of 32
    assert first("gpt-neox-20b", width=64, heads=2).rotary.dims == 8  # a quarter of 32
    assert lfs.spec(miniature("opt-350m", width=64)).embedding_size == 32
    windows = [part.window for part in lfs.spec(miniature("gpt-neo-1.3b", layers=4, context=128)).mixers]
    assert windows == [None, 16, None, 16]  # 256 of 2048
    assert isinstance(first("bloom-7b1", heads=3, width=48), AttentionSpec)


def test_without_a_target_the_shape_of_the_feed_forward_part_is_kept() -> None:
    assert miniature("llama-7b", width=96)["intermediate_size"] == 256  # 11008 / 4096 · 96 = 258, a multiple of 4
    with pytest.raises(ValueError, match="no model is called 'lama'"):
        miniature("lama")


def test_a_changed_key_wins_and_the_size_is_reached_with_it() -> None:
    config = miniature("llama-7b", width=64, parameters=200_000, changes={"num_key_value_heads": 1})
    assert config["num_key_value_heads"] == 1
    assert layer_parameters(lfs.spec(config)) == pytest.approx(200_000, rel=0.01)
