"""Mixtures as a recipe has them: the same in JSON, prepared in one pair of files, and refused where they cannot be."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from llm_from_scratch.data.stages import Stage
from llm_from_scratch.recipes.batching import batches, never_dry, planned, validation_batches
from llm_from_scratch.recipes.mixture import Mixture, described, read_stages
from llm_from_scratch.recipes.recipe import Recipe, prepare_corpus
from llm_from_scratch.training import TrainingSettings

SMALL = {"vocabulary": 300, "validation_fraction": 0.2, "context": 32, "batch_size": 4}
STAGES = [
    Stage(16, 8, batches=4, weights={"tales:40": 1.0}),
    Stage(32, 4, tokens=1000),
    Stage(32, 4, weights={"tales:40": 0.25, "pydoc": 0.75}),
]


def test_a_mixture_is_the_same_in_json():
    for mixture in (
        Mixture(["tales:40", "pydoc"]),
        Mixture(["tales:40", "pydoc"], temperature=3.0, when_dry="stop"),
        Mixture(["tales:40", "pydoc"], weights={"tales:40": 0.25, "pydoc": 0.75}, stages=STAGES),
    ):
        recipe = Recipe(data=mixture, **SMALL)
        told = json.loads(json.dumps(recipe.to_json()))
        assert Recipe.from_json(told) == recipe and told == recipe.to_json()
        assert recipe.sources == ("tales:40", "pydoc") and recipe.stages == tuple(mixture.stages)
    assert Recipe().sources == ("tales",) and Recipe().stages == ()
    assert set(Recipe().to_json()) & {"evaluate", "evaluate_items"} == set()  # as runs that began earlier have it


def test_what_is_prepared_is_split_source_by_source_and_used_again_for_other_shares(tmp_path):
    recipe = Recipe(data=Mixture(["tales:40", "pydoc"]), **SMALL)
    corpus = prepare_corpus(recipe, tmp_path)
    stamp = (tmp_path / "train.tokens").stat().st_mtime_ns
    first = corpus.tokenizer.decode(corpus.parts["tales:40"][0].ids[:80])
    topic = corpus.tokenizer.decode(corpus.parts["pydoc"][0].ids[:80])
    assert first.startswith("<|endoftext|>") and topic.startswith("<|endoftext|>")
    assert first.split()[0] != topic.split()[0]
    lengths = [sum(len(part[side]) for part in corpus.parts.values()) for side in (0, 1)]
    assert lengths == [len(corpus.train) + 1, len(corpus.validation) + 1]  # they share the separator between them
    other = Recipe(data=Mixture(["tales:40", "pydoc"], weights={"tales:40": 1.0}, stages=STAGES), **SMALL)
    again = prepare_corpus(other, tmp_path)
    assert (tmp_path / "train.tokens").stat().st_mtime_ns == stamp
    assert all(np.array_equal(again.parts[s][side].ids, corpus.parts[s][side].ids)
               for s in recipe.sources for side in (0, 1))  # fmt: skip
    held_out = list(validation_batches(recipe, corpus)())
    assert all(b["ids"].shape[1] == 32 for b in held_out)
    per_source = [math.ceil((len(kept) - 1) / 32) for _, kept in corpus.parts.values()]
    assert sum(len(batch["ids"]) for batch in held_out) == sum(min(rows, 196 * 4) for rows in per_source)
    changed = prepare_corpus(Recipe(data=Mixture(["pydoc", "tales:40"]), **SMALL), tmp_path)
    assert list(changed.parts) == ["pydoc", "tales:40"]


def test_batches_and_what_is_said_of_them(tmp_path):
    recipe = Recipe(data=Mixture(["tales:40", "pydoc"], stages=STAGES), **SMALL)
    corpus, settings = prepare_corpus(recipe, tmp_path), TrainingSettings(steps=10, micro_batches=2)
    sampler = batches(recipe, corpus)
    assert [next(sampler)["ids"].shape for _ in range(5)] == [(8, 16)] * 4 + [(4, 32)]
    tokens, lines = planned(recipe, sampler, settings)
    assert tokens == 20 * 128 and lines[:3] == [
        "stage 1: 2 steps of 16 × 16 tokens", "stage 2: 4 steps of 8 × 32 tokens", "stage 3: 4 steps of 8 × 32 tokens"
    ]  # fmt: skip
    assert lines[3].startswith("tales:40: read 0.")
    plain = Recipe(data="tales:40", **SMALL)
    assert planned(plain, None, settings) == (10 * 2 * 128, ["10 steps of 8 × 32 tokens"])
    dry = Recipe(data=Mixture(["tales:40", "pydoc"], weights={"tales:40": 1.0}, when_dry="stop"), **SMALL)
    long = TrainingSettings(steps=1000)
    with pytest.raises(ValueError, match="the source tales:40 will run dry: the run wants to read it .* times"):
        planned(dry, batches(dry, corpus), long)
    assert planned(never_dry(dry), batches(never_dry(dry), corpus), long)[0] == 1000 * 128
    assert never_dry(plain) is plain


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": []}, "at least one source"),
        ({"sources": "tales"}, "a list of sources"),
        ({"sources": ["a", ""]}, "each with a name"),
        ({"sources": ["a", "b", "a"]}, "a is named twice"),
        ({"weights": {"a": 0.7, "b": 0.2}}, r"0.7 \+ 0.2 is 0.9"),
        ({"weights": {"c": 1.0}}, "no source c"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": 2.0, "weights": {"a": 1.0}}, "give one of them"),
        ({"when_dry": "panic"}, "when_dry"),
        ({"stages": [{"context": 8}]}, "batch_size"),
        ({"stages": [{"context": 8, "batch_size": 2, "weights": {"c": 1.0}}]}, "no source c"),
        ({"stages": [{"context": 8, "batch_size": 2}] * 2}, "does not say how long"),
    ],
)
def test_impossible_mixtures(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Mixture(**{"sources": ["a", "b"], **settings})


def test_rows_of_a_stage_fit_the_model():
    with pytest.raises(ValueError, match="a stage has rows of 64 tokens, the model a context of 32"):
        Recipe(data=Mixture(["tales"], stages=[Stage(64, 4)]), **SMALL)
    with pytest.raises(TypeError, match="data must be"):
        Recipe(data=["tales"], **SMALL)


def test_words():
    assert described("tales:40") == "tales:40"
    assert described(Mixture(["tales:40", "pydoc"], weights={"tales:40": 0.125, "pydoc": 0.875})) == (
        "tales:40 12.5 %, pydoc 87.5 %"
    )


def test_a_file_of_stages(tmp_path):
    path = tmp_path / "stages.json"
    path.write_text('[{"steps": 3, "context": 16, "weights": {"a": 1}}, {"tokens": 100, "batch_size": 2}, {}]', "utf-8")
    found = read_stages(path, batch_size=4, context=32, micro_batches=2)
    assert found == [Stage(16, 4, batches=6, weights={"a": 1}), Stage(32, 2, tokens=100), Stage(32, 4)]
    for text, message in (
        ("{}", "expected a list of stages"),
        ("[]", "expected a list of stages"),
        ("[3]", "expected a list of stages"),
        ("[{]", "not valid JSON"),
        ('[{"steps": 3, "rows": 4}]', "stage 1: 'rows' is not known"),
        ('[{"steps": 0}]', "stage 1: steps must be a whole number of at least 1, got 0"),
        ('[{"steps": true}]', "stage 1: steps"),
        ('[{"steps": 2, "tokens": 9}]', "stage 1: a stage is 4 batches or 9 tokens long"),
        ('[{"steps": 2}, {"context": 0}]', "stage 2: a stage's context"),
        ("[{}, {}]", "stage 1 does not say how long it is"),
        ('[{"weights": {"a": 0.5}}]', "stage 1: the weights must sum to 1"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=message) as error:
            read_stages(path, batch_size=4, context=32, micro_batches=2)
        assert "stages.json" in str(error.value)
