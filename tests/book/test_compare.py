"""The comparer must see every kind of change; it is only as good as what it rejects."""

import copy

import pytest

from llm_from_scratch.book import __main__ as command
from llm_from_scratch.book import check as checking
from llm_from_scratch.book import execute
from llm_from_scratch.book import notebook as notebooks
from llm_from_scratch.book.compare import compare, same_line


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data):
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {k.replace("_", "/"): v for k, v in data.items()},
    }


def code(*outputs, tags=()):
    return {
        "cell_type": "code",
        "source": "\nprint(loss)\n",
        "metadata": {"tags": list(tags)},
        "outputs": list(outputs),
    }


def notebook(*cells):
    return {"nbformat": 4, "cells": list(cells)}


COMMITTED = notebook(
    {"cell_type": "markdown", "source": "# Title", "metadata": {}},
    code(stream("training\nloss 1.2345 after 100 steps\n")),
    code(shown(image_png="AAAA", text_plain="<Figure>")),
    code({**shown(text_plain="array([1.  , 0.25])"), "output_type": "execute_result", "execution_count": 3}),
)


def changed(cell, outputs):
    new = copy.deepcopy(COMMITTED)
    new["cells"][cell]["outputs"] = outputs
    return compare(COMMITTED, new)


def only(differences):
    assert len(differences) == 1, differences
    return differences[0]


def test_the_same_outputs_agree():
    assert compare(COMMITTED, copy.deepcopy(COMMITTED)) == []


def test_the_cut_of_a_stream_and_the_pixels_of_a_figure_do_not_count():
    assert changed(1, [stream("training\nloss 1.2"), stream("345 after 100 steps\n")]) == []
    assert changed(2, [shown(image_png="BBBB", text_plain="<Figure size 2>")]) == []


def test_a_changed_word_is_caught_with_its_place():
    found = only(changed(1, [stream("training\nloss 1.2345 after 100 stages\n")]))
    assert (found.cell, found.line, found.code) == (2, 2, "print(loss)")
    assert (found.expected, found.got) == ("loss 1.2345 after 100 steps", "loss 1.2345 after 100 stages")
    assert str(found).startswith("cell 2, output line 2   [print(loss)]")


@pytest.mark.parametrize(
    "line", ["loss 1.2445 after 100 steps", "loss 1.2345 after 101 steps", "loss nan after 100 steps"]
)
def test_a_changed_number_is_caught(line):
    assert only(changed(1, [stream(f"training\n{line}\n")])).got == line


def test_a_changed_value_of_a_cell_is_caught():
    result = {**shown(text_plain="array([1.  , 0.26])"), "output_type": "execute_result"}
    assert only(changed(3, [result])).cell == 4


def test_every_line_that_changed_is_reported():
    new = copy.deepcopy(COMMITTED)
    new["cells"][1]["outputs"] = [stream("Training\nloss 7.0 after 100 steps\n")]
    new["cells"][3]["outputs"] = []
    found = compare(COMMITTED, new, "01_x")
    assert [(each.chapter, each.cell, each.line) for each in found] == [
        ("01_x", 2, 1),
        ("01_x", 2, 2),
        ("01_x", 4, None),
    ]
    assert [each.got for each in found] == ["Training", "loss 7.0 after 100 steps", "(nothing)"]


def test_lines_below_an_extra_one_are_held_against_their_own():
    old, new = (notebook(code(stream(said))) for said in ("a\nb\nc 1\nd\n", "a\nnew\nb\nc 2\nd\n"))
    assert [(each.expected, each.got) for each in compare(old, new)] == [
        ("b", "new"),
        ("c 1", "b"),
        ("(nothing)", "c 2"),
    ]
    assert only(compare(notebook(code(stream("a\nb\n"))), notebook(code(stream("a\nb\nb\n"))))).got == "b"


@pytest.mark.parametrize(
    "outputs", [[], [stream("training\n")], [stream("training\nloss 1.2345 after 100 steps\nmore\n")]]
)
def test_missing_and_extra_lines_are_caught(outputs):
    assert "(nothing)" in str(only(changed(1, outputs)))


def test_missing_and_extra_figures_are_caught():
    figure = shown(image_png="AAAA")
    assert only(changed(2, [])).expected == "a figure"
    assert only(changed(2, [figure, figure])).got == "a figure"
    assert only(changed(2, [stream("words\n")])).expected == "a figure"
    assert only(changed(1, [stream("training\nloss 1.2345 after 100 steps\n"), figure])).got == "a figure"


def test_an_extra_output_of_a_silent_cell_is_caught():
    old, new = notebook(code()), notebook(code(stream("surprise\n")))
    assert only(compare(old, new)).got == "surprise"


def test_text_on_both_sides_of_a_figure_is_compared():
    old = notebook(code(stream("one\n"), shown(image_png="A"), stream("two\n")))
    new = notebook(code(stream("one\n"), shown(image_png="A"), stream("three\n")))
    assert only(compare(old, new)).got == "three"


def test_shown_source_is_compared_through_its_markdown():
    old = notebook(code(shown(text_markdown="```python\na + b\n```", text_plain="<Markdown object>")))
    new = notebook(code(shown(text_markdown="```python\na - b\n```", text_plain="<Markdown object>")))
    assert only(compare(old, new)).line == 2


ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "too long", "traceback": []}


