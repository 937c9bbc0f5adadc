"""Every chapter: its form always; its outputs by executing it, unless `-m "not chapters"` leaves that out."""

from pathlib import Path

import pytest

from llm_from_scratch.book import compare, execute, notebook, structure

CHAPTERS = sorted((Path(__file__).resolve().parents[2] / "chapters").glob("*.ipynb"))


def test_there_are_chapters():
    assert CHAPTERS


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_form(path):
    assert structure.problems(path) == []


@pytest.mark.chapters
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_outputs_repeat(path):
    executed, _ = execute.execute(path)
    differences = compare.compare(notebook.read(path), executed)
    assert not differences, "\n".join(map(str, differences))


@pytest.mark.chapters
def test_a_failing_cell_is_named(tmp_path):
    path = tmp_path / "00_broken.ipynb"
    notebook.write(path, notebook.from_markdown("# Broken\n\n```python\nx = 1\n```\n```python\nx / 0\n```\n"))
    before = path.read_bytes()
    with pytest.raises(execute.ExecutionError, match="cell 3 failed(.|\n)*ZeroDivisionError"):
        execute.execute(path)
    assert path.read_bytes() == before
