"""Reads what is to be cleaned, one document at a time, from any place where reading stood before.

An input is a file of JSON lines, text or HTML (gzipped too), a folder of such files, or a source with a name (see
`data.sources`). Nothing is held but a document, of at most `longest` bytes, and a block of the file.
"""

from __future__ import annotations

import gzip
import itertools
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..sources import NAMED, documents
from ..tales import DELIMITER
from .records import HTML, JSON, TEXT, Cursor, Record, Skipped, is_markup, no_text

LONGEST = 8_000_000  # bytes of a document
START: Cursor = (0, 0, 0, 0)
# A separator has at most so many bytes, so that the end of a block in the middle of one is noticed.
_REACH = 64
SPLITS = {"document": re.escape(DELIMITER), "paragraph": r"\n[ \t\r]{0,60}\n", "line": r"\n"}
_KINDS = {".jsonl": JSON, ".ndjson": JSON, ".html": HTML, ".htm": HTML, ".xhtml": HTML, ".txt": TEXT, ".md": TEXT}
_BLANK, _ROW = re.compile(rb"(?:\xef\xbb\xbf)?\s*"), re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"')
_BLOCK, _LOOK = 1 << 20, 8192


@dataclass(frozen=True)
class File:
    """A file to be read. name: of the path, as text; kind: None where only the content can tell; changed: when, in
    nanoseconds, as the system says.
    """

    path: Path
    name: str
    origin: str
    kind: str | None
    size: int
    changed: int


class Inputs:
    """What is to be cleaned: names and sizes of all files are looked at now, their contents while reading.

    split: where a text is cut into documents: "document" at <|endoftext|> (one without any is one document),
    "paragraph" at empty lines, "line" at line ends. Lines of JSON and pages of HTML are documents as they are.
    longest: bytes that a document may have. A longer text is handed out in pieces, cut at line ends; a longer line or
    page is skipped. seed: chooses which tales.

    ValueError for an input that does not exist or is empty, and for settings that cannot be.
    """

    def __init__(
        self, names: Sequence[str | os.PathLike[str]], *, split: str = "document", longest: int = LONGEST, seed: int = 0
    ) -> None:
        if isinstance(names, (str, os.PathLike)) or not names:
            raise ValueError("expected a list of inputs, at least one")
        if split not in SPLITS:
            raise ValueError(f"split is one of {', '.join(SPLITS)}, got {split!r}")
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1000:
            raise ValueError(f"the longest document is a number of bytes, at least 1,000, got {longest!r}")
        self.names = [os.fspath(name) for name in names]
        self.split, self.longest, self.seed = split, longest, seed
        self._inputs: list[str | list[File]] = [self._look(name) for name in self.names]

    @property
    def files(self) -> list[File]:
        """The files of all inputs in the order of reading."""
        return [file for source in self._inputs if not isinstance(source, str) for file in source]

    @property
    def size(self) -> int | None:
        """Bytes of all files; None where a source is made as it is read."""
        named = any(isinstance(source, str) for source in self._inputs)
        return None if named else sum(file.size for file in self.files)

    def identity(self) -> dict[str, Any]:
        """What has to be the same for one reading to go on where another one stood."""
        files = [[str(file.path), file.size, file.changed] for file in self.files]
        return {"inputs": self.names, "split": self.split, "longest": self.longest, "seed": self.seed, "files": files}

    def read(self, after: Cursor = START) -> Iterator[Record | Skipped]:
        """The documents, in the same order every time, from behind the one that had this cursor."""
        for number, source in enumerate(self._inputs):
            if number < after[0]:
                continue
            first = after if number == after[0] else (number, 0, 0, 0)
            if isinstance(source, str):
                yield from self._named(source, first)
            else:
                for place in range(first[1], len(source)):
                    yield from self._file(source[place], first if place == first[1] else (number, place, 0, 0))

    def _look(self, name: str) -> str | list[File]:
        if name in NAMED or name.startswith("tales:"):
            next(documents(name, seed=self.seed))  # a slip of the finger is told now
            return name
        if not name:  # Path("") is the folder where one stands
            raise ValueError(f"the name of an input is empty: name a file, a folder, or one of {', '.join(NAMED)}")
        path = Path(name)
        if path.is_dir():
            found = _below(path)
            if not found:
                raise ValueError(f"there are no files in the folder {path} (hidden ones are left out)")
            return [_described(file, path) for file in found]
        if not path.exists():
            raise ValueError(f"{path} does not exist. Name a file, a folder, or one of {', '.join(NAMED)}")
        if not path.is_file():
            raise ValueError(f"{path} is neither a file nor a folder")
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty: there is no text in it")
        return [_described(path, None)]

    def _named(self, name: str, after: Cursor) -> Iterator[Record]:
        """A cursor holds the documents that are done, and the parts that are done of the next one."""
        number, _, whole, parts = after
        for count, text in enumerate(itertools.islice(documents(name, seed=self.seed), whole, None), start=whole):
            pieces = [text] if self.split == "document" else re.split(SPLITS[self.split], text)
            for part, piece in enumerate(pieces, start=1):
                if piece and part > (parts if count == whole else 0):
                    place = f"{name}, document {count + 1}" + (f", part {part}" if len(pieces) > 1 else "")
                    yield Record(place, name, TEXT, piece.encode(), 0, (number, 0, count, part))

    def _file(self, file: File, after: Cursor) -> Iterator[Record | Skipped]:
        end: Cursor = (after[0], after[1] + 1, 0, 0)
        offset = after[2]

        def skipped(reason: str, detail: str) -> Skipped:
            return Skipped(file.name, file.origin, reason, detail, file.size, end)

        try:
            with _open(file.path) as stream:
                head = stream.read(_LOOK)
                # A zero among text belongs to one document; in a file of unknown kind it says that it is none of text.
                found = None if file.kind == HTML else no_text(head, zeros=file.kind is None)
                if not head:
                    found = "empty", "0 bytes"
                if found is not None:
                    yield skipped(*found)
                    return
                kind = file.kind or _kind(head)
                stream.seek(offset)
                if kind == HTML:
                    yield self._page(file, stream, end)
                    return
                for item in self._documents(file, kind, stream, after):
                    offset = item.cursor[2]
                    yield item
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield skipped("damaged gzip", f"after {offset:,} unpacked bytes: {error}")
        except OSError as error:
            yield skipped("unreadable", error.strerror or str(error))

    def _page(self, file: File, stream: IO[bytes], end: Cursor) -> Record | Skipped:
        data = stream.read(self.longest + 1)
        if len(data) > self.longest:
            return Skipped(file.name, file.origin, *self._too_long("page", file.size), file.size, end)
        return Record(file.name, file.origin, HTML, data, 0, end)

    def _documents(self, file: File, kind: str, stream: IO[bytes], after: Cursor) -> Iterator[Record | Skipped]:
        source, place, offset, count = after
        split = "line" if kind == JSON else self.split
        separator = re.compile(SPLITS[split].encode())
        for begin, end, data in _pieces(stream, offset, separator, self.longest, cut=kind == TEXT):
            count += 1
            cursor = (source, place, end, count)
            name = f"{file.name}, {'line' if kind == JSON else split} {count}"
            if count == 1 and split == "document":
                name = file.name  # mostly the only one
            if data is None:
                size = end - begin
                yield Skipped(name, file.origin, *self._too_long("line", size), size, cursor)
            elif not _BLANK.fullmatch(data):
                yield Record(name, file.origin, kind, data, begin, cursor)

    def _too_long(self, what: str, size: int) -> tuple[str, str]:
        return f"too long a {what}", f"{size:,} bytes, more than the {self.longest:,} that a document may have"


