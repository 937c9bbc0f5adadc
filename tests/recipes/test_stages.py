"""Stages in a row: each begins where the one before ended, and a run that was killed anywhere ends the same."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.data import ExampleSampler
from llm_from_scratch.recipes.stages import read_recipe, remove, run_stages, standing_of
from llm_from_scratch.recipes.tuning import Tuning
from llm_from_scratch.training import TrainingSettings

QUIET = {"say": lambda text: None, "progress": False}
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


@dataclasses.dataclass(frozen=True)
class Training:
    """Trains on numbers drawn from a seed, or on the rows that a stage wrote."""

    name: str
    reads: str | None = None
    leads: bool = True
    killed_after: int | None = None
    does: str = "Trains."

    def tuning(self, start):
        model, tokenizer = lfs.from_pretrained(start.model), lfs.Tokenizer.from_pretrained(start.model)
        rows = np.random.default_rng(start.settings["seed"]).integers(0, 262, (12, 7))
        if self.reads:
            rows = np.array([row["ids"] for row in start.rows(self.reads)])

        def between(step, loss, model):
            if step == self.killed_after:
                raise KeyboardInterrupt

        return Tuning(
            model,
            tokenizer,
            ExampleSampler([{"ids": row[:-1], "targets": row[1:]} for row in rows], 2, seed=0),
            TrainingSettings(steps=4, learning_rate=0.01, checkpoint_every=2, evaluate_every=2, threads=1),
            measures=lambda model: {"seen": float(np.mean(model(rows[:1]).data))},
            on_step=between,
        )


@dataclasses.dataclass(frozen=True)
class Writing:
    """Writes what the model thinks of some numbers."""

    name: str
    fails: bool = False
    does: str = "Writes."

    def write(self, start):
        if self.fails:
            raise KeyboardInterrupt
        model = lfs.from_pretrained(start.model)
        best = model(np.arange(28).reshape(4, 7)).data.argmax(-1)
        return [{"ids": row.tolist(), "model": Path(start.model).name} for row in best]


STAGES = (Training("first"), Training("judge", leads=False), Writing("words"), Training("second", reads="words"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    lfs.build("llama", **SIZES, vocab_size=262, max_position_embeddings=16, seed=3).save_pretrained(folder)
    roles = {"bos": "<end>", "eos": "<end>"}
    lfs.Tokenizer.train("a b c d e f", 262, special_tokens=["<end>"], roles=roles).save(folder)
    return str(folder)


def files(directory):
    kept = ("rows.jsonl", "model.safetensors", "log.jsonl", "recipe.json")
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.name in kept}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, base):
    directory = tmp_path_factory.mktemp("whole") / "run"
    return directory, run_stages(directory, "toy", STAGES, {"model": base, "seed": 1}, **QUIET)


def test_each_stage_begins_where_the_last_policy_ended(whole):
    directory, report = whole
    assert [stage["stage"] for stage in report["stages"]] == ["first", "judge", "words", "second"]
    rows = [json.loads(line) for line in (directory / "3-words" / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == report["stages"][2]["rows"] == 4
    assert {row["model"] for row in rows} == {"1-first"}  # not the judge
    assert report["stages"][3]["before"]["figures"]["seen"] != report["stages"][1]["after"]["figures"]["seen"]
    assert report["before"] == report["stages"][0]["before"] and report["after"] == report["stages"][3]["after"]
    assert report["model"] == str(directory / "4-second") and standing_of(directory) == "finished"
    assert run_stages(directory, "toy", STAGES, None, **QUIET) == report


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("after", [0, 1, 3, 4])
def test_a_run_killed_in_any_stage_ends_with_the_same_bytes(tmp_path, whole, base, stage, after):
    directory = tmp_path / "run"
    broken = list(STAGES)
    change = {"fails": True} if isinstance(STAGES[stage], Writing) else {"killed_after": after}
    broken[stage] = dataclasses.replace(STAGES[stage], **change)
    with pytest.raises(KeyboardInterrupt):
        run_stages(directory, "toy", broken, {"model": base, "seed": 1}, **QUIET)
    assert standing_of(directory) == "unfinished"
    run_stages(directory, "toy", STAGES, None, **QUIET)
    assert files(directory) == files(whole[0])


def test_a_run_killed_between_two_stages_ends_with_the_same_bytes(tmp_path, whole, base, monkeypatch):
    said = []

    def say(text):
        said.append(text)
        if text.startswith("\n— 3 of 4"):
            raise KeyboardInterrupt

    directory = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_stages(directory, "toy", STAGES, {"model": base, "seed": 1}, say=say, progress=False)
    assert said[0] == "\n— 1 of 4: first. Trains.\n" and not (directory / "3-words").exists()
    run_stages(directory, "toy", STAGES, None, **QUIET)
    assert files(directory) == files(whole[0])


def test_what_is_no_run_of_this_recipe_is_refused_and_left_alone(tmp_path, whole, base):
    directory, _ = whole
    before = files(directory)
    settings = {"model": base, "seed": 1}
    with pytest.raises(ValueError, match=r"holds a run already \(finished\)"):
        run_stages(directory, "toy", STAGES, settings, **QUIET)
    with pytest.raises(ValueError, match="is a run of the recipe toy, not of other"):
        run_stages(directory, "other", STAGES, None, **QUIET)
    with pytest.raises(ValueError, match="holds a run of another kind"):
        run_stages(directory / "1-first", "toy", STAGES, settings, **QUIET)
    with pytest.raises(ValueError, match="no run of a recipe to go on with"):
        run_stages(tmp_path / "nothing", "toy", STAGES, None, **QUIET)
    assert files(directory) == before and not (tmp_path / "nothing").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="holds other files"):
        run_stages(tmp_path / "other", "toy", STAGES, settings, **QUIET)


def test_a_changed_recipe_is_noticed_and_a_removed_one_is_gone(tmp_path, base):
    directory = tmp_path / "run"
    run_stages(directory, "toy", STAGES[2:3] + STAGES[:1], {"model": base, "seed": 1}, **QUIET)
    assert read_recipe(directory) == {"recipe": "toy", "settings": {"model": base, "seed": 1}}
    text = (directory / "recipe.json").read_text()
    (directory / "recipe.json").write_text(text.replace('"seed": 1', '"seed": 2'))
    with pytest.raises(ValueError, match="is not what it was when the run began"):
        run_stages(directory, "toy", STAGES, None, **QUIET)
    (directory / "mine.txt").write_text("kept")
    remove(directory)
    assert {path.name for path in directory.iterdir()} <= {"mine.txt", "writer.lock"}
