"""`statistics.jsonl`: what a run looked like inside, every so many steps, a line each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .exchange import Exchange
from .log import RunLog, read_log
from .observers import Observer
from .signals import Figures, length, parameters, shortened, watching

STATISTICS = "statistics.jsonl"


class Statistics(Observer):
    """Measures every `every` steps and keeps the last `entry`: {"step", "activations", "parameters"}, see `statistics`.

    Parameters have "update" besides: how far the step moved them, as a share of their length (about 0.001 is usual).
    """

    def __init__(self, every: int = 1, exchange: Exchange | None = None) -> None:
        self.every, self.exchange = every, exchange or Exchange()
        self.entry: dict[str, Any] = {}

    @contextmanager
    def passing(self, step: int, model: Any) -> Iterator[None]:
        """Look at activations, and then at gradients."""
        if step % self.every:
            yield
            return
        with watching(model) as watch:
            try:
                yield
                watch.add_up(self.exchange.gather(watch.sums()))
            finally:  # what raised an error passed through layers, too
                self.entry = {"step": step, "activations": watch.figures(), "parameters": parameters(model)}

    @contextmanager
    def updating(self, step: int, model: Any) -> Iterator[None]:
        """Look at what the weights were, and what they have become."""
        if step % self.every:
            yield
            return
        before = {name: np.array(p.stored) for name, p in model.named_parameters() if p.grad is not None}
        yield
        figures: Figures = self.entry["parameters"]
        for name, parameter in model.named_parameters():
            if name in before:
                moved = length(parameter.data - before[name].astype(parameter.dtype))
                weight = figures[name]["weight"]
                figures[name]["update"] = shortened(moved / weight) if moved is not None and weight else None
        self.finished()

    def finished(self) -> None:
        """The entry of a step is complete."""


class StatisticsFile(Statistics):
    """Writes each entry as a line of a file. What a run writes does not depend on where it was interrupted.

    step: the run goes on from there; what the file holds of later steps will be measured again, and goes.
    """

    def __init__(self, path: str | os.PathLike[str], every: int, step: int, exchange: Exchange | None = None) -> None:
        super().__init__(every, exchange)
        self.log = RunLog(path, _end(Path(path), step))

    def finished(self) -> None:
        """Write the line, and wait until it is on the disk: the next checkpoint counts on it."""
        self.log.write(self.entry)
        self.log.sync()


@contextmanager
def statistics_file(
    directory: Path | None, every: int, step: int, exchange: Exchange | None = None
) -> Iterator[list[Observer]]:
    """The observers that write `statistics.jsonl`: one, or none where nothing is to be measured.

    Of several ranks each measures, and the leader writes.
    """
    exchange = exchange or Exchange()
    if not every:
        yield []
        return
    if directory is None:
        raise ValueError(
            "statistics_every writes to a file of the run's directory, and there is none: name a directory, or call "
            "statistics(model, batch)"
        )
    if not exchange.leads:
        yield [Statistics(every, exchange)]
        return
    made = StatisticsFile(directory / STATISTICS, every, step, exchange)
    with made.log:
        yield [made]


def read_statistics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The entries of a file, or of the one in a run's directory; ValueError naming the line for a damaged one."""
    path = Path(path)
    return read_log(path / STATISTICS if path.is_dir() else path)


def _end(path: Path, step: int) -> int:
    """Where the lines of the steps up to this one end."""
    end = 0
    if path.is_file():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or not isinstance(entry, dict) or entry.get("step", step + 1) > step:
                break
            end += len(line)
    return end
