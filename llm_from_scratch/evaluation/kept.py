"""Scores kept item by item in a file, so that an evaluation that was interrupted goes on where it stood.

A line holds what one item's branches scored and the digest of the model and of the very tokens that were asked about:
another model, tokenizer or prompt finds nothing of it, and a line that was cut off in the middle is computed again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..scoring.likelihoods import model_digest
from .branches import Scored, score_items
from .splitting import Split


class Kept:
    """What is known already, a JSON value by digest; without a path it is forgotten with the object."""

    def __init__(self, path: Path | None, model: str) -> None:
        self.path, self.model = path, model
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
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

    def key(self, *about: Any) -> str:
        """The digest of the model and of what is asked of it: arrays of numbers, and what JSON can hold."""
        digest = hashlib.sha256(self.model.encode())
        for part in about:
            if isinstance(part, np.ndarray):
                part = [str(part.dtype), hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest()]
            digest.update(json.dumps(part, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    def get(self, key: str) -> Any:
        """What was put under a key, or None."""
        return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        """Remember a value, and write it down at once."""
        with self._lock:
            self._known[key] = value
            if self.path is not None:
                with open(self.path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "value": value}) + "\n")

    def complete(
        self,
        model: Any,
        items: Sequence[Sequence[Split]],
        *,
        threads: int | None = None,
        progress: Callable[[int], object] = lambda count: None,
    ) -> list[list[Scored]]:
        """The scores of every item's branches, of which only those are computed that are not known."""
        keys = [self.key(*(part for row in rows for part in (row.ids, row.scored))) for rows in items]
        todo = [number for number, key in enumerate(keys) if key not in self._known]
        count = itertools.count(len(items) - len(todo))
        progress(next(count))

        def done(place: int, found: list[Scored]) -> None:
            self.put(keys[todo[place]], [[one.log_probabilities.tolist(), one.greedy] for one in found])
            progress(next(count))

        if todo:
            score_items(model, [items[number] for number in todo], numbers=todo, threads=threads, done=done)
        return [[Scored(np.array(values), greedy) for values, greedy in self._known[key]] for key in keys]

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):  # cut off in the middle of a line: the next one must not continue it
            with open(path, "ab") as file:
                file.write(b"\n")
        for line in data.split(b"\n"):
            try:
                row = json.loads(line)
                self._known[row["key"]] = row["value"]
            except (ValueError, KeyError, TypeError):
                continue  # cut off, or no line of ours: what it should have said is computed again
