"""A chapter's experiment is repeated with the chapter's own code, and what chapters read is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm_from_scratch.book import notebook, repeat

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"

SOURCE = """# Small

```python
from pathlib import Path

base = len(Path("beside.txt").read_text())
```
```python
def experiment(seed):
    return {"sum": base + seed}
```
```python
raise AssertionError("what comes after the experiment is not run")
```
"""


def written(folder: Path, source: str) -> Path:
    path = folder / "00_small.ipynb"
    notebook.write(path, notebook.from_markdown(source))
    return path


def test_the_cells_up_to_the_experiment_are_run_where_the_chapter_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "beside.txt").write_text("three", encoding="utf-8")
    written(tmp_path / "chapters", SOURCE)
    monkeypatch.chdir(tmp_path)
    assert repeat.main(["chapters/00_small.ipynb"]) == 0
    kept = json.loads((tmp_path / "chapters" / "results" / "00_small.json").read_text(encoding="utf-8"))
    assert kept["seeds"] == {"0": {"sum": 5}, "1": {"sum": 6}, "2": {"sum": 7}}
    assert kept["command"] == "python -m llm_from_scratch.book.repeat chapters/00_small.ipynb"
    assert Path.cwd() == tmp_path


def test_a_chapter_without_an_experiment_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert repeat.main([str(written(tmp_path, "# Small\n\n```python\nx = 1\n```\n"))]) == 2
    assert "00_small.ipynb has no experiment" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_every_result_that_a_chapter_reads_is_committed_with_its_command() -> None:
    experiments = 0
    for path in CHAPTERS.glob("*.ipynb"):
        source = notebook.to_markdown(notebook.read(path))
        for name in re.findall(r'"(results/[^"]+)"', source):
            assert (CHAPTERS / name).exists(), f"{path.name} reads {name}"
        if "def experiment(" in source:
            experiments += 1
            kept = json.loads((CHAPTERS / "results" / f"{path.stem}.json").read_text(encoding="utf-8"))
            assert list(kept["seeds"]) == [str(seed) for seed in repeat.SEEDS], path.name
            assert kept["command"] in source, f"{path.name} does not say how its results are made"
    assert experiments
