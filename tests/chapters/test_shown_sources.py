"""Where a chapter shows the package's source, it shows it as it stands: seen without executing the chapter."""

import ast
from pathlib import Path

import pytest

from llm_from_scratch import book
from llm_from_scratch.book import notebook

CHAPTERS = sorted((Path(__file__).resolve().parents[2] / "chapters").glob("*.ipynb"))


def shown(path):
    """(call, printed, what the chapter has) for each `book.show_source(...)` of names that the chapter imports."""
    cells = [cell for cell in notebook.read(path)["cells"] if cell["cell_type"] == "code"]
    sources = [notebook.text(cell["source"]) for cell in cells]
    names, found = {}, []
    for cell, source in zip(cells, sources):
        for node in ast.parse(source).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                exec(ast.unparse(node), names)  # the chapter's own import lines
            elif is_call(node) and all(root(argument) in names for argument in node.value.args):
                found.append((ast.unparse(node), names, page(cell)))
    return found


def is_call(node):
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith("book.show_source(")


def root(node):
    """The name that an expression such as `optimizers.adamw.__wrapped__` begins with."""
    return next((part.id for part in ast.walk(node) if isinstance(part, ast.Name)), "")


def page(cell):
    return "\n".join(
        notebook.text(output.get("text", output.get("data", {}).get("text/markdown", ""))) for output in cell["outputs"]
    )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_shown_source_is_the_packages(path, capsys):
    for call, names, page_text in shown(path):
        exec(call, names)  # the chapter's own call
        now = capsys.readouterr().out.strip("\n")
        assert now in page_text, f"{path.name} shows another source: python -m llm_from_scratch.book run {path.name}"


def test_most_chapters_show_some_and_an_old_one_is_seen(monkeypatch, capsys):
    counts = {path.stem: len(shown(path)) for path in CHAPTERS}
    assert sum(counts.values()) > 60 and sum(map(bool, counts.values())) > 20
    path = next(path for path in CHAPTERS if path.stem == "07_attention")
    monkeypatch.setattr(book, "show_source", lambda *things, **switches: print("def another(): ..."))
    with pytest.raises(AssertionError, match="07_attention.ipynb shows another source"):
        test_shown_source_is_the_packages(path, capsys)
