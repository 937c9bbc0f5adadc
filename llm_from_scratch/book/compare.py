"""Compares the outputs of a notebook that was just executed with the committed ones: every line, to the last cell.

Words must agree exactly, numbers within a tolerance, because another processor's matrix products differ in the last
digits and a training run amplifies that. What a cell's tags change:

    tolerance=0.05       the relative tolerance of the cell's numbers, whole numbers included
    timing, sampled      the output is not compared (it must still be free of errors and warnings)

Of figures only the presence is compared. Text on stderr and tracebacks are failures, whatever the tags.

`count` says how much of a chapter is compared.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .notebook import Cell, Notebook, merged_outputs, tags, text

RELATIVE, ABSOLUTE = 1e-3, 1e-6
NOT_COMPARED = {"timing", "sampled"}

# A number that is not part of a name: not the 64 of float64, nor the second dot of 1.2.3.
_NUMBER = re.compile(r"(?<![\w.])([-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w])")


@dataclass(frozen=True)
class Difference:
    """One place where a chapter no longer says what it said; cells and lines are counted from 1."""

    chapter: str
    cell: int
    code: str
    line: int | None
    expected: str
    got: str

    def __str__(self) -> str:
        line = f"output line {self.line}" if self.line else ""
        where = ", ".join(filter(None, (self.chapter, f"cell {self.cell}", line)))
        return f"{where}   [{self.code}]\n    expected: {self.expected}\n    got:      {self.got}"


def compare(committed: Notebook, executed: Notebook, chapter: str = "") -> list[Difference]:
    """Every line of every cell that changed; `chapter` is the name that the differences carry."""
    differences = []
    for number, (old, new) in enumerate(zip(committed["cells"], executed["cells"]), start=1):
        if old["cell_type"] == "code":
            code = next((line for line in text(new["source"]).splitlines() if line.strip()), "")
            differences += [Difference(chapter, number, code, *found) for found in _compare_cell(old, new)]
    if len(committed["cells"]) != len(executed["cells"]):
        counts = (f"{len(notebook['cells'])} cells" for notebook in (committed, executed))
        differences.append(Difference(chapter, 0, "", None, *counts))
    return differences


def count(notebook: Notebook) -> dict[str, int]:
    """How much of a notebook `compare` looks at: cells with outputs, their lines and figures, and what tags leave out.

    >>> def cell(*tags):
    ...     output = {"output_type": "stream", "name": "stdout", "text": "one\\ntwo\\n"}
    ...     return {"cell_type": "code", "source": "", "metadata": {"tags": tags}, "outputs": [output]}
    >>> count({"cells": [cell(), cell("tolerance=0.1"), cell("timing")]})
    {'cells': 2, 'lines': 4, 'figures': 0, 'cells not compared': 1}
    """
    found = {"cells": 0, "lines": 0, "figures": 0, "cells not compared": 0}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or not (pieces := _pieces(cell)):
            continue
        if tags(cell) & NOT_COMPARED:
            found["cells not compared"] += 1
            continue
        found["cells"] += 1
        found["figures"] += pieces.count(FIGURE)
        found["lines"] += sum(len(piece.splitlines()) for piece in pieces if piece != FIGURE)
    return found


_Found = tuple[int | None, str, str]  # line, expected, got


def _compare_cell(old: Cell, new: Cell) -> Iterator[_Found]:
    failed = False
    for output in merged_outputs(new):
        if output["output_type"] == "error":
            yield None, "no error", f"{output['ename']}: {output['evalue']}"
            failed = True
        elif output.get("name") == "stderr":
            yield None, "nothing on stderr", text(output["text"]).strip()
            failed = True
    if failed or tags(new) & NOT_COMPARED:
        return
    for mine, yours in itertools.zip_longest(_pieces(old), _pieces(new)):
        if mine is None or yours is None or (mine == FIGURE) != (yours == FIGURE):
            yield None, _name(mine), _name(yours)
        else:
            yield from _compare_lines(mine.splitlines(), yours.splitlines(), _tolerance(new))


def _compare_lines(mine: list[str], yours: list[str], tolerance: float | None) -> Iterator[_Found]:
    """The lines that differ; after one too many or too few, those below are held against their own again."""
    end = 0
    if len(mine) != len(yours):
        while end < min(len(mine), len(yours)) and same_line(mine[-1 - end], yours[-1 - end], tolerance):
            end += 1
    pairs = itertools.zip_longest(mine[: len(mine) - end], yours[: len(yours) - end])
    for line, (left, right) in enumerate(pairs, start=1):
        if left is None or right is None or not same_line(left, right, tolerance):
            yield line, _name(left), _name(right)


FIGURE = "\0figure"


def _pieces(cell: Cell) -> list[str]:
    """The outputs in order, as text or FIGURE; printed text and values that follow each other are one piece."""
    pieces: list[str] = []
    for output in merged_outputs(cell):
        data = output.get("data", {})
        if any(kind.startswith("image/") for kind in data):
            pieces.append(FIGURE)
            continue
        shown = text(output.get("text", data.get("text/markdown", data.get("text/plain", ""))))
        if pieces and pieces[-1] != FIGURE:
            shown = pieces.pop() + shown
        pieces.append(shown if shown.endswith("\n") else shown + "\n")
    return pieces


def _name(piece: str | None) -> str:
    if piece is None:
        return "(nothing)"
    return "a figure" if piece == FIGURE else piece.rstrip("\n")


def _tolerance(cell: Cell) -> float | None:
    for tag in tags(cell):
        if tag.startswith("tolerance="):
            return float(tag.removeprefix("tolerance="))
    return None


def same_line(expected: str, got: str, tolerance: float | None = None) -> bool:
    """Whether two lines agree: words exactly, numbers within the tolerance.

    Spaces beside a number do not count, because a longer number moves them. Whole numbers must agree exactly unless
    the cell has a tolerance of its own. A decimal number with three significant digits or more may also differ
    by one in its last digit: there, rounding decides.

    >>> same_line("loss 1.2345 after 100 steps", "loss  1.2346 after 100 steps")
    True
    >>> same_line("loss 1.2345 after 100 steps", "loss 1.2345 after 101 steps")
    False
    >>> same_line("loss 1.2345", "loss 1.3", tolerance=0.1)
    True
    """
    if expected == got:
        return True
    left, right = _NUMBER.split(expected.rstrip()), _NUMBER.split(got.rstrip())
    if len(left) != len(right):
        return False
    # split() puts the numbers at the odd places.
    words = all(_bare(left, i) == _bare(right, i) for i in range(0, len(left), 2))
    return words and all(_same_number(a, b, tolerance) for a, b in zip(left[1::2], right[1::2]))


def _bare(parts: list[str], i: int) -> str:
    word = parts[i]
    if i > 0:
        word = word.lstrip(" ")
    return word.rstrip(" ") if i < len(parts) - 1 else word


def _same_number(expected: str, got: str, tolerance: float | None) -> bool:
    a, b = (float(number.replace(",", "")) for number in (expected, got))
    if a == b:
        return True
    whole = not re.search(r"[.eE]", expected + got)
    if whole and tolerance is None:
        return False
    allowed = ABSOLUTE + (RELATIVE if tolerance is None else tolerance) * abs(a)
    return abs(a - b) <= max(allowed, _last_digit(expected) * 1.001)


def _last_digit(number: str) -> float:
    """What one in the last printed digit is worth; 0 where fewer than three significant digits are printed.

    >>> _last_digit("0.123"), _last_digit("1.50e-4"), _last_digit("0.5"), _last_digit("8.")
    (0.001, 1e-06, 0.0, 0.0)
    """
    mantissa, _, exponent = number.lower().replace(",", "").lstrip("+-").partition("e")
    decimals = mantissa.partition(".")[2]
    if not decimals or len(mantissa.replace(".", "").lstrip("0")) < 3:
        return 0.0
    return float(f"1e{int(exponent or 0) - len(decimals)}")
