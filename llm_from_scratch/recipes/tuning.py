"""One run of tuning a model that exists already: supervised, on preferences, with adapters.

    runs/NAME/run.json     the command, its settings and what the model was like before; written before anything trains
              …            what `training.loop` writes: log.jsonl, loss.png, checkpoints, the finished model
              figures.png  what was measured on the way
              tokenizer.json, chat_template.jinja, report.json

A technique says in a `Tuning` what it trains, on what and towards what; it makes the same one from the same settings,
so that `run.json` is all a run needs to be taken up again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic import remove_leftovers, write_json, write_text
from ..files.lock import LOCK, sole_writer
from ..files.strict_json import json_entry, read_json_object
from ..tokenizers import Tokenizer
from ..training import TrainingSettings, next_token, train
from ..training.checkpoint import differences, latest_checkpoint
from ..training.exchange import Exchange
from ..training.objectives import Objective
from ..training.run import Measures, OnStep, Sampler
from .figures import plot_figures
from .recipe import TOKENIZER_FILES

RUN, REPORT, TEMPLATE, PICTURE = "run.json", "report.json", "chat_template.jinja", "figures.png"
ADAPTER = "adapter"  # a folder: what was trained, where the model holds it merged
_OURS = re.compile(
    r"run\.json|report\.json|chat_template\.jinja|(log|timing)\.jsonl(\.damaged\d*)?|(loss|figures|statistics)\.png|latest"
    r"|statistics\.jsonl|step-\d+(\.tmp|\.old)?|(generation_)?config\.json|spec\.json|model(-\d+-of-\d+)?\.safetensors"
    r"|model\.safetensors\.index\.json|adapter_(config\.json|model\.safetensors)|value_head\.json|writer\.lock"
    rf"|{ADAPTER}"
)
Say = Callable[[str], None]


@dataclasses.dataclass
class Tuning:
    """What a technique hands to a run.

    model: what trains, a decoder or a module around one. sampler, objective, settings, validation, measures, on_step:
    as `train` takes them; measures are taken before and after in any case. identity: what else decides the numbers,
    JSON-able (digests of a reference, of the data). samples: texts as they come out of the model now, shown before and
    after. save: writes what is kept at the end, where that is not the whole model in its published layout
    (`save_pretrained`, which happens by itself). template: a chat template (Jinja) that belongs to the tuned model.
    """

    model: Any
    tokenizer: Tokenizer
    sampler: Sampler
    settings: TrainingSettings
    objective: Objective = next_token
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    validation: Callable[[], Iterable[dict[str, np.ndarray]]] | None = None
    measures: Measures | None = None
    on_step: OnStep | None = None
    samples: Callable[[Any], list[dict[str, str]]] | None = None
    save: Callable[[Path], None] | None = None
    template: str | None = None


def state_of(directory: str | os.PathLike[str]) -> str:
    """'new', 'unfinished' or 'finished'; ValueError for a directory that holds something else.

    >>> state_of("there/is/nothing")
    'new'
    """
    directory = Path(directory)
    if not directory.exists():
        return "new"
    if not directory.is_dir():
        raise ValueError(f"{directory} is a file: choose a directory to write to")
    if (directory / RUN).exists():
        if "command" not in read_json_object(directory / RUN):
            raise ValueError(f"{directory} holds a run of another kind: choose another directory")
        return "finished" if (directory / REPORT).exists() else "unfinished"
    foreign = sorted(path.name for path in directory.iterdir() if path.name != LOCK)
    if foreign:
        raise ValueError(f"{directory} holds other files ({', '.join(foreign[:3])}): choose another directory")
    return "new"


@contextlib.contextmanager
def writing(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the directory's lock, and remove what a killed run left half-written."""
    state_of(directory)  # says what is wrong before anything is written there
    with sole_writer(directory):
        remove_leftovers(Path(directory))
        yield


def clear(directory: str | os.PathLike[str]) -> None:
    """Remove a run, and nothing else that may stand beside it; run.json goes last, so that a kill leaves a run."""
    doomed = [p for p in Path(directory).iterdir() if _OURS.fullmatch(p.name) or p.name in TOKENIZER_FILES]
    for path in sorted(doomed, key=lambda path: path.name == RUN):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


