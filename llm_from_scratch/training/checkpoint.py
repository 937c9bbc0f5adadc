"""Checkpoints of a run: everything needed to go on as if nothing had happened.

    runs/NAME/step-120/   model.safetensors       the parameters that train, under their own names
                          optimizer.safetensors   what the optimiser remembers
                          state.json              step, position in the data, settings, length of the log, which model
                          SHA256SUMS              what each of these files was, checked when they are read
    runs/NAME/latest      the name of the newest complete checkpoint

It is no export: of any model it holds what trains, and of what is frozen the digest, so that a run goes on beside the
same frozen weights or not at all.

A checkpoint is filled as `step-120.tmp`, flushed to the disk and renamed; then `latest` is replaced; then old ones go.
Whenever the process is killed, `latest` names a complete checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic import atomic_directory, remove_leftovers, write_json, write_text
from ..files.digests import check_digests, write_digests
from ..files.safetensors import write_safetensors
from ..files.sharded import read_safetensors
from ..files.strict_json import json_entry, read_json_object
from ..kernels.dispatch import backend

FORMAT = "llm_from_scratch checkpoint 3"
_PUBLISHED = "llm_from_scratch checkpoint 2"  # earlier: the whole model in its published layout
_WITHOUT_DIGESTS = "llm_from_scratch checkpoint 1"  # earlier still
LATEST = "latest"
_FROZEN = "sha256 of what is frozen"
_STEP = re.compile(r"step-(\d+)")


def save_checkpoint(
    directory: str | os.PathLike[str], step: int, *, model: Any, optimizer: Any, state: dict[str, Any], keep: int = 2
) -> Path:
    """Write `directory`/step-N, point `latest` to it, and remove all but the newest `keep`; return its path.

    optimizer: an optimiser, or what its `state_dict` gave. state: what else is to be remembered, JSON-able; its "model"
    is what `describe` says. On any error (a full disk, for one) the checkpoints that were there are untouched.
    """
    directory = Path(directory)
    name = f"step-{step}"
    remembered = optimizer if isinstance(optimizer, Mapping) else optimizer.state_dict()
    state = state if "model" in state else {"model": describe(model), **state}
    with atomic_directory(directory / name) as folder:
        write_safetensors(folder / "model.safetensors", {name: p.stored for name, p in trained(model).items()})
        write_safetensors(folder / "optimizer.safetensors", remembered)
        write_json(folder / "state.json", {"format": FORMAT, "step": step, **state, "environment": environment()})
        write_digests(folder)
    write_text(directory / LATEST, name + "\n")
    _prune(directory, keep, name)
    return directory / name


def trained(model: Any) -> dict[str, Any]:
    """The parameters that train, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def weights(model: Any) -> dict[str, Any]:
    """Everything a model holds: its parameters' arrays, or what its `weights()` lists (packed matrices, too)."""
    return model.weights() if hasattr(model, "weights") else {name: p.stored for name, p in model.named_parameters()}


def describe(model: Any) -> dict[str, Any]:
    """What a checkpoint notes of its model: what that says of itself (`describe()`, JSON-able, or a `config`), and the
    digest of what does not train.
    """
    said = model.describe() if hasattr(model, "describe") else dict(getattr(model, "config", {}))
    trains = trained(model)
    frozen = {name: array for name, array in weights(model).items() if name not in trains}
    return {**said, _FROZEN: digest_of(frozen)} if frozen else said


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays by name: of their names, dtypes, shapes and numbers."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


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


def snapshots(directory: str | os.PathLike[str]) -> dict[int, Path]:
    """The complete checkpoints in a run's directory, by their steps."""
    found = (path for path in Path(directory).glob("step-*") if _STEP.fullmatch(path.name))
    return {_number(path.name): path for path in sorted(found, key=_path_number) if (path / "state.json").exists()}


def read_state(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The state.json of a checkpoint, its format checked; ValueError naming file and key for a damaged one."""
    path = Path(folder) / "state.json"
    state = read_json_object(path)
    if state.get("format") not in (FORMAT, _PUBLISHED, _WITHOUT_DIGESTS):
        raise ValueError(f"{folder} is not a checkpoint of this program: its 'format' is {state.get('format')!r}")
    step, name = json_entry(state, "step", "a whole number", path, least=0), path.parent.name.removesuffix(".old")
    if _STEP.fullmatch(name) and _number(name) != step:
        raise ValueError(f"{path}: 'step' is {step}, but the checkpoint is that of {name}")
    for key in ("environment", "model") if state["format"] == FORMAT else ("environment",):
        json_entry(state, key, "an object", path)
    return state


def load_checkpoint(
    folder: str | os.PathLike[str],
    *,
    model: Any,
    optimizer: Any = None,
    open_model: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """Fill model and optimizer from a checkpoint; return its state.

    ValueError, with nothing changed, when the checkpoint belongs to another model, or to other frozen weights, or a
    file is not what it was when it was written. open_model: opens checkpoints of earlier versions, which hold the model
    in its published layout, as open_model(folder, dtype=…); the earliest have no digests and are read unchecked.
    """
    state = verified_state(folder)
    fill(Path(folder), state, model, optimizer, open_model)
    return state


def verified_state(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The state of a checkpoint, all files of which are what they were when it was written."""
    state = read_state(folder)
    if state["format"] != _WITHOUT_DIGESTS:
        check_digests(folder, "go on from another checkpoint (its name belongs into the file `latest`), or start again")
    return state


def fill(
    folder: Path, state: dict[str, Any], model: Any, optimizer: Any, open_model: Callable[..., Any] | None
) -> None:
    """Model and optimizer from a checkpoint that was verified, see `load_checkpoint`."""
    parameters = trained(model)
    said, now = state.get("model", {}), describe(model)
    changes = _changes(flat(said), flat(now)) if state["format"] == FORMAT else ""
    if changes:
        raise ValueError(f"{folder} is a checkpoint of another model ({changes})")
    if state["format"] == FORMAT:
        arrays = read_safetensors(folder / "model.safetensors")
    elif open_model is None:
        raise ValueError(f"{folder} is of an earlier version, with a published model: pass open_model=from_pretrained")
    else:
        whole = open_model(folder, dtype=model.dtype).state_dict()
        arrays = {name: array for name, array in whole.items() if name in parameters}
    then = {name: f"{array.dtype}{array.shape}" for name, array in arrays.items()}
    changes = _changes(then, {name: f"{p.stored.dtype}{p.shape}" for name, p in parameters.items()})
    if changes:
        raise ValueError(f"{folder} holds other parameters than those that train now ({changes})")
    if said.get(_FROZEN) != now.get(_FROZEN) and state["format"] == FORMAT:
        raise ValueError(f"{folder} was trained beside other frozen weights: begin from the same ones to resume")
    if optimizer is not None:
        optimizer.load_state_dict(read_safetensors(folder / "optimizer.safetensors"))
    for name, parameter in parameters.items():
        parameter.data = arrays[name]


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changes = differences(*({key: side[key] for key in side if key != _FROZEN} for side in (then, now)))
    return "; ".join(changes[:5]) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")


def flat(content: Any, path: str = "") -> dict[str, Any]:
    """What is nested, by paths.

    >>> flat({"spec": {"layers": [{"heads": 2}, {"heads": 4}]}, "tied": True})
    {'spec.layers.0.heads': 2, 'spec.layers.1.heads': 4, 'tied': True}
    """
    if not isinstance(content, (Mapping, list, tuple)):
        return {path: content}
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    return {k: v for key, value in items for k, v in flat(value, f"{path}.{key}" if path else str(key)).items()}


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
