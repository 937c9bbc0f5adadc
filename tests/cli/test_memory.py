"""Less memory for the commands that tune: what the options mean, in run.json, in the checkpoint and in the numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd.bfloat16 import BFLOAT16
from llm_from_scratch.cli import main
from llm_from_scratch.files import download
from llm_from_scratch.files.sharded import read_safetensors

TALES_MODEL = Path(__file__).parents[2] / "chapters" / "tales_model"
QUICK = ["--data", "tales", "--steps", "2", "--batch", "2", "--threads", "1", "--template", "tales"]
FEW = [part for text in ("held_out=6", "prompts=3", "max_new_tokens=4") for part in ("--set", text)]
PPO_SET = ("answers=4", "minibatch=2", "training_prompts=6", "reward=true", "reward_tokens=1500")
PPO = [part for text in PPO_SET for part in ("--set", text)]
RUNS = {
    "finetune": ["finetune", "--held-out", "4"],
    "finetune with LoRA": ["finetune", "--held-out", "4", "--lora", "2"],
    "align": ["align", *FEW],
    "align by PPO": ["align", "--method", "ppo", *FEW, *PPO],
    "adapt": ["adapt", "--rank", "2"],
}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    directory = tmp_path_factory.mktemp("start")
    tokenizer = lfs.Tokenizer.from_pretrained(TALES_MODEL)
    small = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24}
    lfs.build("llama", **small, max_position_embeddings=1024, vocab_size=len(tokenizer)).save_pretrained(directory)
    tokenizer.save(directory)
    return str(directory)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))


def tune(run, start, out, *more):
    return main([*RUNS[run], "--model", start, "--out", str(out), *QUICK, *more])


@pytest.mark.parametrize("run", RUNS)
def test_a_run_in_two_bytes(run, start, tmp_path):
    assert tune(run, start, tmp_path / "run", "--storage", "bfloat16", "--rounding", "nearest", "--recompute") == 0
    settings = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["storage"], settings["stochastic_rounding"], settings["recompute"]) == ("bfloat16", False, True)
    for file in ("model", "optimizer"):
        kept = read_safetensors(tmp_path / "run" / "step-2" / f"{file}.safetensors")
        assert BFLOAT16 in {array.dtype for array in kept.values()}, file
    state = json.loads((tmp_path / "run" / "step-2" / "state.json").read_text(encoding="utf-8"))["settings"]
    assert (state["storage"], state["stochastic_rounding"], state["recompute"]) == ("bfloat16", False, True)


@pytest.mark.parametrize("run", RUNS)
def test_recomputing_and_shares_are_no_other_run(run, start, tmp_path):
    for name, more in (("kept", []), ("again", ["--recompute"]), ("alone", ["--shard-optimizer"])):
        assert tune(run, start, tmp_path / name, *more) == 0
    wanted = read_safetensors(tmp_path / "kept" / "step-2" / "model.safetensors")
    for name in ("again", "alone"):
        found = read_safetensors(tmp_path / name / "step-2" / "model.safetensors")
        assert found.keys() == wanted.keys() and all(np.array_equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("run", ["finetune", "align", "adapt"])
@pytest.mark.parametrize(
    "more, message",
    [
        (["--rounding", "nearest"], "--rounding is for --storage bfloat16"),
        (["--rounding", "stochastic", "--storage", "float32"], "--rounding is for --storage bfloat16"),
    ],
)
def test_options_that_mean_nothing_are_refused(run, start, tmp_path, capsys, more, message):
    assert tune(run, start, tmp_path / "run", *more) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("run", ["finetune", "align", "adapt"])
@pytest.mark.parametrize("option", [["--recompute"], ["--storage", "bfloat16"], ["--shard-optimizer"]])
def test_a_resumed_run_has_its_own(run, tmp_path, capsys, option):
    assert main([run, "--resume", "--out", str(tmp_path / "run"), *option]) == 2
    assert f"leave out {option[0]}" in capsys.readouterr().err
