"""A recipe is a few stages in a row, and a run of it a directory with one folder each.

    runs/NAME/recipe.json     which recipe, with which settings; written before anything else
              1-sft/          a stage that trains: a run as in `tuning.py`, from the model that the last such stage left
              2-feedback/     a stage that writes: rows.jsonl, what a model says to prompts, judged
              report.json     all stages' reports, when the last one is done

A stage that trains is taken up where its own run stands; one that writes appears whole or not at all, and says the same
again. So a run that was killed, inside a stage or between two, ends with the same bytes as one that was not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..files.atomic import remove_leftovers, write_json
from ..files.jsonl import read_jsonl, write_jsonl
from ..files.lock import sole_writer
from ..files.strict_json import json_entry, read_json_object
from .tuning import REPORT, Say, Tuning, carry_out, clear, state_of

RECIPE, ROWS = "recipe.json", "rows.jsonl"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a stage finds: the run's settings, and the folders of the stages before it, in order."""

    settings: Mapping[str, Any]
    done: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    model: str = ""  # where training goes on: the last policy trained, or what the recipe begins with

    def rows(self, stage: str) -> list[dict[str, Any]]:
        """What an earlier stage wrote."""
        return list(read_jsonl(self.done[stage] / ROWS))


class Stage(Protocol):
    """A part of a recipe. does: what happens in it, for people. leads: whether the next stages go on with its model."""

    @property
    def name(self) -> str:
        """Of its folder, after its number."""
        ...

    @property
    def does(self) -> str:
        """A sentence that is said when it begins."""
        ...


@runtime_checkable
class Trains(Stage, Protocol):
    """A stage that trains; the same `Tuning` for the same start."""

    @property
    def leads(self) -> bool:
        """False for a model that later stages only ask, such as a reward model."""
        ...

    def tuning(self, start: Start) -> Tuning:
        """The run from there."""
        ...


@runtime_checkable
class Writes(Stage, Protocol):
    """A stage that writes; the same rows for the same start."""

    def write(self, start: Start) -> list[dict[str, Any]]:
        """JSON-able rows, at least one."""
        ...


def run_stages(
    directory: str | os.PathLike[str],
    recipe: str,
    stages: Sequence[Stage],
    settings: Mapping[str, Any] | None,
    *,
    say: Say = print,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Run all stages, or those still to do (settings None: those the run was begun with); the report.

    settings: JSON-able, with "model", where the first stage begins. None is returned when the run was interrupted.
    Raises ValueError for a directory that holds something else, another recipe, or a changed recipe.json.
    """
    directory = Path(directory)
    standing = standing_of(directory)
    if settings is None:
        if standing == "new":
            raise ValueError(f"there is no run of a recipe to go on with in {directory}")
        told = read_recipe(directory)
        if told["recipe"] != recipe:
            raise ValueError(f"{directory} is a run of the recipe {told['recipe']}, not of {recipe}")
        settings = told["settings"]
    elif standing != "new":
        raise ValueError(f"{directory} holds a run already ({standing}): resume it or choose another directory")
    settings = json.loads(json.dumps(dict(settings), allow_nan=False))  # as it will be read again
    with sole_writer(directory):
        remove_leftovers(directory)
        if standing == "finished":
            return read_json_object(directory / REPORT)
        if standing == "new":
            parts = {"recipe": recipe, "settings": settings}
            write_json(directory / RECIPE, {**parts, "sha256": _digest(parts)})
        start = Start(settings, {}, str(settings["model"]))
        reports: list[dict[str, Any]] = []
        for number, stage in enumerate(stages, 1):
            folder = directory / f"{number}-{stage.name}"
            say(f"\n— {number} of {len(stages)}: {stage.name}. {stage.does}\n")
            report = _run(stage, start, folder, f"recipe {recipe}", say, progress)
            if report is None:
                return None
            reports.append({"stage": stage.name, **report})
            leads = isinstance(stage, Trains) and stage.leads
            start = Start(settings, {**start.done, stage.name: folder}, str(folder) if leads else start.model)
        trained = [report for report in reports if "before" in report]
        whole = {"recipe": recipe, "directory": str(directory), "model": start.model, "stages": reports}
        whole |= {"before": trained[0]["before"], "after": trained[-1]["after"]}
        write_json(directory / REPORT, whole)
        return whole


def _run(stage: Stage, start: Start, folder: Path, command: str, say: Say, progress: bool) -> dict[str, Any] | None:
    if isinstance(stage, Writes):
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        if not (folder / ROWS).exists():
            write_jsonl(folder / ROWS, stage.write(start))
        rows = sum(1 for _ in read_jsonl(folder / ROWS))
        say(f"{rows:,} rows in {folder / ROWS}")
        return {"directory": str(folder), "rows": rows}
    if not isinstance(stage, Trains):
        raise TypeError(f"the stage {stage.name} neither trains nor writes")
    settings = None if state_of(folder) != "new" else {**start.settings, "stage": stage.name, "model": start.model}
    return carry_out(folder, command, lambda _: stage.tuning(start), settings, say=say, progress=progress)


def standing_of(directory: str | os.PathLike[str]) -> str:
    """'new', 'unfinished' or 'finished'; ValueError for a directory that holds something else.

    >>> standing_of("there/is/nothing")
    'new'
    """
    directory = Path(directory)
    if (directory / RECIPE).exists():
        return "finished" if (directory / REPORT).exists() else "unfinished"
    if state_of(directory) != "new":
        raise ValueError(f"{directory} holds a run of another kind: choose another directory")
    return "new"


def read_recipe(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """What `recipe.json` says: "recipe" and "settings"; ValueError naming what is wrong or was changed."""
    path = Path(directory) / RECIPE
    stored = read_json_object(path)
    parts = {"recipe": json_entry(stored, "recipe", "text", path)}
    parts |= {"settings": json_entry(stored, "settings", "an object", path)}
    if stored.get("sha256") != _digest(parts):
        raise ValueError(f"{path} is not what it was when the run began (its 'sha256' is of another): undo the change")
    return parts


def remove(directory: str | os.PathLike[str]) -> None:
    """Remove a run of a recipe, and nothing else that may stand beside it; recipe.json goes last."""
    directory = Path(directory)
    with sole_writer(directory):
        for folder in sorted(directory.glob("[0-9]*-*")):
            if folder.is_dir() and not folder.is_symlink():
                clear(folder)
                (folder / ROWS).unlink(missing_ok=True)
                if not any(folder.iterdir()):
                    folder.rmdir()
        for name in (REPORT, RECIPE):
            (directory / name).unlink(missing_ok=True)


def _digest(parts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
