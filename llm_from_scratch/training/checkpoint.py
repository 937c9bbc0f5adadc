"""Checkpoints of a run: everything needed to go on as if nothing had happened.

    runs/NAME/step-120/   model.safetensors, config.json   the model, in its published layout
                          optimizer.safetensors            AdamW's moments
                          state.json                       step, position in the data, settings, length of the log
                          SHA256SUMS                       what each of these files was, checked when they are read
    runs/NAME/latest      the name of the newest complete checkpoint

A checkpoint is filled as `step-120.tmp`, flushed to the disk and renamed; then `latest` is replaced; then old ones go.
Whenever the process is killed, `latest` names a complete checkpoint.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoints, families
from ..files.atomic import atomic_directory, remove_leftovers, write_json, write_text
from ..files.digests import check_digests, write_digests
from ..files.safetensors import write_safetensors
from ..files.sharded import read_safetensors
from ..files.strict_json import json_entry, read_json_object
from ..kernels.dispatch import backend
from .adamw import AdamW

FORMAT = "llm_from_scratch checkpoint 2"
_WITHOUT_DIGESTS = "llm_from_scratch checkpoint 1"
LATEST = "latest"
_STEP = re.compile(r"step-(\d+)")


def save_checkpoint(
    directory: str | os.PathLike[str], step: int, *, model: Any, optimizer: AdamW, state: dict[str, Any], keep: int = 2
) -> Path:
    """Write `directory`/step-N, point `latest` to it, and remove all but the newest `keep`; return its path.

    state: what else is to be remembered, JSON-able. On any error (a full disk, for one) the checkpoints that were there
    are untouched.
    """
    directory = Path(directory)
    name = f"step-{step}"
    with atomic_directory(directory / name) as folder:
        model.save_pretrained(folder, dtype=model.dtype)  # rounded to a stored float16, a run would not resume exactly
        write_safetensors(folder / "optimizer.safetensors", optimizer.state_dict())
        write_json(folder / "state.json", {"format": FORMAT, "step": step, **state, "environment": environment()})
        write_digests(folder)
    write_text(directory / LATEST, name + "\n")
    _prune(directory, keep, name)
    return directory / name


def latest_checkpoint(directory: str | os.PathLike[str]) -> Path | None:
    """The checkpoint that `latest` names, or None when there is none yet.

    ValueError when the pointer is damaged or names nothing that exists.
    """
    directory = Path(directory)
    pointer = directory / LATEST
    if not pointer.exists():
        return None
    name = pointer.read_text(encoding="utf-8", errors="replace").strip()
    if not _STEP.fullmatch(name):
        raise ValueError(f"{pointer} should hold the name of a checkpoint such as step-120, it holds {name[:80]!r}")
    folder = directory / name
    aside = folder.with_name(name + ".old")
    if not folder.exists() and aside.exists():  # killed while a checkpoint of the same step was being replaced
        return aside
    if not (folder / "state.json").exists():
        others = sorted((p.name for p in directory.glob("step-*") if _STEP.fullmatch(p.name)), key=_number)
        hint = f"write one of these into {pointer}: {', '.join(others)}" if others else "start the run again"
        raise ValueError(f"{pointer} names {name}, which is not there or not complete; {hint}")
    return folder


def read_state(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The state.json of a checkpoint, its format checked; ValueError naming file and key for a damaged one."""
    path = Path(folder) / "state.json"
    state = read_json_object(path)
    if state.get("format") not in (FORMAT, _WITHOUT_DIGESTS):
        raise ValueError(f"{folder} is not a checkpoint of this program: its 'format' is {state.get('format')!r}")
    step, name = json_entry(state, "step", "a whole number", path, least=0), path.parent.name.removesuffix(".old")
    if _STEP.fullmatch(name) and _number(name) != step:
        raise ValueError(f"{path}: 'step' is {step}, but the checkpoint is that of {name}")
    json_entry(state, "environment", "an object", path)
    return state


