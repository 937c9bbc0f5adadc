"""The log of a run: one JSON object a line, the same bytes for the same run.

`log.jsonl` holds what the arithmetic decides (step, loss, learning rate, gradient norm, tokens, validation). What the
clock decides goes to `timing.jsonl` beside it, so that logs of a resumed and an uninterrupted run can be compared byte
for byte.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

LOG, TIMING = "log.jsonl", "timing.jsonl"


class RunLog:
    """Appends lines to a file; a checkpoint remembers its `length` in bytes and the `digest` of those.

    length, digest: what the checkpoint remembered: the file is cut back to it, because what came after will be computed
    again. Raises ValueError when the file is shorter, or its beginning is not what it was, or no file.
    """

    def __init__(self, path: str | os.PathLike[str], length: int = 0, digest: str | None = None) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"{self.path} is not a file")
        have = self.path.stat().st_size if self.path.exists() else 0
        if have < length:
            raise ValueError(
                f"{self.path} has {have} bytes, but the checkpoint was made at {length}: it was cut or exchanged"
            )
        self._file = open(self.path, "a+b")
        self._file.seek(0)
        self._digest = hashlib.sha256()
        left = length
        while left:
            piece = self._file.read(min(left, 1 << 20))
            self._digest.update(piece)
            left -= len(piece)
        if digest not in (None, self.digest):
            self._file.close()
            raise ValueError(f"{self.path} is not what it was when the checkpoint was made: it was damaged or changed")
        self._file.truncate(length)
        self._file.seek(length)
        self.length = length

    @property
    def digest(self) -> str:
        """The SHA-256 of everything written so far."""
        return self._digest.hexdigest()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line and hand it to the system at once: it survives a killed process."""
        line = (json.dumps(entry, allow_nan=False) + "\n").encode("utf-8")
        self._file.write(line)
        self._file.flush()
        self._digest.update(line)
        self.length += len(line)

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NoLog:
    """The log of a rank that writes none."""

    length, digest = 0, ""

    def write(self, entry: dict[str, Any]) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def __enter__(self) -> NoLog:
        return self

    def __exit__(self, *_: object) -> None: ...


def open_log(path: Path, length: int, digest: str | None, report: Callable[[str], None]) -> RunLog:
    """The log of a run that goes on. A damaged one is put aside with a note, for it must not hold up the model."""
    try:
        return RunLog(path, length, digest)
    except ValueError as error:
        kept = ""
        if path.exists():
            names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in itertools.count())
            aside = next(name for name in names if not name.exists())
            os.replace(path, aside)
            kept = f" It is kept as {aside.name}."
        report(f"note: {error}.{kept} The run is the same without it; the log begins anew here")
        return RunLog(path)


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The entries of a log file, or of the one in a run's directory. An unfinished last line is left out.

    Raises ValueError, with the number of the line, for anything else that is not a JSON object.
    """
    path = Path(path)
    if path.is_dir():
        path = path / LOG
    entries = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line end was never finished
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        entries.append(entry)
    return entries
