"""Every chapter: its form always; its outputs by executing it, unless `-m "not chapters"` leaves that out.

All chapters run as the machine is; those that train run again as a lesser processor would run them.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm_from_scratch.book import execute, notebook, structure
from llm_from_scratch.book.check import check, message
from llm_from_scratch.kernels import processor

CHAPTERS = sorted((Path(__file__).resolve().parents[2] / "chapters").glob("*.ipynb"))
TRAINING = [path for path in CHAPTERS if structure.trains(notebook.read(path))]


def test_there_are_chapters_and_some_train():
    assert TRAINING and set(TRAINING) < set(CHAPTERS)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_form(path):
    assert structure.problems(path) == []


@pytest.fixture(scope="session")
def lesser():
    try:
        setting = processor.lower()
    except processor.CannotLowerError as reason:
        pytest.skip(str(reason))
    processor.verify(setting)
    return setting


@pytest.fixture(scope="session")
def pool():
    """Two chapters are executed at a time: most of them use one core."""
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        yield pool
        pool.shutdown(cancel_futures=True)  # what nobody waits for any more, after -x or Ctrl-C


def begin(request, pool, test, setting=None):
    """Have all chapters checked that this session has selected for `test`: path -> its future."""
    chosen = [item.callspec.params["path"] for item in request.session.items if item.originalname == test.__name__]
    return {path: pool.submit(check, path, setting=setting) for path in chosen}


@pytest.fixture(scope="session")
def as_it_is(request, pool):
    return begin(request, pool, test_outputs_repeat)


@pytest.fixture(scope="session")
def lowered(request, pool, lesser):
    return begin(request, pool, test_outputs_repeat_on_a_lesser_processor, lesser)


def agrees(checked):
    differences, _ = checked
    if differences:
        pytest.fail(message(differences), pytrace=False)


@pytest.mark.chapters
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_outputs_repeat(path, as_it_is):
    agrees(as_it_is[path].result())


@pytest.mark.chapters
@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_outputs_repeat_on_a_lesser_processor(path, lowered):
    agrees(lowered[path].result())


@pytest.mark.chapters
def test_a_failing_cell_is_named(tmp_path):
    path = tmp_path / "00_broken.ipynb"
    notebook.write(path, notebook.from_markdown("# Broken\n\n```python\nx = 1\n```\n```python\nx / 0\n```\n"))
    before = path.read_bytes()
    with pytest.raises(execute.ExecutionError, match="cell 3 failed(.|\n)*ZeroDivisionError"):
        execute.execute(path)
    assert path.read_bytes() == before


THREE_FAULTS = """# Broken

```python
print("step 1")
print("loss 2.5")
```
```python
1 / 0
```
```python
print("the end")
```
"""


@pytest.mark.chapters
def test_a_chapter_with_three_faults_reports_three(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "00_broken.ipynb"
    committed = notebook.from_markdown(THREE_FAULTS)
    for cell, said in zip(committed["cells"][1:], ("step 1\nloss 2.0\n", "", "happily ever after\n")):
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": said}] if said else []
    notebook.write(path, committed)
    found, _ = check(path)
    assert [(each.cell, each.line) for each in found] == [(2, 2), (3, None), (4, 1)]
    assert [each.got for each in found] == ["loss 2.5", "ZeroDivisionError: division by zero", "the end"]


@pytest.mark.chapters
def test_a_cell_that_never_ends_hides_nothing_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "00_endless.ipynb"
    source = "# Endless\n\n```python\nprint(1)\n```\n```python\nwhile True: pass\n```\n```python\nprint(2)\n```\n"
    committed = notebook.from_markdown(source)
    for number, cell in enumerate(committed["cells"][1:], start=1):
        cell["execution_count"] = number
    notebook.write(path, committed)
    found, _ = check(path, seconds=2)
    assert [(each.cell, each.got) for each in found] == [(2, "1"), (3, "cell 3 was still running after 2 s")]


@pytest.mark.chapters
def test_a_kernel_under_the_lower_setting_is_a_lesser_processor(tmp_path, lesser):
    path = tmp_path / "00_lower.ipynb"
    source = "from llm_from_scratch.kernels import processor\nprint(processor.in_effect())"
    notebook.write(path, notebook.from_markdown(f"# Lower\n\n```python\n{source}\n```\n"))
    said = []
    for environment in ({}, lesser.environment()):
        executed, _ = execute.execute(path, environment=environment)
        said.append(notebook.text(executed["cells"][1]["outputs"][0]["text"]))
    assert said[0] != said[1] and lesser.numba_cpu in said[1]
