"""quickstart, train and generate from the command line to the files they leave, on very small models."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest

from llm_from_scratch import cli
from llm_from_scratch.checkpoints import from_pretrained
from llm_from_scratch.cli import _session, _telling, quickstart
from llm_from_scratch.recipes.recipe import Recipe
from llm_from_scratch.tokenizers import Tokenizer
from llm_from_scratch.training import TrainingSettings, loop

SMALL = "--layers 1 --width 16 --heads 2 --context 32 --batch 4 --vocabulary 300 --threads 2".split()


def train(*more):
    return cli.main(["train", "--data", "tales:40", "--validation", "0.1", *SMALL, *map(str, more)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert train("--steps", 12, "--checkpoint-every", 5, "--seed", 3, "--out", directory) == 0
    return directory


@pytest.fixture
def interrupt_after(monkeypatch):
    """Ctrl-C arrives during the given step."""

    def arm(step):
        class Request:
            def __init__(self):
                self.asked = 0

            @property
            def requested(self):
                self.asked += 1
                return self.asked > step  # looked at before the first step and after each

        @contextlib.contextmanager
        def polite():
            yield Request()

        monkeypatch.setattr(loop, "polite_interrupts", polite)

    return arm


def test_a_run_leaves_a_model_that_loads_and_a_report(finished, capsys):
    names = {path.name for path in finished.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "log.jsonl", "loss.png", "latest", "step-12",
                     "run.json", "report.json", "data"}  # fmt: skip
    model, tokenizer = from_pretrained(finished), Tokenizer.from_pretrained(finished)
    assert model.config["model_type"] == "llama" and model.spec.vocab_size == tokenizer.vocab_size == 300
    assert model.config["bos_token_id"] == tokenizer.bos_id
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    assert report["steps"] == 12 and report["tokens"] == 12 * 4 * 32
    assert report["trained"]["loss"] < report["untrained"]["loss"]
    assert report["trained"]["bits_per_byte"] > 0 and 0 <= report["trained"]["consistency"] <= 1
    assert report["trained"]["copied"]["share"] == 0 <= report["trained"]["copied_held_out"]["share"] < 1


def test_interrupted_and_resumed_it_ends_with_the_same_bytes(finished, tmp_path, interrupt_after, monkeypatch, capsys):
    directory = tmp_path / "run"
    interrupt_after(7)
    assert train("--steps", 12, "--checkpoint-every", 5, "--seed", 3, "--out", directory) == 130
    out = capsys.readouterr().out
    assert "stopped after step 8 of 12" in out or "stopped after step 7 of 12" in out
    assert f"train --resume --out {directory}" in out and not (directory / "report.json").exists()
    monkeypatch.undo()
    assert cli.main(["train", "--resume", "--out", str(directory)]) == 0
    for name in ("model.safetensors", "log.jsonl", "config.json", "tokenizer.json", "step-12/optimizer.safetensors",
                 "step-12/state.json"):  # fmt: skip
        assert (directory / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_run_is_not_overwritten_unless_asked(finished, tmp_path, capsys):
    directory = tmp_path / "run"
    shutil.copytree(finished, directory)
    before = (directory / "model.safetensors").read_bytes()
    assert train("--steps", 3, "--out", directory) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "--out", str(directory)]) == 2  # nothing to resume
    assert (directory / "model.safetensors").read_bytes() == before
    (directory / "mine.txt").write_text("keep me", encoding="utf-8")
    assert train("--steps", 3, "--out", directory, "--force") == 0
    assert (directory / "model.safetensors").read_bytes() != before and not (directory / "step-12").exists()
    assert (directory / "mine.txt").read_text(encoding="utf-8") == "keep me"


def test_other_files_are_never_touched(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    for more in ([], ["--force"]):
        assert train("--steps", 3, "--out", tmp_path, *more) == 2
        assert "thesis.tex" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_killed_while_preparing_begins_again(tmp_path):
    directory = tmp_path / "run"
    (directory / "data").mkdir(parents=True)
    (directory / "data" / "train.tokens").write_bytes(b"half")
    assert train("--steps", 2, "--out", directory) == 0


def test_minutes_become_steps_before_training(tmp_path):
    assert train("--minutes", 0.001, "--out", tmp_path / "run") == 0
    stored = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert stored["training"]["steps"] >= 10 and stored["training"]["threads"] == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", "/no/such/file"], "does not exist"),
        (["--context", "20000"], "tokens"),
        (["--width", "30", "--heads", "4"], "width"),
        (["--steps", "0"], "steps"),
        (["--minutes", "-1"], "minutes"),
        (["--lr", "nan"], "learning_rate"),
        (["--config", "nonsense"], "KEY=VALUE"),
        (["--config", "no_such_key=1"], "no_such_key"),
        (["--family", "nosuch"], "nosuch"),
        (["--batch", "5000"], "takes"),
    ],
)
def test_mistakes_are_one_clear_line(tmp_path, capsys, more, message):
    import re

    steps = [] if "--minutes" in more or "--steps" in more else ["--steps", "3"]
    assert train(*steps, "--out", tmp_path / "run", *more) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and re.search(message, err)


def test_a_text_that_is_not_utf8(tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("caf\xe9 ".encode("latin-1") * 1000)
    assert train("--steps", 3, "--out", tmp_path / "run", "--data", tmp_path / "latin.txt") == 2
    assert "UTF-8" in capsys.readouterr().err


def test_resume_takes_no_other_settings(finished, capsys):
    assert cli.main(["train", "--resume", "--out", str(finished), "--lr", "0.1", "--data", "tales"]) == 2
    err = capsys.readouterr().err
    assert "--lr" in err and "--data" in err
    assert cli.main(["train", "--resume"]) == 2 and "--out" in capsys.readouterr().err
    assert cli.main(["train"]) == 2 and "--data" in capsys.readouterr().err


def test_ones_own_text_with_gpt2(tmp_path, capsys):
    (tmp_path / "verse.txt").write_text("The rain it raineth every day.\n" * 400, encoding="utf-8")
    out = tmp_path / "run"
    assert train("--steps", 20, "--lr", 0.02, "--family", "gpt2", "--data", tmp_path / "verse.txt", "--out", out) == 0
    assert from_pretrained(out).config["model_type"] == "gpt2"
    capsys.readouterr()
    assert cli.main(["generate", "--model", str(out), "--prompt", "The", "--max-new-tokens", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == 5


def generate(capsys, directory, *more):
    code = cli.main(["generate", "--model", str(directory), "--max-new-tokens", "20", *more])
    return code, capsys.readouterr()


def test_a_refusal_of_generate_begins_a_line_of_its_own(finished, capsys):
    for wrong in (["--min-p", "2"], ["--beams", "3", "--temperature", "0.5"]):
        code = cli.main(["generate", "--model", str(finished), "--prompt", "The", *wrong])
        shown = capsys.readouterr()
        assert code == 2 and shown.err.startswith("error: ") and shown.out in ("", "The\n")


def test_generate_streams_what_json_says(finished, capsys):
    for prompt in ("Once there was", ""):
        code, shown = generate(capsys, finished, "--prompt", prompt, "--seed", "4")
        assert code == 0
        code, told = generate(capsys, finished, "--prompt", prompt, "--seed", "4", "--json")
        result = json.loads(told.out)
        assert shown.out == prompt + result["texts"][0] + "\n" and result["prompt"] == prompt
    _, several = generate(capsys, finished, "--samples", "3", "--json", "--temperature", "1.5")
    assert len(set(json.loads(several.out)["texts"])) == 3


def test_generate_stops_before_a_string(finished, capsys):
    _, whole = generate(capsys, finished, "--seed", "1", "--json")
    text = json.loads(whole.out)["texts"][0]
    stop = text[8:11]
    _, cut = generate(capsys, finished, "--seed", "1", "--json", "--stop", stop)
    assert json.loads(cut.out)["texts"][0] == text[: text.index(stop)]


def test_generate_with_beams_and_limits(finished, capsys):
    beams = ["--beams", "3", "--length-penalty", "0.5", "--no-repeat-ngram", "3", "--prompt", "Once"]
    code, shown = generate(capsys, finished, *beams)
    assert code == 0
    _, told = generate(capsys, finished, *beams, "--seed", "9", "--json")  # nothing is drawn
    assert shown.out == "Once" + json.loads(told.out)["texts"][0] + "\n"
    _, greedy = generate(capsys, finished, "--prompt", "Once", "--temperature", "0", "--json")
    for limit in ("--min-p", "--typical-p"):  # so narrow that one token is left: min-p's is the most probable
        _, narrow = generate(
            capsys, finished, "--prompt", "Once", limit, "1" if limit == "--min-p" else "1e-9", "--json"
        )
        assert (json.loads(narrow.out)["texts"] == json.loads(greedy.out)["texts"]) == (limit == "--min-p")


@pytest.mark.parametrize(
    "more",
    [
        ["--temperature", "-1"],
        ["--min-p", "nan"],
        ["--typical-p", "0"],
        ["--no-repeat-ngram", "0"],
        ["--beams", "0"],
        ["--beams", "2", "--samples", "2"],
        ["--beams", "2", "--top-p", "0.9"],
        ["--beams", "2", "--length-penalty", "inf"],
        ["--length-penalty", "2"],
        ["--top-p", "2"],
        ["--top-k", "0"],
        ["--max-new-tokens", "-5"],
        ["--samples", "0"],
        ["--stop", ""],
    ],
)
def test_generate_refuses_nonsense(finished, capsys, more):
    code, captured = generate(capsys, finished, *more)
    assert code == 2 and captured.err.startswith("error: ") and "_" not in captured.err
    assert more[0] == "--stop" or any(word in captured.err for word in more if word.startswith("--"))


def test_generate_without_a_model(tmp_path, capsys):
    assert generate(capsys, tmp_path)[0] == 2
    assert generate(capsys, tmp_path / "nowhere")[0] == 2


def tiny_plan(args):
    small = {"layers": 1, "width": 16, "heads": 2, "vocabulary": 300, "context": 32, "batch_size": 4}
    recipe = Recipe(data="tales:40", seed=args.seed, validation_fraction=0.1, **small)
    settings = TrainingSettings(steps=args.steps or 6, learning_rate=0.01, threads=1, evaluate_every=3)
    return _session.Plan(recipe, settings)


def test_quickstart_may_be_repeated(tmp_path, monkeypatch, capsys, interrupt_after):
    monkeypatch.setattr(quickstart, "plan", tiny_plan)
    command = ["quickstart", "--out", str(tmp_path / "q")]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    for words in (
        "after 0 of 6 steps:\n    Max the bear",  # the same beginning, at each evaluation
        "after 4 of 6 steps:\n    Max the bear",
        "after 6 of 6 steps:\n    Max the bear",
        "ms a step now, so about",
        "validation loss",
        "bits per byte",
        "consistent tales",
        "right in 2 tales it told",
        "trained for longer",
        "what to try next",
    ):
        assert words in out
    model = (tmp_path / "q" / "model.safetensors").read_bytes()
    stamp = (tmp_path / "q" / "model.safetensors").stat().st_mtime_ns
    assert cli.main([*command, "--json"]) == 0  # shown again, not trained again
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert len(report["tales"]) == 3 and report["steps"] == 6 and "finished run" in captured.err
    assert (tmp_path / "q" / "model.safetensors").stat().st_mtime_ns == stamp
    assert cli.main([*command, "--force", "--seed", "5"]) == 0
    assert (tmp_path / "q" / "model.safetensors").read_bytes() != model

    capsys.readouterr()
    other = ["quickstart", "--out", str(tmp_path / "other")]
    with monkeypatch.context():
        interrupt_after(3)
        assert cli.main(other) == 130
    assert f"quickstart --out {tmp_path / 'other'}" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setattr(quickstart, "plan", tiny_plan)
    assert cli.main(other) == 0
    assert "unfinished run" in capsys.readouterr().out
    assert (tmp_path / "other" / "model.safetensors").read_bytes() == model


def test_a_look_at_the_model_changes_nothing_about_its_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "plan", tiny_plan)
    names = ("model.safetensors", "log.jsonl", "step-6/optimizer.safetensors", "step-6/state.json")
    assert cli.main(["quickstart", "--out", str(tmp_path / "watched")]) == 0
    monkeypatch.setattr(_telling, "glimpses", lambda *_: None)
    assert cli.main(["quickstart", "--out", str(tmp_path / "alone")]) == 0
    for name in names:
        assert (tmp_path / "watched" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    assert "after 4 of 6 steps" not in capsys.readouterr().out.split("alone")[-1]


def test_a_damaged_report_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "plan", tiny_plan)
    command = ["quickstart", "--out", str(tmp_path / "q")]
    assert cli.main(command) == 0
    path = tmp_path / "q" / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    for name, value in (("checks", {"hero": "all"}), ("copied", {"share": 0.1}), ("tales", "many"), ("checks", None)):
        damaged = {**report, "trained": {**report["trained"], name: value}}
        path.write_text(json.dumps(damaged), encoding="utf-8")
        capsys.readouterr()
        assert cli.main(command) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"error: {path}, trained") and err.count("\n") == 1


def test_without_the_carried_model_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "plan", tiny_plan)
    monkeypatch.setattr(quickstart, "CARRIED", tmp_path / "nowhere")
    assert cli.main(["quickstart", "--out", str(tmp_path / "q"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "is not installed here" in captured.err and "longer_trained" not in json.loads(captured.out)


def test_the_real_plan_of_quickstart():
    parser = argparse.ArgumentParser()
    quickstart.add_arguments(parser)
    usual = quickstart.plan(parser.parse_args([]))
    tokens = usual.settings.steps * usual.settings.micro_batches * usual.recipe.batch_size * usual.recipe.context
    assert usual.minutes is None and usual.recipe.family == "llama" and 1_000_000 < tokens <= 1_300_000
    assert quickstart.plan(parser.parse_args(["--minutes", "10"])).minutes == 10
    short = quickstart.plan(parser.parse_args(["--steps", "5", "--seed", "7"]))
    assert short.minutes is None and short.settings.steps == 5 and short.settings.warmup <= 5
    assert short.recipe == dataclasses.replace(usual.recipe, seed=7)
    assert np.isclose(usual.settings.lr(usual.settings.warmup), usual.settings.learning_rate)
