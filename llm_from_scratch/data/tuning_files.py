"""A file of tuning data of any kind: what is in it, found out from its first row, read and written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..files.jsonl import write_jsonl
from .dialogues import DIALOGUE_SHAPES, dialogue_rows, write_dialogues
from .preference_files import PREFERENCE_SHAPES, preference_rows, write_preferences
from .ranking_files import RANKING_SHAPES, RATING_SHAPES, ranking_rows, rating_rows
from .rows import read_rows
from .shapes import Shape, known, looks_of


@dataclass(frozen=True)
class Kind:
    """shapes: what such rows look like; rows: reads (place, shape, what was made of it); write: one file of them."""

    shapes: tuple[Shape, ...]
    rows: Callable[..., Iterable[tuple[str, str, Any]]]
    write: Callable[[Any, Iterable[Any]], None]


KINDS: dict[str, Kind] = {  # what asks for more comes first: a rated answer is also a question with an answer
    "ratings": Kind(RATING_SHAPES, rating_rows, write_jsonl),
    "rankings": Kind(RANKING_SHAPES, ranking_rows, write_jsonl),
    "preferences": Kind(PREFERENCE_SHAPES, preference_rows, write_preferences),
    "dialogues": Kind(DIALOGUE_SHAPES, dialogue_rows, write_dialogues),
}


def kind_of(path: str | os.PathLike[str]) -> str:
    """Which of KINDS a file holds, by the first of its rows that tells. ValueError if none of the first 100 does."""
    first, place = "", ""
    for place, row in islice(read_rows(path), 100):
        for kind, of_kind in KINDS.items():
            for shape in of_kind.shapes:
                try:
                    if shape.read(row) is not None:
                        return kind
                except ValueError as error:  # of this shape, and something in it is wrong
                    first = first or f"{path}, {place}: {shape.name}: {error}"
    if first:
        raise ValueError(first)
    if not place:
        raise ValueError(f"{path} holds no rows")
    shapes = [shape for of_kind in KINDS.values() for shape in of_kind.shapes]
    raise ValueError(f"{path}: rows with {looks_of(row)} are of no known shape. Known: {known(shapes)}")


def convert(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, kind: str | None = None, bad_rows: str = "error"
) -> tuple[str, int]:
    """Read a file of any known shape and write it in our own -> the kind, and how many rows.

    Ours are JSON lines: of messages; of prompt, chosen and rejected; of prompt, answers and ranks; of prompt, response
    and ratings.

    kind: "preferences" makes pairs of what could also be read as rankings (UltraFeedback).
    """
    kind = kind_of(path) if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {list(KINDS)}, got {kind!r}")
    made = [found for _, _, found in KINDS[kind].rows(path, bad_rows)]
    KINDS[kind].write(out, made)
    return kind, len(made)
