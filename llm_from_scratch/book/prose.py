"""Text on the page of a chapter: the package's own source, proofs that two results are equal, errors, tables."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np


def show_source(*things: Any, docstring: bool = False, backward: bool = True) -> None:
    """Print the source of functions and classes as it stands in the package, read when the cell runs.

    docstring:  keep the docstrings; a chapter has usually said it better just above.
    backward:   a primitive is followed by its backward.

    >>> def double(x):
    ...     "Twice x."
    ...     return 2 * x
    >>> show_source(double)
    def double(x):
        return 2 * x
    """
    parts = []
    for thing in things:
        parts.append(_source(thing, docstring))
        if backward and callable(getattr(thing, "_backward", None)):
            parts.append(_source(thing._backward, docstring))
    _show_code("\n\n\n".join(parts))


def _source(thing: Any, docstring: bool) -> str:
    thing = inspect.unwrap(getattr(thing, "py_func", thing))
    source = textwrap.dedent(inspect.getsource(thing)).rstrip()
    return source if docstring else _without_docstrings(source)


def _without_docstrings(source: str) -> str:
    lines = source.splitlines()
    drop: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) and len(node.body) > 1:
            first = node.body[0]
            drop.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
            if lines[first.end_lineno or 0].strip() == "":
                drop.add((first.end_lineno or 0) + 1)
    return "\n".join(line for number, line in enumerate(lines, start=1) if number not in drop)


def _show_code(code: str) -> None:
    """Highlighted where a notebook can show it, plain text elsewhere."""
    # Only a running kernel has loaded IPython and has a display hook; doctests and scripts get the text.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and hasattr(shell, "kernel"):
        from IPython.display import Markdown, display

        display(Markdown(f"```python\n{code}\n```"))
    else:
        print(code)


def close(ours: Any, theirs: Any, *, tolerance: float = 1e-12, label: str = "") -> None:
    """Print the largest difference of two arrays, and raise if it is larger than `tolerance`.

    The tolerance is relative to the largest entry of `theirs` (or to 1, if all are smaller than 1): a matrix
    product errs by the size of its largest terms, also where its result is near zero. A tolerance that float32
    needs is printed in place of the difference, which would be another one on another processor.

    >>> close(np.array([0.1 + 0.2, 1.0]), [0.3, 1.0], label="sum")
    sum: equal, largest difference 5.6e-17
    >>> close(np.float32([0.1, 1.0]), [0.1, 1.0], tolerance=1e-6)
    equal to within 1e-06
    >>> close([1.0, 2.0], [1.0, 2.5])
    Traceback (most recent call last):
    ...
    AssertionError: not equal: at (1,) 2 against 2.5 (allowed: 1e-12 of 2.5)
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    prefix = f"{label}: " if label else ""
    if ours.shape != theirs.shape:
        raise AssertionError(f"{prefix}not equal: shapes {ours.shape} and {theirs.shape}")
    wide = np.complex128 if "c" in (ours.dtype.kind, theirs.dtype.kind) else np.float64
    difference = np.abs(ours.astype(wide) - theirs.astype(wide))
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    largest = float(difference.max(initial=0.0))
    if not largest <= tolerance * scale:
        flat = np.where(np.isnan(difference), np.inf, difference).argmax()
        place = tuple(int(i) for i in np.unravel_index(flat, difference.shape))
        raise AssertionError(
            f"{prefix}not equal: at {place} {ours[place]:.6g} against {theirs[place]:.6g} "
            f"(allowed: {tolerance:g} of {scale:.6g})"
        )
    # Outputs are compared, with 1e-6 for zero: the same words on a machine that finds exactly 0, and no number that
    # is rounding alone.
    print(
        f"{prefix}equal, largest difference {largest:.1e}"
        if tolerance < 1e-6
        else f"{prefix}equal to within {tolerance:g}"
    )


@contextmanager
def caught(expected: type[BaseException], *, message: bool = True) -> Iterator[None]:
    """Run the block, which must raise `expected`, and print what it said (only its name with message=False).

    A chapter that shows a mistake being caught keeps its promise: if nothing is raised, the cell itself fails.

    >>> with caught(ZeroDivisionError, message=False):
    ...     1 / 0
    caught: ZeroDivisionError
    """
    try:
        yield
    except expected as error:
        text = f": {error}" if message and str(error) else ""
        print(f"caught: {type(error).__name__}{text}")
    else:
        raise AssertionError(f"expected {expected.__name__}, but nothing was raised")


def table(rows: Iterable[Sequence[Any]], headers: Sequence[str], *, digits: int = 4) -> None:
    """Print rows under headers: words to the left, numbers to the right, floats with `digits` significant digits.

    >>> table([("exact", 0.5, 3), ("rounded", 1 / 3, 12)], ["what", "value", "count"])
    what     value   count
    exact    0.5         3
    rounded  0.3333     12
    """
    body = [[_cell(value, digits) for value in row] for row in rows]
    numeric = (
        [
            all(isinstance(row[i], (int, np.integer)) and not isinstance(row[i], bool) for row in rows)
            for i in range(len(headers))
        ]
        if isinstance(rows, (list, tuple))
        else [False] * len(headers)
    )
    widths = [max(len(line[i]) for line in [list(headers), *body]) for i in range(len(headers))]
    justify: list[Callable[[str, int], str]] = [str.rjust if right else str.ljust for right in numeric]
    for line in [list(headers), *body]:
        print("  ".join(put(text, width) for put, text, width in zip(justify, line, widths)).rstrip())


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}g}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return str(value)
