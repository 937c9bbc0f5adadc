"""Reads chosen members of a zip (or wheel) or tar archive without trusting it.

An archive is refused when a member names a place outside, is a link or a device, or is larger than allowed;
nothing is ever unpacked to a path that the archive chose.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from .atomic import atomic_write

_BLOCK = 1 << 20


def read_members(archive: str | os.PathLike[str], pattern: str, *, limit: int) -> dict[str, bytes]:
    """The content of all members whose full name matches `pattern` (`*` also spans folders), sorted by name.

    limit: bytes that all of them together may have, unpacked. ValueError for an unsafe, damaged or larger
    archive, or one without such a member.
    """
    found: dict[str, bytes] = {}
    room = limit
    for name, size, file in _members(Path(archive), pattern):
        with file:
            # One byte more than promised shows a header that lies.
            data = file.read(min(size, room) + 1)
        if len(data) > room:
            raise ValueError(f"{archive}: the members {pattern} unpack to more than {limit:,} bytes")
        if len(data) != size:
            raise ValueError(f"{archive}: {name} is damaged (its header promises {size:,} bytes)")
        room -= size
        found[name] = data
    if not found:
        raise ValueError(f"{archive} holds nothing that matches {pattern}")
    return dict(sorted(found.items()))


def extract_member(
    archive: str | os.PathLike[str], pattern: str, target: str | os.PathLike[str], *, limit: int
) -> Path:
    """Copy the one member that matches `pattern` to `target`, atomically and in bounded memory.

    ValueError when no member or several match, or it has more than `limit` bytes.
    """
    names = [name for name, _, file in _members(Path(archive), pattern) if not file.close()]
    if len(names) != 1:
        raise ValueError(f"{archive}: expected one member {pattern}, found {names}")
    for name, size, source in _members(Path(archive), names[0]):
        if size > limit:
            raise ValueError(f"{archive}: {name} has {size:,} bytes, more than the {limit:,} allowed")
        with source, atomic_write(target, "wb") as file:
            copied = 0
            while block := source.read(_BLOCK):
                copied += len(block)
                if copied > size:
                    break
                file.write(block)
            if copied != size:
                raise ValueError(f"{archive}: {name} is damaged (its header promises {size:,} bytes)")
    return Path(target)


def _members(archive: Path, pattern: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, size, open file) of the matching members, after a look at the names of all."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as container:
                entries = container.infolist()
                for entry in entries:
                    _check_name(archive, entry.filename)
                for entry in entries:
                    if not entry.is_dir() and fnmatchcase(entry.filename, pattern):
                        yield entry.filename, entry.file_size, container.open(entry)
            return
        with tarfile.open(archive) as container:
            members = container.getmembers()
            for member in members:
                _check_name(archive, member.name)
            for member in members:
                if member.isdir() or not fnmatchcase(member.name, pattern):
                    continue
                source = container.extractfile(member) if member.isreg() else None
                if source is None:
                    raise ValueError(f"{archive}: {member.name} is a link or a device, not a file: refused")
                yield member.name, member.size, source
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        if isinstance(error, (FileNotFoundError, PermissionError)):
            raise
        raise ValueError(f"{archive} is damaged or no zip or tar archive ({error})") from error


def _check_name(archive: Path, name: str) -> None:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(f"{archive}: the member {name!r} names a place outside the archive: refused")
