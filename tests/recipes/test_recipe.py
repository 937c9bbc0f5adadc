from __future__ import annotations

import json

import numpy as np
import pytest
from standin import StandIn, sampler

from llm_from_scratch import families
from llm_from_scratch.recipes.recipe import Recipe, build_model, check_model, prepare_corpus, published_config
from llm_from_scratch.training import TrainingSettings
from llm_from_scratch.training.budget import fit_steps, seconds_per_step


def test_measuring_leaves_everything_as_it_was():
    model, source = StandIn(seed=2, dropout=0.2), sampler()
    weights, position = [p.data.copy() for p in model.parameters()], source.state()
    settings = TrainingSettings(steps=10, threads=2, micro_batches=2)
    assert seconds_per_step(model, source, settings, seconds=0.02) > 0
    assert all(np.array_equal(p.data, w) and p.grad is None for p, w in zip(model.parameters(), weights))
    assert source.state() == position


def test_a_budget_becomes_steps_and_keeps_proportions():
    settings = TrainingSettings(steps=1000, warmup=50, evaluate_every=100, checkpoint_every=0)
    fitted = fit_steps(settings, step_seconds=0.1, minutes=1.0)
    assert (fitted.steps, fitted.warmup, fitted.evaluate_every, fitted.checkpoint_every) == (600, 30, 60, 0)
    assert fit_steps(settings, 1000.0, 0.1).steps == 10  # never nothing
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="minutes"):
            fit_steps(settings, 0.1, bad)


def test_a_corpus_is_prepared_once_and_again_for_another_recipe(tmp_path):
    recipe = Recipe(data="tales:60", validation_fraction=0.2, vocabulary=400, context=32, batch_size=4)
    corpus = prepare_corpus(recipe, tmp_path)
    assert corpus.tokenizer.vocab_size == 400 and len(corpus.validation) > 30
    assert corpus.tokenizer.bos_id == corpus.tokenizer.eos_id == corpus.train.separator
    stamp = (tmp_path / "train.tokens").stat().st_mtime_ns
    again = prepare_corpus(recipe, tmp_path)
    assert (tmp_path / "train.tokens").stat().st_mtime_ns == stamp
    assert np.array_equal(again.train.ids, corpus.train.ids)
    text = corpus.tokenizer.decode(corpus.train.ids[:60])
    assert text == again.tokenizer.decode(again.train.ids[:60]) and "<|endoftext|>" in text
    other = prepare_corpus(
        Recipe(data="tales:60", validation_fraction=0.2, vocabulary=300, context=32, batch_size=4), tmp_path
    )
    assert other.tokenizer.vocab_size == 300


def test_an_embedding_may_start_wider(tmp_path):
    small = {"data": "tales:20", "vocabulary": 300, "validation_fraction": 0.2, "width": 16, "heads": 2, "layers": 1}
    tokenizer = prepare_corpus(Recipe(**small), tmp_path).tokenizer
    usual = build_model(Recipe(**small), tokenizer)
    wide = build_model(Recipe(**small, embedding_std=0.2), tokenizer)
    assert np.isclose(usual.embedding.weight.data.std(), 0.02, rtol=0.1)
    assert np.isclose(wide.embedding.weight.data.std(), 0.2, rtol=1e-4)
    assert wide.embedding.weight.dtype == np.float32
    other = wide.layers[0].mixer.query.weight.data
    assert np.array_equal(other, usual.layers[0].mixer.query.weight.data)


def test_a_tokenizer_may_have_what_its_text_has_not(tmp_path):
    turns, words = ["<|user|>", "<|end|>"], ["Who", "which", "?"]
    small = {"data": "tales:60", "validation_fraction": 0.2, "vocabulary": 400, "pattern": "digits"}
    recipe = Recipe(**small, special_tokens=turns, words=words)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    tokenizer = prepare_corpus(recipe, tmp_path).tokenizer
    again = prepare_corpus(recipe, tmp_path).tokenizer  # as it was saved
    plain = prepare_corpus(Recipe(**small), tmp_path / "plain").tokenizer
    for found in (tokenizer, again):
        assert [len(found.encode(before + word)) for word in words for before in ("", " ")] == [1] * 6
        assert [len(found.encode(turn, allowed_special="all")) for turn in turns] == [1, 1]
        assert found.decode(found.encode("1906")) == "1906" and len(found.encode("1906")) == 4
    assert any(len(plain.encode(word)) > 1 for word in words) and len(plain.encode("<|user|>")) > 1
    ordinary = "Once there was a fox named Tom."
    assert tokenizer.decode(tokenizer.encode(ordinary)) == ordinary
    for wrong in ("Who", [""], [3]):
        with pytest.raises(TypeError, match="words must be a list"):
            Recipe(words=wrong)


