"""Write files so that a reader sees the old content or the new, never half of either.

One file: write under a temporary name in the same folder, flush to the disk, rename. Several files that
belong together: fill a `NAME.tmp` directory and rename that. A crash, Ctrl-C or a full disk leaves what
stood there before. These functions do not lock (`lock.py` does): of two writers of one path, the last to
finish wins, whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

# A temporary file this old belongs to no living writer. Only the leftovers of the same target are looked at.
LEFTOVER_SECONDS = 3600.0
STAGING = ".saving-"  # begins the name of a directory in which files that belong together are made; it ends in .tmp

_TEMPORARY = re.compile(r"\..+\.[0-9]+-[0-9a-f]+\.tmp", re.DOTALL)
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    r"""Open `path` for writing; it takes its new content only when the block ends without an error.

    mode: "w" (UTF-8, line ends written as they are on every platform) or "wb". Missing parent folders are
    made. Raises ValueError for another mode or a target that is not a plain file, OSError when the disk
    refuses; on any failure the temporary file is removed and the old file is intact.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder) / "greeting.txt") as file:
    ...         _ = file.write("good morning\n")
    ...     Path(folder, "greeting.txt").read_text(encoding="utf-8")
    'good morning\n'
    """
    if mode not in ("w", "wb"):
        raise ValueError(f'atomic_write: mode must be "w" or "wb", got {mode!r}')
    # Through a symbolic link: replacing the link itself would leave the file it points to unchanged.
    target = Path(os.path.realpath(path))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        what = "a directory" if target.is_dir() else "not a plain file"
        raise ValueError(f"cannot write {target}: it is {what}")
    temporary = target.parent / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    with _explain_full_disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_old_temporaries(target)
        try:
            if mode == "wb":
                file: IO[Any] = open(temporary, "xb")
            else:
                file = open(temporary, "x", encoding="utf-8", newline="\n")
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _fsync_directory(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_write(path) as file:
        file.write(text)


def write_bytes(path: str | os.PathLike[str], data: bytes | bytearray | memoryview) -> None:
    """Write `data`, atomically."""
    with atomic_write(path, "wb") as file:
        file.write(data)


def write_json(path: str | os.PathLike[str], obj: object) -> None:
    """Write `obj` as indented JSON, atomically. NaN and infinities are refused, as the JSON standard does.

    Nothing is written when `obj` cannot be expressed (TypeError or ValueError).
    """
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    # A path may hold bytes that are no text: Python makes lone surrogates of them, which UTF-8 has not, but JSON has.
    write_text(path, re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


@contextlib.contextmanager
def atomic_directory(final: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty directory `FINAL.tmp`; it becomes `final` only when the block ends without an error.

    Every file and directory in it is flushed to the disk before the rename. A `FINAL.tmp` that a killed run
    left is removed first. An existing `final` is moved aside to `FINAL.old` and removed after the rename (a
    kill between the two renames is repaired at the next call). On failure the temporary directory is removed
    and `final` is as before.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_directory(Path(folder) / "step-10") as step:
    ...         write_text(step / "note.txt", "ten steps")
    ...         step.name
    ...     sorted(entry.name for entry in Path(folder).iterdir())
    'step-10.tmp'
    ['step-10']
    """
    final = Path(final)
    if final.exists() and not final.is_dir():
        raise ValueError(f"cannot write directory {final}: a file of that name is in the way")
    temporary, aside = final.with_name(final.name + ".tmp"), final.with_name(final.name + ".old")
    with _explain_full_disk(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists():
            if final.exists():
                shutil.rmtree(aside)
            else:
                os.replace(aside, final)
        _remove(temporary)
        temporary.mkdir()
        try:
            yield temporary
            _fsync_tree(temporary)
            if final.exists():
                os.replace(final, aside)
            try:
                os.replace(temporary, final)
            except BaseException:
                if aside.exists():
                    os.replace(aside, final)
                raise
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _fsync_directory(final.parent)
        if aside.exists():
            shutil.rmtree(aside)


def is_temporary(name: str) -> bool:
    """Whether this is how `atomic_write` calls a file that is not finished yet.

    >>> is_temporary(".run.json.4711-0f3a9c21.tmp"), is_temporary("notes.tmp")
    (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: str | os.PathLike[str]) -> list[str]:
    """Remove what killed calls of `atomic_write` and `write_checkpoint` left in `folder`; return the names removed.

    For a folder that has one writer, such as a run: a temporary file of a living second writer would go too.
    """
    left = [entry for entry in Path(folder).iterdir() if is_temporary(entry.name) and entry.is_file()]
    staged = [entry for entry in Path(folder).glob(f"{STAGING}*.tmp") if entry.is_dir() and not entry.is_symlink()]
    for file in left:
        file.unlink()
    for directory in staged:
        shutil.rmtree(directory)
    return sorted(entry.name for entry in [*left, *staged])


@contextlib.contextmanager
def _explain_full_disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL and not getattr(error, "explained", False):
            message = (
                f"the disk is full: {target} was not written and is as it was before. "
                f"Free some space in {target.parent}, or choose another place"
            )
            explained = OSError(error.errno, message)
            explained.explained = True  # type: ignore[attr-defined]  # a nested writer explained it already
            raise explained from error
        raise


def _remove_old_temporaries(target: Path) -> None:
    now = time.time()
    for entry in target.parent.glob(f".{_escape(target.name)}.*-*.tmp"):
        # Another process may remove the same leftover at the same moment.
        with contextlib.suppress(FileNotFoundError):
            if entry.is_file() and now - entry.stat().st_mtime > LEFTOVER_SECONDS:
                entry.unlink()


def _escape(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fsync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            # Windows flushes only handles opened for writing.
            with open(os.path.join(folder, name), "r+b") as file:
                os.fsync(file.fileno())
        _fsync_directory(Path(folder))


def _fsync_directory(folder: Path) -> None:
    if os.name == "nt":  # directories cannot be opened there, and the rename is journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems refuse; the rename has happened all the same
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
