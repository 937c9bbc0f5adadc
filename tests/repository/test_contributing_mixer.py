"""The mixer that CONTRIBUTING.md shows is whole: checked, trained, stopped, resumed, saved and read again as told."""

from __future__ import annotations

import functools
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch import training

ROOT = Path(__file__).resolve().parents[2]


def blocks() -> list[str]:
    """The blocks of the page's section about mixers: the file, the program, a message."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("## Adding a mixer")[1].split("\n## ")[0]
    return re.findall(r"```(?:python)?\n(.*?)```", section, re.S)


@pytest.fixture
def smoothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "smoothing.py").write_text(blocks()[0], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield importlib.import_module("smoothing")
    del sys.modules["smoothing"]


def program() -> dict[str, Any]:
    """Runs the page's program in the current folder; what it leaves behind."""
    names: dict[str, Any] = {}
    exec(compile(blocks()[1], "CONTRIBUTING.md", "exec"), names)
    return names


def test_the_example_is_short() -> None:
    lines = blocks()[0].splitlines()
    assert len(lines) < 100 and max(map(len, lines)) <= 120


def test_it_keeps_what_a_mixer_promises(smoothing: Any) -> None:
    lfs.check_mixer(smoothing.SmoothingSpec(4))


def test_the_message_that_is_shown_is_the_message_that_comes(smoothing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "real_tokens", lambda context, length: None)
    with pytest.raises(AssertionError) as caught:
        lfs.check_mixer(smoothing.SmoothingSpec(4))
    assert str(caught.value).startswith(blocks()[2].strip().removesuffix("…"))


def test_the_program_trains_and_what_it_saved_computes_the_same(smoothing: Any, capsys: Any) -> None:
    names = program()
    ids = names["numbers"][None, :12]
    assert names["outcome"].finished and names["outcome"].loss < 2.3  # log 11 = 2.4 is guessing
    assert re.search(r"\[\[ *\d", capsys.readouterr().out)
    np.testing.assert_array_equal(names["again"](ids).data, names["model"](ids).data)
    assert names["again"].spec == names["spec"]


def test_a_run_that_was_stopped_goes_on_to_the_byte(
    smoothing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = program()["model"].state_dict()
    (tmp_path / "stopped").mkdir()
    monkeypatch.chdir(tmp_path / "stopped")
    train = training.train

    def stop(step: int, loss: float | None, model: Any) -> None:
        if step == 13:  # between two checkpoints
            raise RuntimeError("the lights went out")

    monkeypatch.setattr(training, "train", functools.partial(train, on_step=stop))
    with pytest.raises(RuntimeError, match="lights"):
        program()
    monkeypatch.setattr(training, "train", functools.partial(train, resume=True))
    resumed = program()["model"].state_dict()
    assert resumed.keys() == whole.keys()
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)


def test_another_program_has_to_import_the_mixer_first(smoothing: Any, tmp_path: Path) -> None:
    program()
    for first, told in (("", "import smoothing first"), ("import smoothing\n", "")):
        code = f"import llm_from_scratch as lfs\n{first}lfs.from_pretrained('run')"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert (done.returncode == 0) is (not told) and told in done.stderr
