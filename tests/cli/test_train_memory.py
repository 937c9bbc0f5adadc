"""`train --storage bfloat16 --recompute`: what the options mean, and a run from the command to the model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llm_from_scratch import cli
from llm_from_scratch.autograd.bfloat16 import BFLOAT16
from llm_from_scratch.checkpoints import from_pretrained
from llm_from_scratch.files.sharded import read_safetensors

SMALL = "--layers 1 --width 16 --heads 2 --context 32 --batch 4 --vocabulary 300 --threads 1 --validation 0.1".split()


def train(out, *more):
    return cli.main(["train", "--data", "tales:40", *SMALL, "--steps", "4", "--out", str(out), *more])


def test_a_run_in_two_bytes(tmp_path):
    assert train(tmp_path / "run", "--storage", "bfloat16", "--rounding", "nearest", "--recompute") == 0
    settings = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["training"]
    assert (settings["storage"], settings["stochastic_rounding"], settings["recompute"]) == ("bfloat16", False, True)
    stored = read_safetensors(tmp_path / "run" / "step-4" / "optimizer.safetensors")
    assert stored["m.embedding.weight"].dtype == BFLOAT16
    model = from_pretrained(tmp_path / "run")
    numbers = model.embedding.weight.data
    assert np.array_equal(numbers, numbers.astype(BFLOAT16).astype(np.float32))


def test_recomputing_is_no_other_run(tmp_path):
    for name, more in (("kept", []), ("again", ["--recompute"])):
        assert train(tmp_path / name, *more) == 0
    for path in ("log.jsonl", "model.safetensors"):
        assert (tmp_path / "kept" / path).read_bytes() == (tmp_path / "again" / path).read_bytes()


@pytest.mark.parametrize("more, message", [
    (["--rounding", "nearest"], "--rounding is for --storage bfloat16"),
    (["--rounding", "stochastic", "--storage", "float32"], "--rounding is for --storage bfloat16"),
])  # fmt: skip
def test_options_that_mean_nothing_are_refused(tmp_path, capsys, more, message):
    assert train(tmp_path / "run", *more) != 0
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", [["--recompute"], ["--storage", "bfloat16"], ["--rounding", "nearest"]])
def test_a_resumed_run_has_its_own(tmp_path, capsys, option):
    assert cli.main(["train", "--resume", "--out", str(tmp_path / "run"), *option]) != 0
    assert f"leave out {option[0]}" in capsys.readouterr().err
