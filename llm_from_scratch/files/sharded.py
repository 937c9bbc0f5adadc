"""Checkpoints of several safetensors files: `model-00001-of-00003.safetensors`, … and an index that says what
is where.

`open_checkpoint` reads a directory (or one file) as a single mapping; `write_checkpoint` writes one, leaving
an earlier checkpoint usable if it fails half-way. Pickled weights (`pytorch_model.bin`) can run code when
read: they are not.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from .atomic import LEFTOVER_SECONDS, STAGING, write_text
from .safetensors import Entry, SafetensorsFile, TensorSource, source_of, write_safetensors
from .strict_json import read_json_object

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Checkpoint(Mapping[str, np.ndarray]):
    """All tensors of one or several safetensors files; `checkpoint[name]` is a read-only view into a memory
    map.

    absent: tensors that an index lists and no file holds. Converters leave behind a tied head, or tables that are
    computed: whether they are missed is for whoever knows the model to say.
    """

    def __init__(self, files: list[SafetensorsFile]) -> None:
        self.absent: set[str] = set()
        self._home: dict[str, SafetensorsFile] = {}
        self.metadata: dict[str, str] = {}
        for file in files:
            self.metadata.update(file.metadata)
            for name in file:
                if name in self._home:
                    raise ValueError(f"tensor {name!r} stands in {self._home[name].path} and again in {file.path}")
                self._home[name] = file

    def __getitem__(self, name: str) -> np.ndarray:
        return self._home[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._home)

    def __len__(self) -> int:
        return len(self._home)

    def entry(self, name: str) -> Entry:
        """Number format and shape of a tensor, without touching its bytes."""
        return self._home[name].entries[name]

    def copy(self, name: str, view: np.ndarray, into: np.ndarray, slab: int = 1 << 24) -> None:
        """Copy `view` (`self[name]`, sliced, reshaped or transposed) into an array of its shape, converting.

        Goes in slabs of about `slab` bytes and gives the pages back, so that little more than `into` is held.
        """
        if view.nbytes <= slab or view.ndim == 0:
            np.copyto(into, view, casting="unsafe")
            return
        # Along the axis that is slowest in the file: each page is then read once, also through a transposed
        # view.
        axis = int(np.argmax(view.strides))
        view, into = np.moveaxis(view, axis, 0), np.moveaxis(into, axis, 0)
        rows = max(1, slab * len(view) // view.nbytes)
        for row in range(0, len(view), rows):
            np.copyto(into[row : row + rows], view[row : row + rows], casting="unsafe")
            self.release(name)

    def release(self, name: str) -> None:
        """Give back the memory pages of the file that holds `name`."""
        self._home[name].release()


def open_checkpoint(path: str | os.PathLike[str], *, allow_absent: bool = False) -> Checkpoint:
    """Open a directory with model.safetensors or a sharded index, an index, or a single .safetensors file.

    Everything is checked here, before a tensor is read: headers, offsets, that the index and its shards
    agree. As in the transformers library, a directory with both uses the single file. allow_absent: accept an
    index that lists tensors which no shard holds, see `Checkpoint`. Raises FileNotFoundError when there are no
    weights (naming what is there instead), ValueError when files lie or disagree.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint at {path}: no such file or directory")
    if path.is_file():
        if path.name.endswith(".json"):
            return _open_sharded(path, allow_absent)
        return Checkpoint([SafetensorsFile(path)])
    if (path / SINGLE).exists():
        return Checkpoint([SafetensorsFile(path / SINGLE)])
    if (path / INDEX).exists():
        return _open_sharded(path / INDEX, allow_absent)
    pickled = sorted(entry.name for pattern in _PICKLED for entry in path.glob(pattern))
    if pickled:
        raise FileNotFoundError(
            f"{path} holds pickled weights ({', '.join(pickled[:3])}), which can run code when opened "
            "and are not read. Convert them to safetensors first (the transformers library's save_pretrained "
            "does), or fetch the checkpoint's safetensors version"
        )
    others = sorted(entry.name for entry in path.iterdir())
    raise FileNotFoundError(
        f"{path} holds no weights: neither {SINGLE} nor {INDEX}. "
        + (f"It holds {', '.join(others[:8])}" if others else "It is empty")
    )


def _open_sharded(index: Path, allow_absent: bool) -> Checkpoint:
    content = read_json_object(index)
    where = content.get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(shard, str) for shard in where.values()):
        raise ValueError(f'{index} has no usable "weight_map": an object {{tensor name: shard file name}} was expected')
    shards = sorted(set(where.values()))
    for shard in shards:
        # Judged by the rules of both systems: a checkpoint written on one is read on the other.
        if shard in ("", ".", "..") or any(kind(shard).name != shard for kind in (PurePosixPath, PureWindowsPath)):
            raise ValueError(f"{index} names the shard {shard!r}; only plain names of files beside the index are read")
    missing = [shard for shard in shards if not (index.parent / shard).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{index} names {len(shards)} shards, of which {len(missing)} are missing: "
            f"{', '.join(missing[:5])}. Was the download interrupted?"
        )
    files = [SafetensorsFile(index.parent / shard) for shard in shards]
    checkpoint = Checkpoint(files)
    by_name = {file.path.name: file for file in files}
    for name, shard in where.items():
        if name not in by_name[shard]:
            if name in checkpoint or not allow_absent:
                raise ValueError(f"{index} says that tensor {name!r} is in {shard}, but it is not there")
            checkpoint.absent.add(name)
    for name in checkpoint:
        if name not in where:
            raise ValueError(f"{index} does not mention tensor {name!r}, which one of its shards holds")
    return checkpoint


