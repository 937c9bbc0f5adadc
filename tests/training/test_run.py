"""Killed at any moment and resumed, a run ends with the same bytes as an uninterrupted one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import llm_from_scratch

SCRIPT = Path(__file__).with_name("resumable_run.py")
COMPARED = ["log.jsonl", "model.safetensors", "latest"]
IN_CHECKPOINT = ["model.safetensors", "optimizer.safetensors", "state.json"]


def start(directory, *more, kernels="numba"):
    root = Path(llm_from_scratch.__file__).parents[1]  # the child finds the package whether it is installed or not
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(root),
        "LLM_FROM_SCRATCH_KERNELS": kernels,
    }
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(directory), *map(str, more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def finish(directory, *more, kernels="numba"):
    process = start(directory, *more, kernels=kernels)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def contents(directory):
    """Every byte that must be the same."""
    files = {name: (directory / name).read_bytes() for name in COMPARED}
    for checkpoint in sorted(directory.glob("step-*")):
        for name in IN_CHECKPOINT:
            files[f"{checkpoint.name}/{name}"] = (checkpoint / name).read_bytes()
    return files


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "run"
    code, output = finish(directory, "--kill-at", 10**9)  # counts the calls and never gets there
    assert code == 0, output
    calls = int(output.split("calls ")[1].split()[0])
    return contents(directory), calls


def test_the_run_is_worth_comparing(uninterrupted):
    files, _ = uninterrupted
    log = [json.loads(line) for line in files["log.jsonl"].splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == 30 and losses[-1] < losses[0]
    assert [e["step"] for e in log if "validation_loss" in e] == [0, 7, 14, 21, 28, 30]
    assert (
        "step-30/optimizer.safetensors" in files and "step-28/state.json" in files and "step-24/state.json" not in files
    )


def test_killed_at_random_moments(tmp_path, uninterrupted):
    directory = tmp_path / "run"
    moments = random.Random()  # other moments every time: that is the point
    kills = 0
    for _ in range(4):
        process = start(directory, "--slow", "0.01")
        log = directory / "log.jsonl"
        deadline = time.monotonic() + 60
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and time.monotonic() < deadline:
            if log.exists() and log.stat().st_size > before + 300:  # it is under way
                time.sleep(moments.uniform(0, 0.25))
                break
            time.sleep(0.002)
        process.kill()
        process.communicate()
        kills += process.returncode != 0
    assert kills >= 2
    code, output = finish(directory)
    assert code == 0, output
    assert contents(directory) == uninterrupted[0]


def test_killed_on_the_way_to_a_checkpoint(tmp_path, uninterrupted):
    """Between any two steps of the writing: temporary files, flushes, renames, the pointer, removing old ones."""
    expected, calls = uninterrupted
    directory = tmp_path / "run"
    for place in random.Random(0).sample(range(3, calls // 4), 6):  # each time somewhere else in the next checkpoints
        code, output = finish(directory, "--kill-at", place, kernels="numpy")
        assert code != 0, output
    # These children ran the NumPy twins, whose last digits are their own: so must the reference.
    reference = tmp_path / "reference"
    assert finish(reference, kernels="numpy")[0] == 0
    code, output = finish(directory, kernels="numpy")
    assert code == 0, output
    assert contents(directory) == contents(reference)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child")
def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, uninterrupted):
    directory = tmp_path / "run"
    process = start(directory, "--slow", "0.05")
    log = directory / "log.jsonl"
    while process.poll() is None and not (log.exists() and b'"step": 2' in log.read_bytes()):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "finished False" in output and "resume" in output and "saved as" in output
    assert "Traceback" not in output
    code, output = finish(directory)
    assert code == 0, output
    assert contents(directory) == uninterrupted[0]