def test_recipes_speak_the_words_of_their_family():
    llama = published_config(Recipe(width=96, heads=6, key_value_heads=2), 300)
    assert llama["hidden_size"] == 96 and llama["num_key_value_heads"] == 2 and llama["tie_word_embeddings"] is True
    assert llama["intermediate_size"] == 256 and llama["vocab_size"] == 300
    gpt2 = published_config(Recipe(family="gpt2", layers=3, context=64), 300)
    assert gpt2["n_layer"] == 3 and gpt2["n_positions"] == 64 and "hidden_size" not in gpt2
    released = published_config(Recipe(family="mistral-7b", width=64, heads=4, context=128, feed_forward=96), 300)
    assert released["num_key_value_heads"] == 2 and released["sliding_window"] == 16  # 8 of 32, 4096 of 32768
    assert released["intermediate_size"] == 96
    check_model(Recipe())
    with pytest.raises(ValueError, match="'nosuch'; known: .*llama"):
        check_model(Recipe(family="nosuch"))
    with pytest.raises(ValueError, match="no_such_key"):
        check_model(Recipe(config={"no_such_key": 1}))
    with pytest.raises(ValueError, match="key_value_heads = 2: a model of the family bloom"):
        check_model(Recipe(family="bloom", key_value_heads=2))


def test_a_recipe_may_ask_for_pieces_with_scores(tmp_path):
    recipe = Recipe(
        data="tales:60",
        validation_fraction=0.2,
        tokenizer="sentencepiece",
        vocabulary=500,
        width=32,
        heads=4,
        context=64,
    )
    corpus = prepare_corpus(recipe, tmp_path)
    assert (
        corpus.tokenizer.kind == "sentencepiece" and prepare_corpus(recipe, tmp_path).tokenizer.kind == "sentencepiece"
    )
    ids = corpus.tokenizer.encode("Max the bear")
    assert (
        corpus.tokenizer.decode(ids) == "Max the bear" and build_model(recipe, corpus.tokenizer)([ids]).shape[2] == 500
    )
    assert corpus.train.separator == corpus.tokenizer.eos_id  # documents are kept apart as with the other kind
    assert (
        prepare_corpus(Recipe(data="tales:60", validation_fraction=0.2, vocabulary=500), tmp_path).tokenizer.kind
        == "byte-level"
    )


@pytest.mark.parametrize("family", sorted(families.all_families()))
def test_a_recipe_builds_a_small_model_of_any_family(family, tmp_path):
    recipe = Recipe(
        data="tales:60", validation_fraction=0.2, family=family, vocabulary=400, layers=2, width=32, heads=4, context=48
    )
    model = build_model(recipe, prepare_corpus(recipe, tmp_path).tokenizer)
    assert len(model.layers) == 2 and model.spec.hidden_size == 32
    assert model.spec.context_length == (2048 if family == "mamba" else 48)  # Mamba's config knows no length
    assert np.isfinite(model.loss({"ids": [[1, 2, 3]], "targets": [[2, 3, 4]]}).item())


@pytest.mark.parametrize(
    "bad",
    [
        {"layers": 0},
        {"width": 100, "heads": 3},
        {"vocabulary": 256},
        {"context": 0},
        {"batch_size": -1},
        {"validation_fraction": 1.0},
        {"seed": -1},
        {"embedding_std": 0.0},
        {"embedding_std": float("nan")},
        {"tokenizer": "unigram"},
    ],
)
def test_impossible_recipes_are_refused(bad):
    with pytest.raises(ValueError):
        Recipe(**bad)
    with pytest.raises(ValueError, match="no optimizer"):
        Recipe.from_json({"optimizer": "adam"})
