"""What README shows of the components can be run as it stands there."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_python_of_the_page_runs_and_its_remarks_are_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    runnable = [block for block in blocks if "path/to" not in block]  # names of files that a reader has, or not
    assert len(blocks) == len(runnable) + 1 and len(runnable) == 2
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in runnable:
        exec(block, names)
    printed = capsys.readouterr().out
    assert printed.startswith("ModelSpec: 4 layers of width 64") and "\nlayers 0 to 1, each " in printed
    remarks = re.findall(r"^(seen\S+) +# (\(.*?\))", runnable[1], re.M)
    assert [(eval(what, names).shape, shape) for what, shape in remarks] == [
        ((4, 4, 32, 32), "(4, 4, 32, 32)"), ((4, 32, 64), "(4, 32, 64)")
    ]  # fmt: skip
    assert (names["without"].data != names["model"](names["ids"]).data).any()
    assert (tmp_path / "my_model" / "config.json").exists()


def commands() -> list[list[str]]:
    """Every command of the page, in order, as words."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.S | re.M)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    found = [re.fullmatch(r"(?:\.venv/bin/)?python -m llm_from_scratch (.*)", line.strip()) for line in lines]
    return [shlex.split(match[1], comments=True) for match in found if match]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_page_is_understood(words: list[str]) -> None:
    command = importlib.import_module(f"llm_from_scratch.cli.{words[0]}")
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    _, unknown = parser.parse_known_args(words[1:])  # an ArgumentError for a value that is refused
    assert not unknown


def test_each_run_begins_with_one_that_the_page_has_made() -> None:
    made = {"runs/quickstart"}
    for words in commands():
        options = dict(zip(words, words[1:]))
        for name in ("--model", "--adapter"):
            place = options.get(name, "")
            assert not place.startswith("runs/") or place in made, words
            assert not place.startswith("chapters/") or (ROOT / place).is_dir(), words
        written = words[2] if words[0] in ("merge", "quantize") else "runs/quickstart"
        made.add(options.get("--out", written))
    assert {"runs/assistant", "runs/dpo", "runs/ppo", "runs/merged", "runs/zephyr", "runs/ties", "runs/gptq4"} <= made