def _pieces(
    stream: IO[bytes], offset: int, separator: re.Pattern[bytes], longest: int, *, cut: bool
) -> Iterator[tuple[int, int, bytes | None]]:
    """(begin, end, bytes) of what stands between separators, from `offset` on, where the stream is; end is after one.

    What is longer is cut behind its last line end that fits, if `cut`; without one, its bytes are None, up to the next
    line end or separator. Where pieces begin and end does not depend on where reading began.
    """
    line_end = re.compile(rb"\n|" + separator.pattern)
    held, at, searched, ended, too_long = b"", 0, 0, False, False  # at: where in `held` the piece begins
    skipped = 0  # bytes of a line too long that are not held any more
    while True:
        match = (line_end if too_long else separator).search(held, max(at, searched))
        length = (match.start() if match else len(held)) - at
        if not too_long and length > longest + (0 if match or ended else _REACH):
            fits = held.rfind(b"\n", at, at + longest) + 1 if cut else 0
            if fits > at:
                yield offset + at, offset + fits, held[at:fits]
                at = fits
            else:
                too_long, skipped, searched = True, 0, at
            continue
        if match or (ended and (len(held) > at or skipped)):
            end = match.end() if match else len(held)
            begin = offset + at - skipped
            yield begin, offset + end, None if too_long else held[at : match.start() if match else end]
            at, too_long, skipped = end, False, 0
            if match:
                continue
        if ended:
            return
        block = stream.read(_BLOCK)
        ended = not block
        if too_long:  # only what may be the beginning of a separator is kept
            keep = max(at, len(held) - _REACH)
            skipped += keep - at
            at = keep
        offset, held, at, searched = offset + at, held[at:] + block, 0, max(0, len(held) - at - _REACH)


def _open(path: Path) -> IO[bytes]:
    file = open(path, "rb")
    if file.read(2) == b"\x1f\x8b":
        file.close()
        return gzip.open(path)  # type: ignore[return-value]  # reads bytes, and seeks
    file.seek(0)
    return file


def _kind(head: bytes) -> str:
    if is_markup(head.decode("utf-8", "replace").removeprefix("\ufeff")):
        return HTML
    return JSON if _ROW.match(head) else TEXT


def _below(folder: Path) -> list[Path]:
    """All files in a folder and below, sorted, hidden ones left out; links to folders are not followed.

    OSError for a folder that cannot be listed: what is in it would be missed without a word.
    """
    found = []
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted((path for path in found if path.is_file()), key=lambda path: path.parts)


def _raise(error: OSError) -> None:
    raise error


def _described(path: Path, folder: Path | None) -> File:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    origin = path
    if folder is not None:
        parts = path.relative_to(folder).parts
        origin = folder / parts[0] if len(parts) > 1 else folder / f"*{path.suffix}"
    status = path.stat()
    return File(
        path,
        as_text(path),
        as_text(origin),
        _KINDS.get(suffixes[-1]) if suffixes else None,
        status.st_size,
        status.st_mtime_ns,
    )


def as_text(path: str | os.PathLike[str]) -> str:
    r"""A path for people and files of text: bytes in it that are no UTF-8, which Python keeps, become signs.

    >>> as_text("caf\udce9.txt") == "caf\ufffd.txt"
    True
    """
    return os.fsencode(path).decode("utf-8", "replace")
