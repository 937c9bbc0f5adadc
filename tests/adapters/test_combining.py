"""A combination changes each matrix by the weighted sum of what its parts change: checked against that sum."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch import adapters as A

from .conftest import IDS, small, stir

MAKE = {
    "lora": lambda m, name, seed: A.add_lora(m, 2, alpha=3, name=name, seed=seed),
    "other alpha": lambda m, name, seed: A.add_lora(m, 3, alpha=20, name=name, seed=seed),
    "rslora": lambda m, name, seed: A.add_lora(m, 4, alpha=3, name=name, seed=seed, stabilized=True),
    "dora": lambda m, name, seed: A.add_lora(m, 2, name=name, seed=seed, decomposed=True),
}


def changes(model, name, path):
    """What an adapter changes of a matrix, from the outputs for the unit vectors: no formula of ours."""
    place = dict(model.named_modules())[path]
    part, base = place.adapters[name], place.base
    merged = part.merged(base)
    return merged.weight.data - base.weight.data


@pytest.mark.parametrize("pair", [(a, b) for a in MAKE for b in MAKE])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 0.0), (2.0, -0.7)])
def test_the_sum_of_the_changes(pair, weights):
    model = small("gpt2")
    for k, kind in enumerate(pair):
        MAKE[kind](model, f"n{k}", k)
        stir(model, k)
    A.combine(model, dict(zip(("n0", "n1"), weights)), into="c")
    assert A.active_names(model) == ["n1"]
    for path in ("layers.0.mixer.query", "layers.1.mixer.value"):
        wanted = sum(w * changes(model, f"n{k}", path) for k, w in enumerate(weights))
        np.testing.assert_allclose(changes(model, "c", path), wanted, atol=1e-12)
    A.activate(model, "c")
    x = model(IDS).data
    if weights == (1.0, 0.0):
        A.activate(model, "n0")
        np.testing.assert_allclose(model(IDS).data, x, atol=1e-10)


def test_one_alone_at_weight_one_is_itself():
    for kind in MAKE:
        model = small("llama")
        MAKE[kind](model, "a", 0)
        stir(model)
        before = model(IDS).data
        A.combine(model, {"a": 1.0}, into="b")
        A.activate(model, "b")
        np.testing.assert_allclose(model(IDS).data, before, atol=1e-10)


def test_factors_and_places_that_only_one_has():
    model = small("llama")
    A.add_ia3(model, name="a")
    stir(model, 1)
    A.add_ia3(model, targets=("value", "gate"), name="b")
    stir(model, 2)
    A.combine(model, {"a": 0.3, "b": 2.0}, into="c")
    for path in ("layers.0.mixer.value", "layers.0.feed_forward.gate", "layers.1.feed_forward.down"):
        there = dict(model.named_modules())[path].adapters
        wanted = sum(w * changes(model, n, path) for n, w in (("a", 0.3), ("b", 2.0)) if n in there)
        np.testing.assert_allclose(changes(model, "c", path), wanted, atol=1e-12)


def test_refusals():
    model = small("gpt2")
    A.add_lora(model, 2, name="a")
    A.add_ia3(model, name="i")
    A.add_prefix(model, 2, name="p")
    A.add_bottleneck(model, 2, name="n")
    for weights, message in (
        ({}, "no adapter was named"),
        ({"x": 1.0}, "there is no adapter 'x'"),
        ({"a": float("nan")}, "the weight of 'a' is a number"),
        ({"a": True}, "the weight of 'a' is a number"),
        ({"a": 1.0, "i": 1.0}, "changed in different ways"),
        ({"p": 1.0}, "a learned prefix is no change of a matrix"),
        ({"n": 1.0}, "a bottleneck is no change of a matrix"),
    ):
        with pytest.raises(ValueError, match=message):
            A.combine(model, weights, into="c")
    with pytest.raises(ValueError, match="has an adapter 'a' already"):
        A.combine(model, {"a": 1.0}, into="a")
    assert A.names(model) == ["a", "i", "p", "n"]
