"""What is common to the readers of rows: find the shape that fits, and name what does not.

A shape is a name, what its rows look like, and a function that makes something of a row, or None if it is not of that
shape, or raises ValueError if it is and something in it is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..files.jsonl import write_jsonl
from .rows import read_rows


@dataclass(frozen=True)
class Shape:
    """name: what it is known as; keys: what a row looks like; read: what makes something of one."""

    name: str
    keys: str
    read: Callable[[Any], Any]


class Tied:
    """What a reader returns for a row that says nothing, such as a comparison without a winner."""


TIED = Tied()
_READERS = {
    ("chosen", "rejected"): "read_preferences",
    ("answer_0", "answer_1"): "read_preferences",
    ("answers",): "read_rankings",
    ("completions",): "read_rankings or read_preferences",
    ("messages",): "read_dialogues",
    ("conversations",): "read_dialogues",
    ("response", "helpfulness"): "read_ratings",
    ("response",): "read_dialogues",
    ("output",): "read_dialogues",
}


def read_shapes(
    path: str | os.PathLike[str], shapes: Sequence[Shape], what: str, bad_rows: str
) -> Iterator[tuple[str, str, Any]]:
    """Yield (place, name of the shape, what was made of it) for every row; the shapes are tried in their order.

    bad_rows: "error", or "skip" for rows of a known shape in which something is wrong (an empty answer, an unknown
    role). A row of no known shape is an error always.
    """
    if bad_rows not in ("error", "skip"):
        raise ValueError(f'bad_rows must be "error" or "skip", got {bad_rows!r}')
    count = made = ties = 0
    wrong = ""
    for place, row in read_rows(path):
        count += 1
        try:
            name, found = _fitting(row, shapes, what)
        except _NoShape as error:
            raise ValueError(f"{path}, {place}: {error}") from None
        except ValueError as error:
            wrong = wrong or f"{place}: {error}"
            if bad_rows == "error":
                raise ValueError(f"{path}, {place}: {error}") from None
            continue
        if found is TIED:
            ties += 1
            continue
        made += 1
        yield place, name, found
    if not made:
        why = f"it has {count} rows, {ties} of them ties" + (f"; the first that is wrong is {wrong}" if wrong else "")
        raise ValueError(f"{path} holds no {what}: {why}")


def write_rows(
    path: str | os.PathLike[str], items: Iterable[Any], what: str, row: Callable[[Any], dict[str, Any]]
) -> None:
    """Write JSON lines, `row` of each item. What it raises names the item, and there is no file then."""

    def rows() -> Iterator[dict[str, Any]]:
        for number, item in enumerate(items):
            try:
                yield row(item)
            except (ValueError, TypeError) as error:
                raise type(error)(f"{what} {number}: {error}") from None

    write_jsonl(path, rows())


def looks_of(row: Any) -> str:
    """What a row of no known shape looks like, in an error."""
    return f"the keys {sorted(map(str, row))}" if isinstance(row, dict) else f"a {type(row).__name__}"


def known(shapes: Iterable[Shape]) -> str:
    """The shapes there are, in an error."""
    return "; ".join(f"{shape.name} ({shape.keys})" for shape in shapes)


def _elsewhere(row: Any, what: str) -> str:
    """Which other reader such rows are for."""
    for keys, reader in _READERS.items():
        if isinstance(row, dict) and set(keys) <= row.keys() and reader != f"read_{what}s":
            return f": {reader} takes such rows"
    return ""


class _NoShape(ValueError):
    pass


def _fitting(row: Any, shapes: Sequence[Shape], what: str) -> tuple[str, Any]:
    for shape in shapes:
        found = shape.read(row)
        if found is not None:
            return shape.name, found
    raise _NoShape(
        f"a row with {looks_of(row)} is no {what} of a known shape{_elsewhere(row, what)}. Known: {known(shapes)}"
    )
