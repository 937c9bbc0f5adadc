"""A part of a run once more, from a snapshot before it, beside what its log says; nothing of the run is changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import snapshots
from .config import TrainingSettings
from .log import LOG, read_log
from .run import Diverged, Run
from .statistics_file import Statistics

WINDOW = 20  # steps before the one in question that say what is usual, if there are so many


@dataclasses.dataclass
class Replay:
    """Steps that were made again.

    entries: a step's statistics, with "loss", "grad_norm" and "lr"; the last is that of the step in question, which has
    no "grad_norm" where it diverged. differences: in words, where a number is not that of the log. diverged: what the
    run said at its end, if the step in question was not finite. notes: why numbers may differ.
    """

    snapshot: str
    entries: list[dict[str, Any]]
    differences: list[str]
    diverged: str | None
    notes: list[str]


class Remembering:
    """A sampler that keeps its last batches, and where in the data they came from."""

    def __init__(self, sampler: Any, count: int) -> None:
        self.sampler, self.count = sampler, count
        self.batches: list[dict[str, Any]] = []

    def __next__(self) -> dict[str, np.ndarray]:
        batch = next(self.sampler)
        # After the batch was taken: where its rows come from, if the sampler says so, and the number of what it took.
        kept = {"batch": batch, "origins": getattr(self.sampler, "origins", []), "state": self.sampler.state()}
        self.batches = [*self.batches, kept][-self.count :]
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)


class Recorder(Statistics):
    """Keeps the statistics of every step; calls `look(model)` before the passes of the one in question."""

    def __init__(self, step: int, look: Callable[[Any], None]) -> None:
        super().__init__()
        self.wanted, self.look = step, look
        self.entries: list[dict[str, Any]] = []

    @contextmanager
    def passing(self, step: int, model: Any) -> Iterator[None]:
        """The look comes first: what it does leaves no trace in the step."""
        if step == self.wanted:
            self.look(model)
        with super().passing(step, model):
            yield
        self.entries.append(self.entry)


def snapshot_before(directory: Path, step: int, settings: TrainingSettings) -> Path | None:
    """The latest snapshot with `WINDOW` steps between it and this one, or else the earliest before it.

    None: the run had not come to its first snapshot by then, so that it is replayed from its beginning. ValueError
    where snapshots were made before the step, and none of them is kept.
    """
    kept = snapshots(directory)
    before = [number for number in kept if number < step]
    roomy = [number for number in before if number < step - WINDOW]
    if before:
        return kept[max(roomy) if roomy else min(before)]
    if step <= (settings.checkpoint_every or settings.steps):
        return None
    there = f"there are {', '.join(kept[n].name for n in sorted(kept))}" if kept else "there is none at all"
    raise ValueError(
        f"no snapshot before step {step} is kept in {directory} ({there}): a run keeps its newest {settings.keep}; "
        'begin it with --keep 20, or write a larger "keep" into its run.json, to have earlier ones next time'
    )


def replay(run: Run, directory: Path, step: int, look: Callable[[Any], None], open_model: Any = None) -> Replay:
    """Make the steps up to `step` again with a fresh run, from the snapshot that `snapshot_before` finds.

    look: called with the model when the batches of the step are there and nothing is computed yet. ValueError for a
    step that the run has not come to, and for a snapshot that is damaged or of other settings.
    """
    logged = {entry["step"]: entry for entry in read_log(directory / LOG) if "grad_norm" in entry}
    last = max(logged, default=0)
    if step > last + 1:
        raise ValueError(f"the run in {directory} has come to step {last}: it can be asked about steps 1 to {last + 1}")
    snapshot = snapshot_before(directory, step, run.settings)
    notes: list[str] = []
    run.report = notes.append
    if snapshot is not None:
        run.restore(snapshot, open_model)
    recorder = Recorder(step, look)
    run.observers = [recorder]
    differences: list[str] = []
    diverged = None
    if run.on_step is not None:
        run.on_step(run.step, run.loss, run.model)
    while run.step < step:
        try:
            lr, norm = run._update()
        except Diverged as error:
            diverged = str(error)
            recorder.entries[-1] |= {"loss": run.loss, "lr": run.settings.lr(run.step, run.tokens)}
            if run.step + 1 < step or step in logged:
                differences.append(f"step {run.step + 1} diverged, and it did not in the log")
            break
        made = {"loss": run.loss, "grad_norm": norm, "lr": lr}
        recorder.entries[-1] |= made
        entry = logged.get(run.step, made)
        for name, value in made.items():
            if entry.get(name) != value:
                differences.append(f"step {run.step}: {name} is {value!r}, the log says {entry.get(name)!r}")
        if run.on_step is not None and run.step < step:
            run.on_step(run.step, run.loss, run.model)
    return Replay(snapshot.name if snapshot else "its beginning", recorder.entries, differences, diverged, notes)
