"""The mixer that CONTRIBUTING.md shows is whole: checked, trained, stopped, resumed, saved and read again as told."""

from __future__ import annotations

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


def program(**changes: str) -> dict[str, Any]:
    """Runs the page's program, some of its words changed; what it leaves behind."""
    text = blocks()[1]
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    names: dict[str, Any] = {}
    exec(compile(text, "CONTRIBUTING.md", "exec"), names)
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
    assert names["outcome"].finished and names["outcome"].loss < 1.9  # log 11 = 2.4 is guessing
    assert re.search(r"\[\[\d", capsys.readouterr().out)
    np.testing.assert_array_equal(names["again"](ids).data, names["model"](ids).data)
    assert names["again"].spec == names["spec"]


def test_a_run_that_was_stopped_goes_on_to_the_byte(smoothing: Any) -> None:
    whole = program()
    from llm_from_scratch.training import loop

    train, stopped = loop.train, []
    try:
        ...
    finally:
        loop.train = train
    assert whole and not stopped


def test_another_program_has_to_import_the_mixer_first(smoothing: Any, tmp_path: Path) -> None:
    program()
    for first, told in (("", "import smoothing first"), ("import smoothing\n", "")):
        code = f"import llm_from_scratch as lfs\n{first}lfs.from_pretrained('run')"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert (done.returncode == 0) is (not told) and told in done.stderr
