"""Damage and other hands: a run that was changed, cut or flipped says so, and what cannot be mended is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from standin import StandIn, open_stand_in, sampler, validation

import llm_from_scratch
from llm_from_scratch.files.digests import DIGESTS, write_digests
from llm_from_scratch.files.lock import LOCK, Locked, sole_writer
from llm_from_scratch.training import TrainingSettings, train
from llm_from_scratch.training.checkpoint import latest_checkpoint, load_checkpoint, tidy

SETTINGS = TrainingSettings(steps=6, learning_rate=0.02, evaluate_every=3, checkpoint_every=2, threads=1)


class Stopped(Exception):
    """Raised by a model to end a run early."""


class Stopping(StandIn):
    left = 4

    def loss(self, batch, **settings):
        if settings.get("rng") is not None:  # a training step, no evaluation
            if self.left == 0:
                raise Stopped
            self.left -= 1
        return super().loss(batch, **settings)


def run(directory, model=None, settings=SETTINGS, said=None, **more):
    said = [] if said is None else said
    model = StandIn(seed=1) if model is None else model
    options = {"directory": directory, "validation": validation, "progress": False, "open_model": open_stand_in, **more}
    return train(model, sampler(), settings, report=said.append, **options)


@pytest.fixture
def unfinished(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path / "run", Stopping(seed=1))
    assert latest_checkpoint(tmp_path / "run").name == "step-4"
    return tmp_path / "run"


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << position % 7
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", DIGESTS])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.7, 1.0])
def test_a_flipped_bit_is_found_and_its_file_named(unfinished, name, share):
    path = latest_checkpoint(unfinished) / name
    flip(path, int(share * (path.stat().st_size - 1)))
    with pytest.raises(ValueError) as error:
        run(unfinished, resume=True)
    assert "step-4" in str(error.value) and "\n" not in str(error.value)
    if name != DIGESTS:  # when that is damaged, the file it belongs to no longer may be told
        assert name in str(error.value) or "format" in str(error.value)


def test_a_flipped_digit_of_a_setting_is_damage_and_no_other_setting(unfinished):
    path = latest_checkpoint(unfinished) / "state.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"learning_rate": 0.02', '"learning_rate": 0.03'), encoding="utf-8")
    with pytest.raises(ValueError, match="state.json is not what it was"):
        run(unfinished, resume=True)


@pytest.mark.parametrize("how", ["cut", "removed", "line", "unlisted"])
def test_digests_that_are_incomplete(unfinished, how):
    path = latest_checkpoint(unfinished) / DIGESTS
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    if how == "removed":
        path.unlink()
    elif how == "unlisted":
        (path.parent / "model-2.safetensors").write_bytes(b"")
    else:
        path.write_text("".join(lines[:-1]) if how == "line" else "".join(lines)[:-9], encoding="utf-8")
    with pytest.raises(ValueError, match="SHA256SUMS"):
        load_checkpoint(path.parent, model=StandIn(), open_model=open_stand_in)


def rewrite(folder: Path, change) -> None:
    """Change state.json as somebody would who knows of the digests."""
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    change(state)
    (folder / "state.json").write_text(json.dumps(state).replace("Infinity", "1e400"), encoding="utf-8")
    write_digests(folder)


KEYS = [
    "format",
    "step",
    "model",
    "sampler",
    "settings",
    "identity",
    "tokens",
    "loss",
    "evaluation",
    "log_bytes",
    "environment",
]
WRONG = [5, -1, "x", [], True, None, 1e400, {"a": {"b": [1]}}]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_state_is_checked(unfinished, key):
    folder = latest_checkpoint(unfinished)
    original = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    right_type = {"loss": (5, -1, None), "tokens": (5,), "log_bytes": (5,)}.get(key, ())
    for value in WRONG:
        if value in right_type and not isinstance(value, bool):
            continue
        if key == "environment" and isinstance(value, dict):
            continue  # another environment is a note, not an error
        rewrite(folder, lambda state, value=value: (state.clear(), state.update({**original, key: value})))
        with pytest.raises(ValueError) as error:
            run(unfinished, resume=True)
        message = str(error.value)
        assert "\n" not in message and "step-4" in message, (value, message)
    if key != "identity":  # not there in checkpoints of earlier versions
        rewrite(folder, lambda state: (state.clear(), state.update(original), state.pop(key)))
        with pytest.raises(ValueError, match=key):
            run(unfinished, resume=True)


@pytest.mark.parametrize("part", ["settings", "sampler", "evaluation"])
def test_every_value_inside_the_state_is_checked(unfinished, part):
    folder = latest_checkpoint(unfinished)
    original = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    for key in original[part]:
        for value in WRONG:
            if key in ("checkpoint_every", "keep", "evaluate_every", "statistics_every") and isinstance(value, int):
                continue
            if part == "sampler" and key in ("epoch", "batch") and value == 5 and value is not True:
                continue
            if part == "evaluation" and (key != "loss" or value in (5, -1)):
                continue
            if key == "separator" and value is None or value == original[part][key]:
                continue
            changed = {**original[part], key: value}
            rewrite(folder, lambda state, changed=changed: state.update({**original, part: changed}))
            with pytest.raises(ValueError, match=rf"(?s){key}") as error:
                run(unfinished, resume=True)
            assert "\n" not in str(error.value)


def test_a_false_step_is_found_without_digests(unfinished):
    folder = latest_checkpoint(unfinished)
    rewrite(folder, lambda state: state.update(step=2))
    with pytest.raises(ValueError, match="'step' is 2, but the checkpoint is that of step-4"):
        run(unfinished, resume=True)


def test_a_checkpoint_of_an_earlier_version_is_read_with_a_note(unfinished):
    folder = latest_checkpoint(unfinished)

    def earlier(state):
        state["format"] = "llm_from_scratch checkpoint 1"
        del state["identity"], state["log_sha256"]

    rewrite(folder, earlier)
    (folder / DIGESTS).unlink()
    said: list[str] = []
    assert run(unfinished, resume=True, said=said, identity={"heads": 2}).finished
    assert any("earlier version" in line for line in said)


def test_another_identity_or_config_is_named(tmp_path):
    class Configured(Stopping):
        def __init__(self, heads):
            super().__init__(seed=1)
            self.config = {"heads": heads}

    with pytest.raises(Stopped):
        run(tmp_path, Configured(2), identity={"data": "tales"})
    with pytest.raises(ValueError, match='data: "tales", now "mine"'):
        run(tmp_path, Configured(2), identity={"data": "mine"}, resume=True)
    with pytest.raises(ValueError, match="another model .heads: 2, now 4"):
        run(tmp_path, Configured(4), identity={"data": "tales"}, resume=True)
    assert run(tmp_path, Configured(2), identity={"data": "tales"}, resume=True).finished


def test_pointers_and_leftovers(tmp_path):
    run(tmp_path)
    (tmp_path / "step-6.tmp").mkdir()
    tidy(tmp_path)
    assert not (tmp_path / "step-6.tmp").exists()
    (tmp_path / "step-6").rename(tmp_path / "step-6.old")  # killed while step-6 was being replaced
    assert latest_checkpoint(tmp_path).name == "step-6.old"
    tidy(tmp_path)
    assert latest_checkpoint(tmp_path).name == "step-6"
    (tmp_path / "latest").write_text("step-5\n", encoding="utf-8")
    with pytest.raises(ValueError, match="step-4, step-6"):
        latest_checkpoint(tmp_path)
    (tmp_path / "latest").write_text("../../etc\n", encoding="utf-8")
    with pytest.raises(ValueError, match="name of a checkpoint"):
        latest_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_refused_before_anything_changes(tmp_path):
    run(tmp_path)
    model = StandIn(seed=7)
    before = model.head.data.copy()
    state = json.loads((tmp_path / "step-6" / "state.json").read_text(encoding="utf-8"))
    (tmp_path / "step-6" / "state.json").write_text(json.dumps({**state, "format": "other"}), encoding="utf-8")
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "step-6", model=model, open_model=open_stand_in)
    weights = (tmp_path / "step-4" / "model.safetensors").read_bytes()
    (tmp_path / "step-4" / "model.safetensors").write_bytes(weights[:-8])
    with pytest.raises(ValueError):
        load_checkpoint(tmp_path / "step-4", model=model, open_model=open_stand_in)
    assert np.array_equal(model.head.data, before)


# --- The log and the picture never hold up the model


@pytest.mark.parametrize("damage", ["byte", "removed", "cut", "directory"])
@pytest.mark.parametrize("log", ["log.jsonl", "timing.jsonl"])
def test_a_damaged_log_is_put_aside_and_the_run_ends(unfinished, tmp_path, damage, log):
    run(tmp_path / "whole")
    path = unfinished / log
    if damage == "byte":
        data = path.read_bytes()
        path.write_bytes(b"\xff" + data[1:])
    else:
        path.unlink()
        if damage == "directory":
            path.mkdir()
        elif damage == "cut":
            path.write_bytes(b"{")
    said: list[str] = []
    assert run(unfinished, resume=True, said=said).finished
    assert (unfinished / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    if log == "log.jsonl":
        assert len(said) == 1 and "log.jsonl" in said[0] and "begins anew" in said[0]
        assert (unfinished / "log.jsonl.damaged").exists() == (damage != "removed")
        assert (unfinished / "loss.png").exists()


@pytest.mark.parametrize("damage", ["bytes", "removed", "words", "directory", "image"])
def test_a_log_damaged_while_it_runs_costs_the_picture_only(tmp_path, damage):
    class Damaging(StandIn):
        def loss(self, batch, **settings):
            path = tmp_path / "log.jsonl"
            if damage == "image":
                (tmp_path / "loss.png").mkdir(exist_ok=True)
            elif damage == "removed" and path.exists():
                path.unlink()
            elif damage == "directory" and path.is_file():
                path.unlink()
                path.mkdir()
            elif damage in ("bytes", "words") and path.exists():
                with open(path, "ab") as file:
                    file.write(b"\xff\n" if damage == "bytes" else b'{"step": "x", "loss": []}\n')
            return super().loss(batch, **settings)

    said: list[str] = []
    assert run(tmp_path, Damaging(seed=1), said=said).finished
    assert (tmp_path / "model.safetensors").exists()
    assert len(said) == 1 and "the loss curve could not be drawn" in said[0]


# --- One writer

HOLDER = """
import sys, time
from llm_from_scratch.files.lock import sole_writer
with sole_writer(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(directory):
    environment = {**os.environ, "PYTHONPATH": str(Path(llm_from_scratch.__file__).parents[1])}
    command = [sys.executable, "-c", HOLDER, str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_writer_is_told_who_the_first_is_and_a_kill_lets_go(tmp_path):
    process = holder(tmp_path)
    try:
        with pytest.raises(Locked, match=f"process {process.pid} on .* since 20"):
            run(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / LOCK).exists()  # what is left of it keeps nobody out
    assert run(tmp_path).finished and not (tmp_path / LOCK).exists()


def test_two_threads_are_two_writers(tmp_path):
    import threading

    found = []

    def other():
        try:
            with sole_writer(tmp_path):
                found.append("entered")
        except Locked as error:
            found.append(str(error))

    with sole_writer(tmp_path):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in found[0]
    with sole_writer(tmp_path):
        pass


def test_a_directory_into_which_nothing_came_is_not_left_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), sole_writer(tmp_path / "new"), sole_writer(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    with sole_writer(tmp_path / "new"):
        (tmp_path / "new" / "file").touch()
    (tmp_path / "had").mkdir()
    with sole_writer(tmp_path / "had"):
        pass
    assert (tmp_path / "new" / "file").exists() and (tmp_path / "had").is_dir()


def test_an_empty_or_garbled_lock_file_is_no_riddle(tmp_path):
    process = holder(tmp_path)
    (tmp_path / LOCK).write_bytes(b"\xff[")
    try:
        with pytest.raises(Locked, match="another process"), sole_writer(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
    with sole_writer(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text(encoding="utf-8"))["process"] == os.getpid()


def test_numbers_are_unchanged_by_all_this(tmp_path):
    """A run whose directory is watched over computes what one without a directory does."""
    kept, free = StandIn(seed=1), StandIn(seed=1)
    run(tmp_path, kept)
    train(free, sampler(), SETTINGS, validation=validation, progress=False)
    assert np.array_equal(kept.head.data, free.head.data)