def load_checkpoint(
    folder: str | os.PathLike[str],
    *,
    model: Any,
    optimizer: AdamW | None = None,
    open_model: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Fill model and optimizer from a checkpoint; return its state.

    open_model: reads a directory that `model.save_pretrained` wrote, called as open_model(folder, dtype=…); default
    `checkpoints.from_pretrained`. ValueError when the checkpoint belongs to another model (its config differs, if it
    has one) or a file is not what it was when it was written. Checkpoints of earlier versions have no digests and
    are read unchecked.
    """
    folder = Path(folder)
    state = read_state(folder)
    if state["format"] != _WITHOUT_DIGESTS:
        check_digests(folder, "go on from another checkpoint (its name belongs into the file `latest`), or start again")
    opener = checkpoints.from_pretrained if open_model is None else open_model
    stored = opener(folder, dtype=model.dtype)
    changes = differences(_config(stored), _config(model))
    if changes:
        raise ValueError(f"{folder} is a checkpoint of another model ({'; '.join(changes)})")
    moments = read_safetensors(folder / "optimizer.safetensors") if optimizer is not None else {}
    model.load_state_dict(stored.state_dict())
    if optimizer is not None:
        optimizer.load_state_dict(moments)
    return state


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, what is different now; values as in JSON.

    >>> differences({"heads": 2, "width": 16}, {"heads": 4, "width": 16, "depth": 1})
    ['heads: 2, now 4', 'depth: not set, now 1']
    """
    then, now = ({key: json.dumps(value, default=str) for key, value in content.items()} for content in (then, now))
    return [
        f"{key}: {then.get(key, 'not set')}, now {now.get(key, 'not set')}"
        for key in dict.fromkeys([*then, *now])
        if then.get(key) != now.get(key)
    ]


def _config(model: Any) -> dict[str, Any]:
    """What a model's config.json says of it, without keys that only say how weights begin."""
    config = dict(getattr(model, "config", {}))
    if "model_type" in config:
        return {**config, **families.find_family(config["model_type"]).as_saved}
    return config


def environment() -> dict[str, Any]:
    """What the last digits of a computation depend on, besides its settings."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernels": backend(),
        "machine": platform.machine(),
        "system": platform.system(),
    }


def resume_notes(state: dict[str, Any]) -> list[str]:
    """In words, why the run may not repeat to the byte; empty: it will."""
    changes = differences(state["environment"], environment())
    notes = [f"resumed in another environment, the last digits may differ ({change})" for change in changes]
    if state["format"] == _WITHOUT_DIGESTS:
        notes.append("an earlier version made the checkpoint, without digests: whether it is undamaged was not checked")
    return notes


def tidy(directory: str | os.PathLike[str]) -> None:
    """Remove what a killed run left half-written."""
    directory = Path(directory)
    if not directory.is_dir():
        return
    remove_leftovers(directory)
    for path in directory.iterdir():
        if _STEP.fullmatch(path.name.removesuffix(".tmp")) and path.name.endswith(".tmp"):
            shutil.rmtree(path)
    for aside in directory.glob("step-*.old"):
        complete = aside.with_name(aside.name[: -len(".old")])
        if complete.exists():
            shutil.rmtree(aside)
        else:
            os.replace(aside, complete)


def _prune(directory: Path, keep: int, newest: str) -> None:
    steps = sorted((p for p in directory.iterdir() if _STEP.fullmatch(p.name) and p.name != newest), key=_path_number)
    # A run that was set back to an earlier checkpoint leaves later ones behind: they are not its own any more.
    later = [p for p in steps if _number(p.name) > _number(newest)]
    earlier = [p for p in steps if _number(p.name) < _number(newest)]
    for path in later + earlier[: max(0, len(earlier) - (keep - 1))]:
        doomed = path.with_name(path.name + ".tmp")  # renamed first: half a checkpoint must not look like a whole one
        if doomed.exists():
            shutil.rmtree(doomed)
        os.replace(path, doomed)
        shutil.rmtree(doomed)


def _number(name: str) -> int:
    return int(name.removeprefix("step-"))


def _path_number(path: Path) -> int:
    return _number(path.name)
