"""`align`: from the command line to a model that has learned from preferences, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import llm_from_scratch as lfs
from llm_from_scratch.cli import main
from llm_from_scratch.files import download

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
QUICK = ["--steps", "2", "--batch", "2", "--threads", "1", "--template", "tales"]
QUICK += [part for text in ("held_out=6", "prompts=3", "max_new_tokens=4") for part in ("--set", text)]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    directory = tmp_path_factory.mktemp("start")
    tokenizer = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
    lfs.build("llama", **small, max_position_embeddings=256, vocab_size=len(tokenizer)).save_pretrained(directory)
    tokenizer.save(directory)
    return str(directory)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))


def test_a_run_from_beginning_to_end(start, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["align", "--data", "tales", "--model", start, "--out", out, "--json", *QUICK]) == 0
    printed, told = capsys.readouterr()
    report = json.loads(printed)
    assert report["command"] == "align" and report["steps"] == 2 and report["before"]["figures"]["accuracy"] == 0.5
    assert "accuracy" in told and "true score" in told and "asked:" in told
    stored = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["settings"]
    assert stored["method"] == "dpo" and stored["held_out"] == 6 and stored["beta"] == 0.5
    assert main(["generate", "--model", out, "--prompt", "There", "--max-new-tokens", "2"]) == 0
    assert main(["align", "--data", "tales", "--model", start, "--out", out, *QUICK]) == 2
    assert "holds a run already (finished; choose another --out, or --force to replace it)" in capsys.readouterr().err


def test_a_text_may_look_like_anything(start, tmp_path, capsys):
    """The reward "true" is a setting's text, no truth value; with --json only the report is on standard output."""
    few = ["answers=4", "minibatch=2", "training_prompts=6", "reward_tokens=1500"]
    ppo = ["align", "--method", "ppo", "--data", "tales", "--model", start, *QUICK, "--json"]
    ppo += [part for text in few for part in ("--set", text)]
    assert main([*ppo, "--out", str(tmp_path / "learned")]) == 0
    printed, told = capsys.readouterr()
    assert json.loads(printed)["steps"] == 2 and "learning a reward model" in told
    assert main([*ppo, "--set", "reward=true", "--out", str(tmp_path / "true")]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2


def test_the_table_is_printed_and_nothing_else_is_needed(capsys):
    assert main(["align", "--methods"]) == 0
    printed = capsys.readouterr().out
    assert all(
        name in printed for name in ("dpo", "cdpo", "ipo", "hinge", "kto", "crlft", "apa", "awr", "label_smoothing 0.1")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "ppq"], "there is no method 'ppq'; the methods are dpo"),
        (["--set", "tau=0.1"], "dpo has no setting 'tau'"),
        (["--set", "tau"], "--set wants NAME=VALUE, got 'tau'"),
        (["--beta", "0"], "beta must be a finite number above 0, got 0.0"),
        (["--method", "ipo", "--beta", "0.1"], "ipo has no setting 'beta'; it has"),
        (["--noise", "2"], "noise is a share from 0 to 1, got 2.0"),
        (["--batch", "0"], "batch must be at least 1, got 0"),
        (["--template", "chatml-with-a-typo"], "chatml-with-a-typo"),
        (["--data", "nowhere.jsonl"], "there is no file 'nowhere.jsonl': --data takes a file, or tales"),
        (["--data", ""], ". is a directory: name a file"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(options, message, start, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["align", "--model", start, "--out", str(out), *QUICK, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert not out.exists() or not [path for path in out.iterdir() if path.name != "writer.lock"]
