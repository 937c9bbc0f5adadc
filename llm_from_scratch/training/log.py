"""The log of a run: one JSON object a line, the same bytes for the same run.

`log.jsonl` holds what the arithmetic decides (step, loss, learning rate, gradient norm, tokens, validation). What the
clock decides goes to `timing.jsonl` beside it, so that logs of a resumed and an uninterrupted run can be compared byte
for byte.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

LOG, TIMING = "log.jsonl", "timing.jsonl"


class RunLog:
    """Appends lines to a file; `length` is its size in bytes, which a checkpoint remembers.

    length: what the checkpoint remembered: the file is cut back to it, because what came after will be computed again.
    Raises ValueError when the file is shorter than that.
    """

    def __init__(self, path: str | os.PathLike[str], length: int = 0) -> None:
        self.path = Path(path)
        have = self.path.stat().st_size if self.path.exists() else 0
        if have < length:
            raise ValueError(
                f"{self.path} has {have} bytes, but the checkpoint was made when it had {length}: it was cut or "
                "exchanged. Put the file back, or start a new run elsewhere"
            )
        self._file = open(self.path, "ab")
        self._file.truncate(length)
        self._file.seek(length)
        self.length = length

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line and hand it to the system at once: it survives a killed process."""
        line = (json.dumps(entry, allow_nan=False) + "\n").encode("utf-8")
        self._file.write(line)
        self._file.flush()
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
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        entries.append(entry)
    return entries
