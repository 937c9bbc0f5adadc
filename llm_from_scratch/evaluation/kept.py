"""Scores kept item by item in a file, so that an evaluation that was interrupted goes on where it stood.

A line holds what one item's branches scored and the digest of the model and of the very tokens that were asked about:
another model, tokenizer or prompt finds nothing of it, and a line that was cut off in the middle is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..scoring.likelihoods import model_digest
from .branches import Scored
from .splitting import Split


class Kept:
    """What is known already, by digest; without a path it is forgotten with the object."""

    def __init__(self, path: Path | None, model: str) -> None:
        self.path, self.model = path, model
        self._lock = threading.Lock()
        self._known: dict[str, list[Scored]] = {}
        if path is not None and path.exists():
            self._read(path)

    @classmethod
    def of(cls, path: str | os.PathLike[str] | None, model: Any) -> Kept:
        """For the file `path`, or None. The model's weights are read once for their digest."""
        if path is None:
            return cls(None, "")
        folder = Path(path).parent
        if not folder.is_dir():
            raise ValueError(f"{path}: there is no directory {folder} to keep scores in")
        return cls(Path(path), model_digest(model))

    def complete(
        self,
        items: Sequence[Sequence[Split]],
        compute: Callable[[list[Sequence[Split]], Callable[[int, list[Scored]], object]], object],
        progress: Callable[[int], object] = lambda count: None,
    ) -> list[list[Scored]]:
        """The scores of every item, computing those that are not known: `compute(items, done)` calls done for each."""
        keys = [self._key(rows) for rows in items]
        todo = [number for number, key in enumerate(keys) if key not in self._known]
        count = len(items) - len(todo)
        progress(count)

        def done(place: int, found: list[Scored]) -> None:
            nonlocal count
            with self._lock:
                self._known[keys[todo[place]]] = found
                self._write(keys[todo[place]], found)
                count += 1
                progress(count)

        if todo:
            compute([items[number] for number in todo], done)
        return [self._known[key] for key in keys]

    def _key(self, rows: Sequence[Split]) -> str:
        digest = hashlib.sha256(self.model.encode())
        for row in rows:
            digest.update(len(row.ids).to_bytes(8, "little"))
            digest.update(np.ascontiguousarray(row.ids, "<i8").tobytes() + np.packbits(row.scored).tobytes())
        return digest.hexdigest()

    def _write(self, key: str, found: list[Scored]) -> None:
        if self.path is None:
            return
        told = [[one.log_probabilities.tolist(), one.greedy] for one in found]
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "scores": told}) + "\n")

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):  # cut off in the middle of a line: the next one must not continue it
            with open(path, "ab") as file:
                file.write(b"\n")
        for line in data.split(b"\n"):
            try:
                row = json.loads(line)
                self._known[row["key"]] = [Scored(np.array(v, np.float64), bool(g)) for v, g in row["scores"]]
            except (ValueError, KeyError, TypeError):
                continue  # cut off, or no line of ours: what it should have said is computed again
