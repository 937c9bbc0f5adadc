"""What is measured at every evaluation: what `evaluate` says, the same each time, known to fit beforehand."""

from __future__ import annotations

import pytest

from llm_from_scratch.evaluation import own_task, run_task
from llm_from_scratch.files.jsonl import write_jsonl
from llm_from_scratch.recipes.batching import validation_batches
from llm_from_scratch.recipes.measuring import Measures, Sources, Tasks
from llm_from_scratch.recipes.mixture import Mixture
from llm_from_scratch.recipes.recipe import Recipe, build_model, prepare_corpus
from llm_from_scratch.training import evaluate

SMALL = {"vocabulary": 300, "validation_fraction": 0.2, "context": 128, "batch_size": 4, "width": 16, "heads": 2,
         "layers": 1}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    recipe = Recipe(
        data=Mixture(["tales:40", "pydoc"]), evaluate=["induction", "arithmetic"], evaluate_items=12, **SMALL
    )
    corpus = prepare_corpus(recipe, tmp_path_factory.mktemp("corpus"))
    return recipe, corpus, build_model(recipe, corpus.tokenizer)


def test_scores_are_those_of_the_command_and_repeat(made):
    recipe, corpus, model = made
    measures = Measures(recipe, corpus, threads=1)
    assert measures
    found = measures(model)
    assert list(found) == ["induction", "arithmetic", "loss of tales:40", "loss of pydoc"]
    for name in ("induction", "arithmetic"):
        task = own_task(name, 12)
        assert len(task.items) == 12
        assert found[name] == float(run_task(model, corpus.tokenizer, task, threads=1))
    assert measures(model) == found
    assert [line.split(":")[0] for line in measures.costs(model)] == ["induction, 12 items", "arithmetic, 12 items"]
    assert set(measures.tasks.seconds) == {"induction", "arithmetic"}


def test_losses_of_sources_are_the_parts_of_the_whole(made):
    recipe, corpus, model = made
    apart = Sources(recipe, corpus, threads=1)(model)
    together = evaluate(model, validation_batches(recipe, corpus)(), threads=1)["loss"]
    low, high = sorted(apart.values())
    assert low < together < high and high - low > 1e-4


def test_a_recipe_that_asks_for_nothing(made):
    recipe, corpus, model = made
    plain = Recipe(data="tales:40", **SMALL)
    measures = Measures(plain, type(corpus)(corpus.tokenizer, corpus.train, corpus.validation), threads=1)
    assert not measures and measures(model) == {} and measures.costs(model) == []


def test_tasks_from_files_and_wrong_ones(made, tmp_path):
    _, corpus, model = made
    path = tmp_path / "mine.jsonl"
    write_jsonl(path, [{"context": "a", "choices": [" b", " c"], "answer": 0}] * 9)
    tasks = Tasks([str(path)], corpus.tokenizer, items=4, threads=1)
    (score,) = tasks(model).values()
    assert score in (0.0, 1.0) and len(next(iter(tasks.tasks.values())).items) == 4
    for names, message in (
        (["nonsense"], "no task and no file 'nonsense'"),
        (["induction", "induction"], "named twice"),
        (["needle:5"], "at least 20"),
    ):
        with pytest.raises(ValueError, match=message):
            Tasks(names, corpus.tokenizer)
    judged = tmp_path / "talks.jsonl"
    write_jsonl(judged, [{"question_id": 1, "category": "writing", "turns": ["Write.", "Again."]}])
    with pytest.raises(ValueError, match="needs a judge"):
        Tasks([str(judged)], corpus.tokenizer)
    with pytest.raises(ValueError, match="the task needle:300: item 0: .* tokens"):
        Tasks(["needle:300"], corpus.tokenizer, items=2)(model)
