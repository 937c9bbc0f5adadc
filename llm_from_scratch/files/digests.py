"""Digests beside files, so that a flipped bit is noticed when they are read and not in what is computed from them.

They stand in a file `SHA256SUMS` in the format of the program of that name: `sha256sum -c SHA256SUMS` checks it, too.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from .atomic import write_text

DIGESTS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\\n]+)\n")


def sha256(path: str | os.PathLike[str]) -> str:
    """The digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_digests(folder: str | os.PathLike[str], names: Iterable[str] | None = None) -> None:
    """Write `folder`/SHA256SUMS for the named files in it, by default for all that are there."""
    folder = Path(folder)
    names = sorted(_files(folder) if names is None else names)
    write_text(folder / DIGESTS, "".join(f"{sha256(folder / name)}  {name}\n" for name in names))


def check_digests(folder: str | os.PathLike[str], remedy: str, names: Iterable[str] | None = None) -> None:
    """Raise ValueError, naming the file, unless every file listed in `folder`/SHA256SUMS is what it was.

    names: the files that must be listed, by default all that are there. remedy: what to do, the end of the message.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder, "a.txt"), "right")
    ...     write_digests(folder)
    ...     check_digests(folder, "write it again")
    ...     write_text(Path(folder, "a.txt"), "wrong")
    ...     check_digests(folder, "write it again")        # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...a.txt is not what it was when it was written (its SHA-256 is not that in SHA256SUMS): write it again
    """
    folder = Path(folder)
    sums = folder / DIGESTS
    if not sums.is_file():
        raise ValueError(f"{sums}, which says what the files beside it were, is missing: {remedy}")
    listed: dict[str, str] = {}
    for line in sums.read_bytes().decode("utf-8", "replace").splitlines(keepends=True):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{sums} is damaged or cut off: {remedy}")
        listed[match[2]] = match[1]
    for name in sorted({*listed, *(_files(folder) if names is None else names)}):
        path = folder / name
        if not path.is_file() or name not in listed:
            raise ValueError(f"{path} is missing{' in ' + DIGESTS if path.is_file() else ''}: {remedy}")
        if sha256(path) != listed[name]:
            raise ValueError(
                f"{path} is not what it was when it was written (its SHA-256 is not that in {DIGESTS}): {remedy}"
            )


def _files(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file() and entry.name != DIGESTS]
