"""The directory of a run of `quickstart` or `train`: what it holds, how far it has come, whether anybody changed it.

    runs/NAME/run.json       the recipe and the training settings, written before anything is trained
              data/          tokenizer and token files
              …              what `training.loop` writes: log.jsonl, loss.png, checkpoints, the finished model
              tokenizer.json, report.json

`run.json` is all that a run needs to be taken up again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.split import TRAIN, VALIDATION
from ..files.atomic import is_temporary, remove_leftovers
from ..files.digests import DIGESTS
from ..files.lock import LOCK, sole_writer
from ..files.strict_json import json_entry, read_json_object
from ..recipes.recipe import PREPARED, TOKENIZER_FILES, Recipe
from ..training import TrainingSettings
from ..training.checkpoint import differences, latest_checkpoint, read_state
from ..training.config import FREE_TO_CHANGE

RUN, REPORT, RATES = "run.json", "report.json", "learning-rate.png"
_DATA = {PREPARED, TRAIN, VALIDATION, DIGESTS, *TOKENIZER_FILES}  # what the folder data/ holds
_PREPARING = {"data", LOCK, RATES, *TOKENIZER_FILES}  # what stands in a run's directory before run.json does
_OURS = re.compile(
    r"run\.json|report\.json|(log|timing)\.jsonl(\.damaged\d*)?|(loss|measures|learning-rate|statistics)\.png"
    r"|statistics\.jsonl|latest|step-\d+(\.tmp|\.old)?"
    r"|config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
)


def state_of(directory: Path) -> str:
    """'new', 'unfinished' or 'finished'; ValueError for a directory that holds something else."""
    if not directory.exists():
        return "new"
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file: choose a directory to write to")
    if not (directory / RUN).exists():
        # Killed while it was preparing its text, at most: then only this can be there.
        foreign = _surplus(directory, _PREPARING)
        if not foreign and (directory / "data").is_dir():
            foreign = [f"data/{name}" for name in _surplus(directory / "data", _DATA)]
        if foreign:
            raise ValueError(
                f"{directory} holds no run of this program but other files ({', '.join(foreign[:3])}): "
                "choose another directory"
            )
        return "new"
    return "finished" if (directory / REPORT).exists() else "unfinished"


def _surplus(folder: Path, known: set[str]) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in known and not is_temporary(path.name))


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, and remove what a killed run left half-written."""
    state_of(directory)  # says what is wrong before anything is written there
    with sole_writer(directory):
        remove_leftovers(directory)
        if (directory / "data").is_dir():
            remove_leftovers(directory / "data")
        yield


def clear(directory: Path) -> None:
    """Remove a run, and nothing else that may stand beside it; run.json goes last, so that a kill leaves a run."""
    data = directory / "data"
    doomed = [path for path in directory.iterdir() if _OURS.fullmatch(path.name) or path.name in TOKENIZER_FILES]
    if data.is_dir():
        doomed += [data / name for name in sorted(_DATA)]
    for path in sorted(doomed, key=lambda path: path.name == RUN):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read_run(directory: Path) -> tuple[Recipe, TrainingSettings, dict[str, Any]]:
    """What `run.json` says: recipe, settings and the untrained model's figures; ValueError naming what is wrong.

    Nothing may be other than when the run began, except how often it is saved (`checkpoint_every`, `keep`).
    """
    path = directory / RUN
    stored = read_json_object(path)
    parts: dict[str, Any] = {key: json_entry(stored, key, "an object", path) for key in ("recipe", "training")}
    parts["untrained"] = _figures(stored, "untrained", path)
    made: list[Any] = []
    for key, kind in (("recipe", Recipe), ("training", TrainingSettings)):
        try:
            made.append(kind.from_json(parts[key]))  # type: ignore[attr-defined]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, {key}: {error}") from None
    recipe, settings = made
    checkpoint = latest_checkpoint(directory)
    if checkpoint is not None:  # it can tell what was changed
        state = read_state(checkpoint)
        changes = []
        for key, part in (("identity", recipe.to_json()), ("settings", settings.to_json())):
            then = json_entry(state, key, "an object", checkpoint / "state.json") if key in state else {}
            now = {name: value for name, value in part.items() if name in then and name not in FREE_TO_CHANGE}
            changes += differences({name: then[name] for name in now}, now)
        if changes:
            raise ValueError(f"{path} is not what {checkpoint} was made with ({'; '.join(changes)}): undo the change")
    if stored.get("sha256", digest_of(parts)) != digest_of(parts):
        raise ValueError(f"{path} is not what it was when the run began (its 'sha256' is of another): undo the change")
    return recipe, settings, parts["untrained"]


def _figures(stored: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    """The figures of a model in run.json or report.json, checked as far as they are used."""
    found, where = json_entry(stored, key, "an object", path), f"{path}, {key}"
    for name in ("loss", "bits_per_byte", *(["consistency"] if "consistency" in found else [])):
        json_entry(found, name, "a number", where)
    json_entry(found, "sample", "text", where)
    if "consistency" in found:
        json_entry(found, "tales", "a whole number", where)
        for name in json_entry(found, "checks", "an object", where):
            json_entry(found["checks"], name, "a number", f"{where}, checks")
        for name in ("copied", "copied_held_out"):
            for part in ("run", "share"):
                json_entry(json_entry(found, name, "an object", where), part, "a number", f"{where}, {name}")
    return found


def digest_of(parts: dict[str, Any]) -> str:
    """The SHA-256 of what a run.json says, without what may be changed."""
    fixed = {name: value for name, value in parts["training"].items() if name not in FREE_TO_CHANGE}
    return hashlib.sha256(json.dumps({**parts, "training": fixed}, sort_keys=True).encode()).hexdigest()


def read_report(directory: Path) -> dict[str, Any]:
    """The report of a finished run, checked as far as it is shown."""
    path = directory / REPORT
    report = read_json_object(path)
    before, after = _figures(report, "untrained", path), _figures(report, "trained", path)
    if "consistency" in after:
        json_entry(before, "consistency", "a number", f"{path}, untrained")
    for name in ("steps", "tokens"):
        json_entry(report, name, "a whole number", path)
    for name in ("training_seconds", "seconds"):
        json_entry(report, name, "a number", path)
    return report


def how_far(directory: Path) -> str:
    """In words, where an unfinished run stands."""
    _, settings, _ = read_run(directory)
    return f"step {step_of(directory)} of {settings.steps}"


def step_of(directory: Path) -> int:
    """The step of the latest checkpoint, 0 if there is none."""
    checkpoint = latest_checkpoint(directory)
    return 0 if checkpoint is None else int(checkpoint.name.removeprefix("step-").removesuffix(".old"))
