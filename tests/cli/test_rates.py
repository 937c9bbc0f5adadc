"""train --find-lr: a rate, a picture, and nothing that was trained."""

from __future__ import annotations

import json

from llm_from_scratch import cli
from llm_from_scratch.cli import _rates
from llm_from_scratch.training import find_learning_rate, next_token

SMALL = ("--data tales:40 --layers 1 --width 16 --heads 2 --vocabulary 300 --context 32 --batch 4 --threads 1 "
         "--validation 0.1 --seed 3").split()  # fmt: skip


def train(*more):
    return cli.main(["train", *SMALL, *map(str, more)])


def test_a_rate_is_found_and_the_run_after_it_is_as_without(tmp_path, capsys):
    tried, plain = tmp_path / "tried", tmp_path / "plain"
    assert train("--find-lr", "--json", "--out", tried) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert 1e-4 < found["suggestion"] < found["lowest"] <= 1.0 and len(found["rates"]) == len(found["losses"])
    assert found["reason"] in captured.err and f"--lr {found['suggestion']:.1g}" in captured.err
    assert {path.name for path in tried.iterdir()} == {"data", "learning-rate.png"}
    assert train("--find-lr", "--json", "--out", tried) == 0  # again, the same
    assert json.loads(capsys.readouterr().out) == found
    for out in (tried, plain):
        assert train("--steps", 3, "--out", out) == 0
    for name in ("model.safetensors", "log.jsonl", "run.json", "step-3/optimizer.safetensors"):
        assert (tried / name).read_bytes() == (plain / name).read_bytes(), name
    capsys.readouterr()
    assert train("--find-lr", "--force", "--out", plain) == 2  # a run is never thrown away for it
    assert "holds a run" in capsys.readouterr().err and (plain / "model.safetensors").exists()


def test_what_is_tried_is_the_run_that_was_asked_for(tmp_path, capsys, monkeypatch):
    """Also with statistics, which need a run's directory, and with a teacher, who says what the loss is."""
    assert train("--steps", 3, "--out", tmp_path / "teacher") == 0
    asked = []
    monkeypatch.setattr(
        _rates, "find_learning_rate", lambda *args, **more: asked.append(more) or find_learning_rate(*args, **more)
    )
    own = [word for word in SMALL if word not in ("--vocabulary", "300")]
    for more in (["--statistics", "10", "--vocabulary", "300"], ["--teacher", str(tmp_path / "teacher")]):
        assert cli.main(["train", *own, *more, "--find-lr", "--out", str(tmp_path / more[0])]) == 0
    assert "--lr" in capsys.readouterr().out
    assert asked[0]["objective"] is next_token is not asked[1]["objective"]
