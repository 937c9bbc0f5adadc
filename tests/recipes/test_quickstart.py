"""The plan of quickstart: what it promises before anything is trained."""

from __future__ import annotations

from llm_from_scratch.recipes import quickstart
from llm_from_scratch.recipes.recipe import check_model, prepare_corpus


def test_the_work_is_fixed_and_no_tale_is_read_twice():
    recipe, settings = quickstart.recipe(), quickstart.settings()
    check_model(recipe)
    rows = settings.steps * settings.micro_batches * recipe.batch_size
    assert rows * recipe.context <= 1_300_000
    assert rows < quickstart.TALES * (1 - 2 * recipe.validation_fraction)
    assert settings.to_json() == {**quickstart.settings(seed=5).to_json(), "seed": 0}
    assert quickstart.settings(steps=3).warmup <= 3


def test_its_tokenizer_is_ready_for_chats_and_questions(tmp_path):
    tokenizer = prepare_corpus(quickstart.recipe(), tmp_path).tokenizer
    assert tokenizer.vocab_size == quickstart.recipe().vocabulary
    for turn in quickstart.TURNS:
        assert len(tokenizer.encode(turn, allowed_special="all")) == 1
    for word in quickstart.QUESTIONS:
        assert len(tokenizer.encode(word)) == len(tokenizer.encode(" " + word)) == 1, word
    assert [len(tokenizer.encode(digit)) for digit in "0123456789"] == [1] * 10
    assert len(tokenizer.encode("1906")) == 4


def test_the_larger_one_reads_what_the_books_model_read_and_its_draft_too():
    large, draft = quickstart.large_recipe(3), quickstart.draft_recipe("runs/large", 3)
    check_model(large)
    rows = quickstart.large_settings().steps * large.batch_size
    assert rows < quickstart.LARGE_TALES * (1 - 2 * large.validation_fraction)  # none is read twice
    alike = ("data", "vocabulary", "special_tokens", "words", "context", "seed")
    assert all(getattr(large, name) == getattr(draft, name) for name in alike)
    assert draft.layers < large.layers and draft.width < large.width and draft.teacher == "runs/large"
    settings = quickstart.large_settings(steps=50, seed=3)
    assert settings.steps == 50 and settings.warmup <= 50 and settings.seed == 3