def carry_out(
    directory: str | os.PathLike[str],
    command: str,
    make: Callable[[dict[str, Any]], Tuning],
    settings: Mapping[str, Any] | None = None,
    *,
    say: Say = print,
    progress: bool = True,
    exchange: Exchange | None = None,
) -> dict[str, Any] | None:
    """Tune from the beginning (`settings` given, JSON-able) or go on from where the run stands (None); the report.

    make: from the settings to a `Tuning`; called once, whether the run begins or goes on. None is returned when the run
    was interrupted: everything needed to go on is saved then. A finished run gives its report again. Raises ValueError
    for a directory that holds another run, and for settings that are not those it was begun with. exchange: as `train`
    takes it; of several ranks all call this.
    """
    directory, began = Path(directory), time.perf_counter()
    exchange = exchange or Exchange()
    with exchange.ending_together(), writing(directory) if exchange.leads else contextlib.nullcontext():
        state = exchange.alone(lambda: state_of(directory))
        if settings is None:
            if state == "new":
                raise ValueError(f"there is no run to go on with in {directory}")
            stored = read_run(directory, command)
            if state == "finished":
                return read_json_object(directory / REPORT)
            settings, before = stored["settings"], stored["before"]
        else:
            if state != "new":
                raise ValueError(f"{directory} holds a run already ({state}): resume it or choose another directory")
            settings = json.loads(json.dumps(dict(settings), allow_nan=False))  # as it will be read again
            before = None
        chosen = dict(settings)
        exchange.agree(lambda: {"command": command, "settings": chosen})  # before anything is written
        tuning = exchange.first(lambda: make(dict(chosen)))
        exchange.check_rows(getattr(tuning.sampler, "batch_size", None))
        if before is None:
            before = exchange.alone(lambda: _look(tuning), patient=True)
            told = {"command": command, "settings": settings, "before": before}
            exchange.alone(lambda: write_json(directory / RUN, {**told, "sha256": _digest(told)}))
        exchange.alone(lambda: _write_beside(tuning, directory))
        _show(before, "before", say)
        trains = sum(p.data.size for _, p in tuning.model.named_parameters() if p.requires_grad)
        say(f"training   {tuning.settings.steps:,} steps, {trains:,} numbers train")
        outcome = train(
            tuning.model,
            tuning.sampler,
            tuning.settings,
            objective=tuning.objective,
            on_step=tuning.on_step,
            directory=directory,
            validation=tuning.validation,
            measures=tuning.measures,
            resume=state == "unfinished",
            identity={"command": command, **settings, **tuning.identity},
            progress=progress,
            title=f"{directory.name}: {command}",
            report=say,
            exchange=exchange,
        )
        if not outcome.finished:
            return None
        after = exchange.alone(lambda: _look(tuning), patient=True)
        _show(after, "after", say)
        exchange.alone(lambda: _write_end(tuning, directory, command, say))
        report = {
            "command": command,
            "directory": str(directory),
            "steps": outcome.step,
            "counted": outcome.tokens,
            "trainable": trains,
            "training_loss": outcome.loss,
            "training_seconds": round(outcome.seconds, 1),
            "seconds": round(time.perf_counter() - began, 1),
            "before": before,
            "after": after,
        }
        exchange.alone(lambda: write_json(directory / REPORT, report))
        return report


def _write_beside(tuning: Tuning, directory: Path) -> None:
    tuning.tokenizer.save(directory)
    if tuning.template is not None:
        write_text(directory / TEMPLATE, tuning.template)


def _write_end(tuning: Tuning, directory: Path, command: str, say: Say) -> None:
    if tuning.save is not None:
        tuning.save(directory)
    try:
        plot_figures(directory, directory / PICTURE, f"{directory.name}: {command}")
    except ValueError as error:  # nothing was measured on the way
        say(f"note: there is no picture of the run ({error})")


def read_run(directory: str | os.PathLike[str], command: str | None = None) -> dict[str, Any]:
    """What `run.json` says: "command", "settings", "before"; ValueError naming what is wrong or was changed."""
    path = Path(directory) / RUN
    stored = read_json_object(path)
    parts: dict[str, Any] = {"command": json_entry(stored, "command", "text", path)}
    parts |= {key: json_entry(stored, key, "an object", path) for key in ("settings", "before")}
    if command is not None and parts["command"] != command:
        raise ValueError(f"{directory} is a run of `{parts['command']}`, not of `{command}`")
    if stored.get("sha256") != _digest(parts):
        raise ValueError(f"{path} is not what it was when the run began (its 'sha256' is of another): undo the change")
    return parts


def how_far(directory: str | os.PathLike[str]) -> str:
    """In words, where an unfinished run stands."""
    checkpoint = latest_checkpoint(directory)
    return "its beginning" if checkpoint is None else checkpoint.name.removesuffix(".old").replace("-", " ")


def changed_settings(directory: str | os.PathLike[str], settings: Mapping[str, Any]) -> list[str]:
    """In words, in what these settings differ from those of the run in `directory`."""
    return differences(read_run(directory)["settings"], json.loads(json.dumps(dict(settings))))


def _look(tuning: Tuning) -> dict[str, Any]:
    """The model as it is now: figures and samples."""
    figures = {} if tuning.measures is None else {n: float(v) for n, v in tuning.measures(tuning.model).items()}
    return {"figures": figures, "samples": [] if tuning.samples is None else tuning.samples(tuning.model)}


def _show(look: dict[str, Any], when: str, say: Say) -> None:
    for name, value in look["figures"].items():
        say(f"{when:10} {name} {value:.4g}")
    for sample in look["samples"]:
        say("")
        for name, text in sample.items():
            say(f"{when:10} {name}: {text}")


def _digest(parts: Mapping[str, Any]) -> str:
    kept = {name: parts[name] for name in ("command", "settings", "before")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