def parse_size(size: int | str) -> int:
    """Bytes of a size given as a number or as the transformers library writes it.

    >>> parse_size("5GB"), parse_size("200KiB"), parse_size(1000)
    (5000000000, 204800, 1000)
    """
    match = re.fullmatch(r"(\d+) ?([a-zA-Z]*)", size) if isinstance(size, str) else None
    if match and match[2].upper() in _UNITS:
        size = int(match[1]) * _UNITS[match[2].upper()]
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ValueError(f'a shard size is a positive number of bytes, or text such as "5GB" or "200MB"; got {size!r}')
    return size


def write_checkpoint(
    directory: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray | TensorSource],
    *,
    texts: Mapping[str, str] | None = None,
    replaced: Iterable[str] = (),
    max_shard_size: int | str = "5GB",
    metadata: Mapping[str, str] | None = None,
) -> list[str]:
    """Write tensors and small text files (config.json) into `directory`; return the names of the files.

    Above `max_shard_size` bytes the tensors go, in their order, into several files and an index. Other files
    in the directory stay, except those named in `replaced`, which would say something else of the new ones.
    Everything is first written to a temporary directory inside, then moved into place: a full disk or any other
    error leaves what was there as it was. (A kill between two of the final renames can mix an old and a new
    file; training therefore renames whole directories.)

    Raises OSError when the disk refuses, TypeError for what cannot be stored.
    """
    directory = Path(directory)
    limit = parse_size(max_shard_size)
    sources = {name: source_of(name, value) for name, value in tensors.items()}
    shards = _pack(sources, limit)
    names = [SINGLE] if len(shards) == 1 else [_shard_name(i, len(shards)) for i in range(len(shards))]
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"cannot save into {directory}: it is a file, a directory was expected")
    made = _first_missing(directory)
    staging = directory / f"{STAGING}{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        staging.mkdir(parents=True)
        _remove_old_stagings(directory)
        for name, shard in zip(names, shards, strict=True):
            write_safetensors(staging / name, shard, {"format": "pt", **(metadata or {})})
        files = dict(texts or {})
        if len(shards) > 1:
            where = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
            total = sum(source.nbytes for source in sources.values())
            index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
            files[INDEX] = json.dumps(index, indent=2, ensure_ascii=False) + "\n"
        for name, text in files.items():
            write_text(staging / name, text)
        _move_into_place(staging, directory, [*names, *files], replaced)
    except BaseException as error:
        shutil.rmtree(made or staging, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            message = f"the disk is full: nothing was saved, and {directory} is as it was before. Free some space"
            raise OSError(error.errno, message) from error
        raise
    shutil.rmtree(staging)
    return [*names, *files]


def _pack(sources: dict[str, TensorSource], limit: int) -> list[dict[str, TensorSource]]:
    shards: list[dict[str, TensorSource]] = [{}]
    filled = 0
    for name, source in sources.items():
        if shards[-1] and filled + source.nbytes > limit:
            shards.append({})
            filled = 0
        shards[-1][name] = source
        filled += source.nbytes
    return shards


def _move_into_place(staging: Path, directory: Path, written: list[str], replaced: Iterable[str]) -> None:
    old = [entry.name for entry in directory.iterdir() if _SHARD.fullmatch(entry.name)]
    old += [name for name in (SINGLE, INDEX, *replaced) if (directory / name).exists()]
    undo: list[tuple[Path, Path]] = []

    def move(source: Path, target: Path) -> None:
        os.replace(source, target)
        undo.append((target, source))

    aside = staging / "old"
    aside.mkdir()
    try:
        # The old files too: a checkpoint of another number of shards must not stay behind.
        for name in dict.fromkeys([*written, *old]):
            if (directory / name).exists():
                move(directory / name, aside / name)
            if name in written:
                move(staging / name, directory / name)
    except BaseException:
        for target, source in reversed(undo):
            with contextlib.suppress(OSError):  # put back what goes; the first error is the one to report
                os.replace(target, source)
        raise


def _remove_old_stagings(directory: Path) -> None:
    for entry in directory.glob(f"{STAGING}*.tmp"):
        if time.time() - entry.stat().st_mtime > LEFTOVER_SECONDS:  # no writer takes so long: it was killed
            shutil.rmtree(entry, ignore_errors=True)


def _shard_name(number: int, count: int) -> str:
    return f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _first_missing(directory: Path) -> Path | None:
    missing = None
    for folder in (directory, *directory.parents):
        if folder.exists():
            break
        missing = folder
    return missing


def read_safetensors(path: str | os.PathLike[str], dtype: Any = None) -> dict[str, np.ndarray]:
    """All tensors of a file or directory as arrays of their own; floating ones become `dtype` if given."""
    checkpoint = open_checkpoint(path)
    result = {}
    for name in checkpoint:
        kind = checkpoint.entry(name).dtype
        floating = kind.kind in "fV"  # NumPy calls bfloat16 "void"
        wanted = dtype if dtype is not None and floating else kind.newbyteorder("=")
        result[name] = np.array(checkpoint[name], dtype=wanted)
        checkpoint.release(name)
    return result
