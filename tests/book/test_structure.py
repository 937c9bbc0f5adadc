"""The rules for a chapter's form, each broken once."""

import json

import pytest

from llm_from_scratch.book import notebook as notebooks
from llm_from_scratch.book import structure

HEADER = "# 1 · Recipe\n\nTakes about 5 seconds.\n"
EXERCISES = "## Exercises\n\nWrite **`double`** and say **why**.\n\n## Papers"
SOLUTION = '''
@task(points=1, difficulty="easy", minutes=5, hints={"wrong": "look"}, why="So.")
def double(x):
    """Twice x."""
    return 2 * x
'''


@pytest.fixture
def chapter(tmp_path):
    """A function that writes a chapter of these cells beside its exercises, and says what is wrong with it."""
    (tmp_path / "exercises" / "solutions").mkdir(parents=True)
    (tmp_path / "exercises" / "solutions" / "ch01_recipe.py").write_text(SOLUTION, encoding="utf-8")

    def problems(source=f"{HEADER}\n```python\nx = 1\n```\n{EXERCISES}", change=None, name="01_recipe.ipynb"):
        made = notebooks.from_markdown(source)
        for number, cell in enumerate((c for c in made["cells"] if c["cell_type"] == "code"), start=1):
            cell["execution_count"] = number
        path = tmp_path / "chapters" / name
        notebooks.write(path, made)
        if change:
            raw = json.loads(path.read_text(encoding="utf-8"))
            change(raw)
            path.write_text(json.dumps(raw), encoding="utf-8")
        return structure.problems(path)

    return problems


def test_a_good_chapter_has_no_problems(chapter):
    assert chapter() == []
    linked = "See [Chapter 01](01_recipe.ipynb), and once it exists chapter 9."
    assert chapter(f"{HEADER}\n```python\nx = 1\n```\n{linked}\n\n{EXERCISES}") == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (f"# 1 · Recipe\n\n```python\nx = 1\n```\n{EXERCISES}", "how long"),
        (f"Takes about 5 seconds.\n\n```python\nx = 1\n```\n{EXERCISES}", "# title"),
        (f"{HEADER}\n```python\nx = 1\n```\n", "no section"),
        (
            f"{HEADER}\n```python\nx = 1\n```\n## Exercises\n\n**`triple`** and **`double`**",
            "does not have: ['triple']",
        ),
        (f"{HEADER}\n```python\nx = 1\n```\n## Exercises\n\nnone", "leave out ['double']"),
        (f"{HEADER}\n```python\n" + "x = 1\n" * 10 + f"```\n{EXERCISES}", "median code cell has 10 lines"),
        (f"{HEADER}\n```python\nopen('/home/me/data')\n```\n{EXERCISES}", "a path of one machine"),
        (f"{HEADER}\n```python\nnp.random.seed(1)\n```\n{EXERCISES}", "default_rng"),
        (f"{HEADER}\n```python\nx = 1\n```\nSee chapter 1.\n\n{EXERCISES}", "[chapter 1](01_recipe.ipynb)"),
        (f"{HEADER}\n```python\nx = 1\n```\n[That](07_art.ipynb).\n\n{EXERCISES}", "there is no 07_art.ipynb"),
        (f"{HEADER}\n```python slow\nx = 1\n```\n{EXERCISES}", "unknown tag 'slow'"),
        (
            f"{HEADER}\n![x](https://example.org/x.png)\n```python\nx = 1\n```\n{EXERCISES}",
            "image from the network",
        ),
    ],
)
def test_broken_sources_are_named(chapter, source, words):
    found = chapter(source)
    assert len(found) == 1 and words in found[0], found


def output(text, kind="stream", **more):
    return {"output_type": kind, "name": "stdout", "text": text, **more}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n: n["cells"][1].update(execution_count=3), "executed as number 3"),
        (lambda n: n["cells"][1].update(outputs=[output("w", name="stderr")]), "error or a warning"),
        (lambda n: n["cells"][1].update(outputs=[{"output_type": "error"}]), "error or a warning"),
        (lambda n: n["cells"][1].update(outputs=[output("in /opt/v/lib")]), "a path of one machine"),
        (lambda n: n["cells"][1].update(outputs=[output("<f at 0x7f3a21bc>")]), "a memory address"),
        (lambda n: n["metadata"].update(vendor="x"), "metadata"),
        (lambda n: n["cells"][1].update(outputs=[output("x" * 700_000)]), "bytes"),
    ],
)
def test_broken_outputs_are_named(chapter, change, words):
    found = chapter(change=change)
    assert len(found) == 1 and words in found[0], found


def test_the_file_name_is_checked(chapter):
    assert any("NN_topic" in problem for problem in chapter(name="recipe.ipynb"))


def test_something_that_is_no_notebook(tmp_path):
    path = tmp_path / "01_x.ipynb"
    for content in ("{}", "[1]", "{", '{"nbformat": 3, "cells": []}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match="not a notebook"):
            notebooks.read(path)


def test_the_authoring_form_survives_a_round_trip():
    code = "```python tolerance=0.1\nx = 1\n\ny = 2\n```"
    source = f"{HEADER}\n{code}\n\nWords and\n\n```text\nnot run\n```\n\n## Papers\n"
    assert notebooks.to_markdown(notebooks.from_markdown(source)) == source


def test_cell_ids_stay_and_are_unique():
    cells = [{"cell_type": "code", "source": "x", "metadata": {}, "outputs": []} for _ in range(3)]
    cells[0]["id"] = "mine"
    once = notebooks.tidy({"cells": cells})
    twice = notebooks.tidy(once)
    ids = [cell["id"] for cell in once["cells"]]
    assert ids[0] == "mine" and len(set(ids)) == 3
    assert once == twice
