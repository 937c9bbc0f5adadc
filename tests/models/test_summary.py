"""A summary adds up to the whole, says the shapes that really come out, and folds only what is equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.checkpoints import Decoder
from llm_from_scratch.families import all_families
from llm_from_scratch.layers import AttentionSpec

FIXTURES = Path(__file__).parents[1] / "families" / "fixtures"
NAMES = sorted(path.name for path in FIXTURES.iterdir() if (path / "config.json").exists())
BATCH, LENGTH = 2, 7


@pytest.mark.parametrize("name", NAMES)
def test_parts_sum_to_the_whole_and_shapes_are_those_of_a_run(name: str) -> None:
    model = lfs.from_pretrained(FIXTURES / name)
    ids = np.random.default_rng(0).integers(0, model.spec.vocab_size, (BATCH, LENGTH))
    page = model.summary(ids)
    assert page.parameters == sum(part.parameters for part in page.parts) == model.parameter_count
    assert page.flops == BATCH * model.spec.flops(LENGTH)
    assert page.nbytes == sum(array.nbytes for array in model.state_dict().values())
    with lfs.no_grad(), model.record() as seen:
        logits = model(ids)
    shapes = {part.name: part.shape for part in page.parts}
    assert shapes["head"] == logits.shape
    for number in range(len(model.layers)):
        inside = {shape for part, shape in shapes.items() if part.startswith(f"layers.{number}.")}
        assert inside == {seen["hidden"][number + 1].shape}
    for part, shape in shapes.items():
        if part in ("embedding", "positions"):
            assert shape == (BATCH, LENGTH, getattr(model, part).weight.shape[1])
    text = str(page)
    assert f"{page.parameters:,}" in text and f"{page.flops:,}" in text and repr(page) == text


@pytest.mark.parametrize("name", sorted(name for name in NAMES if "mixtral" in name and "all" not in name))
def test_idle_experts_are_held_and_not_computed(name: str) -> None:
    model = lfs.from_pretrained(FIXTURES / name)
    part = next(part for part in model.summary([[1, 2, 3]]).parts if part.name.endswith(".feed_forward"))
    mixture = model.layers[0].feed_forward
    one = sum(parameter.size for parameter in mixture.experts[0].parameters())
    router = mixture.router.weight.size
    assert mixture.spec.chosen < mixture.spec.experts
    assert part.parameters == router + mixture.spec.experts * one
    assert part.flops == 3 * 2 * (router + mixture.spec.chosen * one)


def test_layers_that_differ_are_shown_apart() -> None:
    same: dict[str, Any] = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=4)
    same |= dict(num_attention_heads=4)
    assert str(lfs.build("llama", **same).summary([[1]])).count("mixer norm") == 1
    mixed = lfs.build("decilm", num_key_value_heads_per_layer=[4, 4, 1, 4], **same)
    text = str(mixed.summary([[1]]))
    assert "\nlayers 0 to 1, 3, each " in text and "multi-query" in text.split("\nlayer 2 ")[1]
    striped = Decoder(lfs.spec("stripedhyena-7b")).summary(np.zeros((1, 8), int))
    text = str(striped)
    assert "\nlayers 0, 2, … 30, each" in text and "\nlayers 1, 3, … 31, each" in text
    assert sum(line.startswith("layer") for line in text.splitlines()) == 2


@pytest.mark.parametrize("name", sorted(name for family in all_families().values() for name in family.sizes))
def test_every_released_model_has_one_without_being_built(name: str) -> None:
    model = Decoder(lfs.spec(name))
    page = model.summary(np.zeros((1, 16), int))
    assert page.parameters == model.parameter_count
    assert page.flops == model.spec.flops(16)


def test_a_window_and_a_longer_text_change_the_flops_of_attention_alone() -> None:
    model = lfs.from_pretrained(FIXTURES / "llama_tied")
    short, long = (model.summary(np.zeros((1, length), int)) for length in (4, 8))
    for a, b in zip(short.parts, long.parts):
        mixer = a.name.endswith(".mixer")
        assert (b.flops > 2 * a.flops) if mixer else (b.flops == 2 * a.flops)
    spec = model.layers[0].mixer.spec
    assert isinstance(spec, AttentionSpec)
    extra = next(b.flops - 2 * a.flops for a, b in zip(short.parts, long.parts) if a.name == "layers.0.mixer")
    pairs = sum(range(1, 9)) - 2 * sum(range(1, 5))  # keys seen by eight queries, and by twice four
    assert extra == pairs * 4 * spec.heads * spec.head_dim


def test_packed_weights_are_counted_and_weighed_as_they_are_held() -> None:
    path = FIXTURES / "gguf" / "tied.gguf"
    model, small = (lfs.from_pretrained(path, packed=packed) for packed in (False, True))
    a, b = (each.summary([[5, 6, 7]]) for each in (model, small))
    assert [(p.name, p.parameters, p.flops) for p in a.parts] == [(p.name, p.parameters, p.flops) for p in b.parts]
    assert b.nbytes == small.nbytes < a.nbytes == model.nbytes


def test_nothing_is_computed_and_bad_ids_are_refused() -> None:
    huge = Decoder(lfs.spec("bloom-176b"))
    assert huge.summary(np.zeros((1, 2048), int)).parameters == 176_247_271_424
    model = lfs.from_pretrained(FIXTURES / "gpt2_tied")
    with pytest.raises(ValueError, match="positions"):
        model.summary(np.zeros((1, model.position_limit + 1), int))
    with pytest.raises(ValueError, match=str(model.spec.vocab_size)):
        model.summary([[model.spec.vocab_size]])