@pytest.mark.parametrize("tags", [(), ("timing",), ("sampled",)])
def test_tracebacks_and_warnings_are_caught_whatever_the_tags(tags):
    old = notebook(code(stream("fine\n"), tags=tags))
    assert only(compare(old, notebook(code(ERROR, tags=tags)))).got == "ValueError: too long"
    warned = code(stream("fine\n"), stream("RuntimeWarning: overflow\n", "stderr"), tags=tags)
    assert only(compare(old, notebook(warned))).got == "RuntimeWarning: overflow"


@pytest.mark.parametrize("tag", ["timing", "sampled"])
def test_timings_and_samples_are_not_compared(tag):
    assert compare(notebook(code(stream("3 ms\n"), tags=[tag])), notebook(code(stream("4 s\n"), tags=[tag]))) == []


def test_a_cell_may_widen_its_tolerance_but_not_for_words():
    old = notebook(code(stream("loss 1.00, 200 right\n"), tags=["tolerance=0.05"]))
    near = notebook(code(stream("loss 1.04, 195 right\n"), tags=["tolerance=0.05"]))
    far = notebook(code(stream("loss 1.06, 200 right\n"), tags=["tolerance=0.05"]))
    other = notebook(code(stream("loss 1.00, 200 wrong\n"), tags=["tolerance=0.05"]))
    assert compare(old, near) == []
    assert compare(old, far) and compare(old, other)


def test_a_missing_cell_is_caught():
    new = copy.deepcopy(COMMITTED)
    del new["cells"][-1]
    assert only(compare(COMMITTED, new)).got == "3 cells"


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("error 3.1e-16", "error 2.2e-16"),  # both are zero as far as a chapter is concerned
        ("x = 0.123", "x = 0.124"),  # rounding decides the last digit
        ("[ 1.5 -2.]", "[1.5  -2.]"),  # columns move with the width of the numbers
        ("10,000 tokens", "10,000 tokens"),
        ("-0.", "0."),
    ],
)
def test_lines_that_agree(expected, got):
    assert same_line(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("x = 0.5", "x = 0.6"),
        ("x = 8.", "x = 9."),
        ("x = 1.5", "x = -1.5"),
        ("10,000 tokens", "10,001 tokens"),
        ("float32", "float64"),
        ("gpt2", "gpt3"),
        ("    return x", "  return x"),  # indentation of source counts
        ("a b", "a  b"),
        ("one 1", "one"),
        ("version 1.2.3", "version 1.2.4"),
        ("slope 1e-3", "slope 1e-2"),
    ],
)
def test_lines_that_differ(expected, got):
    assert not same_line(expected, got)


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A function (path, executed notebook) -> status of `book check` as if executing had given that notebook."""
    monkeypatch.chdir(tmp_path)

    def check(path, executed):
        monkeypatch.setattr(checking, "execute", lambda *_, **__: (executed, 1.0))
        return command.main(["check", str(path)])

    return check


def test_the_command_reports_the_cell_and_leaves_the_file_alone(tmp_path, ran, capsys):
    path = tmp_path / "01_x.ipynb"
    notebooks.write(path, COMMITTED)
    before = path.read_bytes()
    new = copy.deepcopy(COMMITTED)
    new["cells"][1]["outputs"] = [stream("training\nloss 7.0 after 100 steps\n")]
    assert ran(path, new) == 1
    shown = capsys.readouterr().out
    assert "01_x, cell 2, output line 2" in shown and "loss 1.2345" in shown and "loss 7.0" in shown
    kept = checking.KEPT / "01_x.txt"
    assert str(kept) in shown and kept.read_text(encoding="utf-8").rstrip() in shown
    assert ran(path, COMMITTED) == 0
    assert path.read_bytes() == before and not kept.exists()


def test_what_ran_too_long_ends_neither_the_comparison_nor_the_other_chapters(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    paths = [tmp_path / "01_x.ipynb", tmp_path / "02_y.ipynb"]
    for path in paths:
        notebooks.write(path, COMMITTED)
    new = copy.deepcopy(COMMITTED)
    new["cells"][1]["outputs"] = [stream("training\nloss 7.0 after 100 steps\n")]

    def endless(path, **_):
        raise execute.ExecutionError("cell 3 was still running after 1 s", 3, new)

    monkeypatch.setattr(checking, "execute", endless)
    assert command.main(["check", *map(str, paths)]) == 1
    shown = capsys.readouterr().out
    for name in ("01_x", "02_y"):
        assert f"{name}, cell 2, output line 2" in shown and f"{name}, cell 3" in shown


def test_the_command_counts_what_is_compared(tmp_path, capsys):
    path = tmp_path / "01_x.ipynb"
    notebooks.write(path, notebook(*COMMITTED["cells"], code(stream("3 ms\n"), tags=["timing"])))
    assert command.main(["count", str(path)]) == 0
    assert capsys.readouterr().out == "01_x.ipynb: 3 cells, 3 lines, 1 figures, 1 cells not compared\n"


def test_the_command_begins_a_chapter_and_says_when_it_cannot(tmp_path, capsys):
    begun = tmp_path / "05_adam.md"
    assert command.main(["new", str(begun)]) == 0
    assert begun.read_text(encoding="utf-8").startswith("# 5 · Adam\n\n*Takes about")
    assert command.main(["new", str(begun)]) == 2
    assert command.main(["check", str(tmp_path / "none.ipynb")]) == 2
    assert "none.ipynb" in capsys.readouterr().err
