"""What `quickstart` and `train` have in common: a run's directory from its first file to its report.

    runs/NAME/run.json       the recipe and the training settings, written before anything is trained
              data/          tokenizer and token files
              …              what `training.loop` writes: log.jsonl, loss.png, checkpoints, the finished model
              tokenizer.json, report.json

`run.json` is all that a run needs to be taken up again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..checkpoints import from_pretrained
from ..data.sources import describe
from ..data.split import TRAIN, VALIDATION
from ..files.atomic import is_temporary, remove_leftovers, write_json
from ..files.digests import DIGESTS, sha256
from ..files.lock import LOCK, sole_writer
from ..files.strict_json import json_entry, read_json_object
from ..recipes.recipe import (
    PREPARED,
    TOKENIZER_FILES,
    Recipe,
    batches,
    build_model,
    check_model,
    prepare_corpus,
    token_bytes,
    validation_batches,
)
from ..training import TrainingSettings, train
from ..training.budget import fit_steps, seconds_per_step
from ..training.checkpoint import differences, latest_checkpoint, read_state
from ..training.config import FREE_TO_CHANGE
from ..training.workers import resolve_threads
from . import _telling
from ._telling import Say

RUN, REPORT = "run.json", "report.json"
_DATA = {PREPARED, TRAIN, VALIDATION, DIGESTS, *TOKENIZER_FILES}  # what the folder data/ holds
_PREPARING = {"data", LOCK, *TOKENIZER_FILES}  # what stands in a run's directory before run.json does
_OURS = re.compile(
    r"run\.json|report\.json|(log|timing)\.jsonl(\.damaged\d*)?|loss\.png|latest|step-\d+(\.tmp|\.old)?"
    r"|config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
)
MEASURED = 2.0  # seconds of real steps, to say how long the rest will take
UNTRAINED = 8  # tales of the untrained model that are counted: all of them are nonsense


@dataclasses.dataclass(frozen=True)
class Plan:
    """A new run: recipe and settings; minutes: as many steps as fit into them instead of `settings.steps`."""

    recipe: Recipe
    settings: TrainingSettings
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes must be a finite number above 0, got {self.minutes}")
        check_model(self.recipe)


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
def writing(directory: Path) -> Iterator[str]:
    """Hold the directory's lock, remove what a killed run left half-written, and give its state (`state_of`)."""
    state_of(directory)  # says what is wrong before anything is written there
    with sole_writer(directory):
        remove_leftovers(directory)
        if (directory / "data").is_dir():
            remove_leftovers(directory / "data")
        yield state_of(directory)


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


def carry_out(
    directory: Path, plan: Plan | None, say: Say, *, beginning: str | None = None, progress: bool = True
) -> dict[str, Any] | None:
    """Train a run to its end, from its beginning (`plan` given) or from where it stands; the report.

    beginning: shown now and then as the model goes on from it. None when it was interrupted: then everything
    needed to go on has been saved. For who holds the lock (`writing`).
    """
    began = time.perf_counter()
    if plan is None:
        recipe, settings, before = read_run(directory)
    else:
        recipe, settings = plan.recipe, plan.settings
    say(f"text       {describe(recipe.data)}")
    corpus = prepare_corpus(recipe, directory / "data")
    tokenizer = corpus.tokenizer
    per_token = corpus.train.text_bytes / max(1, len(corpus.train))
    say(
        f"tokenizer  {tokenizer.vocab_size:,} tokens; {len(corpus.train):,} of them to train on "
        f"({per_token:.2f} bytes each), {len(corpus.validation):,} held out"
    )
    model = build_model(recipe, tokenizer)
    say(f"model      {recipe.family}, {model.parameter_count:,} parameters, {recipe.layers} layers × {recipe.width}")
    sampler, validation = batches(recipe, corpus), validation_batches(recipe, corpus)
    lengths = token_bytes(corpus, model)
    settings = dataclasses.replace(settings, threads=resolve_threads(settings.threads))
    say("measuring a step (the first compiles the kernels, if that was not done before) …")
    seconds = seconds_per_step(model, sampler, settings, seconds=MEASURED)
    if plan is not None:
        if plan.minutes is not None:
            settings = fit_steps(settings, seconds, plan.minutes)
        tokenizer.save(directory)
        before = _telling.measure(model, corpus, recipe, validation, lengths, settings.threads, tales=UNTRAINED)
        stored = {"recipe": recipe.to_json(), "training": settings.to_json(), "untrained": before}
        write_json(directory / RUN, {**stored, "sha256": _digest(stored)})
    else:
        tokenizer.save(directory)
    rows = settings.micro_batches * recipe.batch_size
    say(
        f"training   {settings.steps:,} steps of {rows} × {recipe.context} tokens, "
        f"{settings.steps * rows * recipe.context:,} in all; {settings.threads} threads, seed {recipe.seed}"
    )
    left = settings.steps - _step(directory)
    say(f"time       {seconds * 1000:.0f} ms a step now, so {_duration(left * seconds)} for {left:,} steps")
    if beginning is None:
        say(f"\nbefore training it says:\n{_telling.quoted(before['sample'], 400)}")
    outcome = train(
        model,
        sampler,
        settings,
        directory=directory,
        validation=validation,
        token_bytes=lengths,
        resume=plan is None,
        open_model=from_pretrained,
        identity={**recipe.to_json(), "text and tokenizer": sha256(directory / "data" / DIGESTS)},
        progress=progress,
        title=f"{directory.name}: {recipe.family}, {model.parameter_count:,} parameters on {describe(recipe.data)}",
        report=say,
        on_step=None if beginning is None else _telling.glimpses(tokenizer, beginning, settings.steps, say),
    )
    if not outcome.finished:
        return None
    after = _telling.measure(model, corpus, recipe, validation, lengths, settings.threads, tales=_telling.COUNTED)
    report = {
        "directory": str(directory),
        "parameters": model.parameter_count,
        "steps": outcome.step,
        "tokens": outcome.tokens,
        "seconds": round(time.perf_counter() - began, 1),
        "training_seconds": round(outcome.seconds, 1),
        "training_loss": outcome.loss,
        "untrained": before,
        "trained": after,
    }
    write_json(directory / REPORT, report)
    return report


def _duration(seconds: float) -> str:
    return f"about {seconds:.0f} seconds" if seconds < 100 else f"about {seconds / 60:.1f} minutes"


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
    if stored.get("sha256", _digest(parts)) != _digest(parts):
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


def _digest(parts: dict[str, Any]) -> str:
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
    return f"step {_step(directory)} of {settings.steps}"


def _step(directory: Path) -> int:
    """The step of the latest checkpoint, 0 if there is none."""
    checkpoint = latest_checkpoint(directory)
    return 0 if checkpoint is None else int(checkpoint.name.removeprefix("step-").removesuffix(".old"))
