"""JSON lines: one JSON value a line, UTF-8. For records that are read, counted or mixed one at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from .atomic import atomic_write


def read_jsonl(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Yield the values of a file one by one; blank lines are passed over.

    ValueError with file and line number for a line that is not JSON (NaN and Infinity are not) or not UTF-8.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.jsonl"
    ...     write_jsonl(file, [{"text": "hello"}, {"text": "world"}])
    ...     [row["text"] for row in read_jsonl(file)]
    ['hello', 'world']
    """
    with open(path, "rb") as file:  # lines by byte: str.splitlines would also break at U+2028 inside a string
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line.decode("utf-8"), parse_constant=_refuse)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: not a line of JSON ({error})") from None


def write_jsonl(path: str | os.PathLike[str], rows: Iterable[Any]) -> None:
    """Write the rows, one a line, atomically; ValueError or TypeError (and no file) for what is not JSON."""
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
