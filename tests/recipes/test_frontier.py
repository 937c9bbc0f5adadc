"""The frontier: points on the way of every run, kept run by run, and nothing run twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.files import download
from llm_from_scratch.recipes import frontier
from llm_from_scratch.recipes.aligning import METHODS
from llm_from_scratch.training.run import Outcome

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"

CONTESTANTS = (("dpo", {"beta": 1.0}), ("apa", {"scale": 0.5}), ("best-of-n", {"beta": 1.0}))
PPO = ("ppo", {"answers": 4, "minibatch": 2, "training_prompts": 6})


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    quick = {"steps": 3, "batch": 2, "held_out": 6, "prompts": 3, "max_new_tokens": 4, "evaluations": 3}
    monkeypatch.setattr(frontier, "SHARED", {**frontier.SHARED, **quick})
    monkeypatch.setattr(frontier, "TOKENS", 2000)
    tokenizer = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
    model = lfs.build("llama", **small, max_position_embeddings=256, vocab_size=len(tokenizer))
    model.save_pretrained(tmp_path / "start")
    tokenizer.save(tmp_path / "start")
    return {"model": str(tmp_path / "start"), "template": "tales", "threads": 1}


def test_points_are_measured_on_the_way(given, tmp_path):
    said: list[str] = []
    path = tmp_path / "frontier.json"
    found = frontier.collect(path, CONTESTANTS, [0], given, said.append)
    assert json.loads(path.read_text(encoding="utf-8")) == found and len(said) == 3
    for run in found["runs"][:2]:
        assert [point["step"] for point in run["points"]] == [0, 1, 2, 3]
        assert run["points"][0]["kl"] == 0 and run["prompts"] == 3
    best = found["runs"][2]["points"]
    assert [point["n"] for point in best] == [1, 2, 4, 8, 16] and best[0]["kl"] == 0
    frontier.collect(path, CONTESTANTS[:2], [0], given, said.append)
    assert len(said) == 3  # nothing was left to do
    frontier.collect(path, CONTESTANTS[:1], [0, 1], given, said.append)
    assert len(said) == 4 and len(json.loads(path.read_text(encoding="utf-8"))["runs"]) == 4


def test_the_last_point_is_the_last_step_and_an_interrupted_run_is_not_kept(given, tmp_path, monkeypatch):
    monkeypatch.setitem(frontier.SHARED, "evaluations", 2)
    assert [point["step"] for point in frontier.run_method("dpo", {}, 0, given)] == [0, 2, 3]
    monkeypatch.setattr(frontier, "train", lambda *args, **how: Outcome(1, False, 0.0, None, 0, 0.0))
    for contestant in (CONTESTANTS[0], CONTESTANTS[2]):
        with pytest.raises(KeyboardInterrupt):
            frontier.collect(tmp_path / "frontier.json", [contestant], [0], given)
    assert not (tmp_path / "frontier.json").exists()


def test_ppo_runs_through_the_same_function_and_is_asked_the_same(given, tmp_path):
    asked, prepare = {}, frontier.prepare_run

    def watched(settings):
        tuning = prepare(settings)
        asked[settings["method"]] = {n: settings[n] for n in ("kinds", "max_new_tokens", "held_out", "prompts", "data")}
        if settings["method"] == "ppo":
            assert settings["reward"] == "learned" and settings["reward_tokens"] == settings["tokens"] == 2000
        return tuning

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontier, "prepare_run", watched)
        found = frontier.collect(tmp_path / "frontier.json", (PPO, CONTESTANTS[0]), [0], given, lambda text: None)
    ppo, dpo = (run["points"] for run in found["runs"])
    assert [point["step"] for point in ppo] == [0, 2, 4]  # whole rollouts of two steps
    assert ppo[0] == dpo[0] and ppo[0]["kl"] == 0  # the same answers to the same prompts, before anything is learned
    assert ppo[-1]["kl"] != 0 and ppo[0].keys() == dpo[0].keys()
    assert asked["ppo"] == asked["dpo"]
    assert "ppo" in dict(frontier.CONTESTANTS) and set(dict(frontier.CONTESTANTS)) - {"best-of-n"} <= set(METHODS)


def test_a_contestant_that_does_not_exist_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        frontier.main(["--model", "x", "--out", str(tmp_path / "f.json"), "--methods", "ppq"])
    assert "there is no contestant 'ppq'; there are dpo, ipo, apa, best-of-n, ppo" in capsys.readouterr().err
    assert not (tmp_path / "f.json").exists()
