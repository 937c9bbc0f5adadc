"""Killed at any moment, preparing, training, saving or finishing, a run can be begun or resumed, to the byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from killing import in_child

from llm_from_scratch import cli

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
SMALL = "--layers 1 --width 16 --heads 2 --context 32 --batch 4 --vocabulary 300 --threads 1 --validation 0.1".split()
COMMAND = ["train", "--data", "tales:40", *SMALL, "--steps", "4", "--checkpoint-every", "2", "--seed", "3", "--out"]
COMPARED = ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "log.jsonl", "run.json",
            "step-4/optimizer.safetensors", "step-4/state.json", "data/train.tokens", "data/SHA256SUMS"]  # fmt: skip


def run(arguments, kill_at=0):
    """Run a command in a child that dies at its kill_at-th call that changes files: status, calls made."""
    return in_child(lambda: cli.main([str(argument) for argument in arguments]), kill_at)


def contents(directory):
    return {name: (directory / name).read_bytes() for name in COMPARED}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert run([*COMMAND, tmp_path_factory.mktemp("warm") / "run"])[0] == 0  # what is made once is made
    code, calls = run([*COMMAND, directory])
    assert code == 0 and calls > 50
    return contents(directory), calls


def complete(directory):
    """Bring a run to its end the way the messages say; how."""
    if (directory / "report.json").exists():
        return "finished"
    resumed = run(["train", "--resume", "--out", directory])[0]
    if (directory / "report.json").exists():
        assert resumed == 0
        return "resumed"
    assert resumed == 2 and not (directory / "run.json").exists()
    assert run([*COMMAND, directory])[0] == 0
    return "begun"


def temporaries(directory):
    return [path for path in directory.rglob("*") if path.name.endswith(".tmp")]


def places(calls):
    """Some of all: the suite takes a sample, `KILLS=all` takes every one."""
    if os.environ.get("KILLS") == "all":
        return range(1, calls + 1)
    early = random.Random(1).sample(range(1, calls * 2 // 3), 8)  # most calls are those of preparing
    return sorted([*early, *random.Random(2).sample(range(calls * 2 // 3, calls + 1), 4)])


def test_killed_at_any_write(tmp_path, reference):
    wanted, calls = reference
    ways = set()
    for place in places(calls):
        directory = tmp_path / str(place)
        assert run([*COMMAND, directory], kill_at=place)[0] == -signal.SIGKILL
        ways.add(complete(directory))
        assert contents(directory) == wanted, place
        assert not temporaries(directory), place
        shutil.rmtree(directory)
    assert ways >= {"begun", "resumed"}


def test_killed_while_an_old_run_is_removed(tmp_path, reference):
    """--force, killed: what is left is still a run that can be replaced."""
    wanted, _ = reference
    old = tmp_path / "old"
    assert run([*COMMAND, old])[0] == 0
    (old / "data" / "mine.txt").write_text("not theirs", encoding="utf-8")
    for place in range(1, 40, 6):
        directory = tmp_path / "run"
        shutil.copytree(old, directory)
        assert run([*COMMAND, directory, "--force"], kill_at=place)[0] == -signal.SIGKILL
        assert run([*COMMAND, directory, "--force"])[0] in (0, 2)  # 2 where only foreign files were left
        if (directory / "report.json").exists():
            assert contents(directory) == wanted
        assert (directory / "data" / "mine.txt").read_text(encoding="utf-8") == "not theirs"
        shutil.rmtree(directory)


def test_temporaries_of_others_are_not_ours(tmp_path):
    (tmp_path / "notes.tmp").write_text("mine", encoding="utf-8")
    assert run([*COMMAND, tmp_path])[0] == 2
    assert [path.name for path in Path(tmp_path).iterdir()] == ["notes.tmp"]
