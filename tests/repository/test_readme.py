"""What README shows of the components can be run as it stands there."""

from __future__ import annotations

import re
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
