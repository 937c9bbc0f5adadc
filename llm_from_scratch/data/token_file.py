"""Token ids on disk, read through a memory map: a corpus larger than memory trains like a small one.

A token file is 512 bytes of JSON padded with spaces (`head -c 512 corpus.tokens` shows it), then the ids as
little-endian uint16, or uint32 for a vocabulary above 65,536. It is written as a stream in bounded memory and
renamed into place when complete. Ids are all it holds: which text they mean is the tokenizer's business.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.atomic import atomic_write

FORMAT = "llm_from_scratch tokens 1"
HEADER_BYTES = 512
_BUFFER = 1 << 18  # ids held before they are written


@dataclasses.dataclass(frozen=True)
class TokenFile:
    """A corpus of token ids: `ids` is a read-only memory map (N,), the rest comes from the header.

    separator: the id that stands before every document and after the last one, or None.
    documents: how many there are. text_bytes: size of the text in UTF-8, 0 when unknown (for bits per byte). begin:
    where `ids` begin, in a `part` of a file.
    """

    path: Path
    ids: np.ndarray
    vocabulary_size: int
    separator: int | None
    documents: int
    text_bytes: int
    begin: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> TokenFile:
        """The ids from `start` to before `stop`, of which documents and size of text are not known. ValueError if the
        file has no such part."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"{self.path} has {len(self):,} ids, and none from {start:,} to {stop:,}")
        return dataclasses.replace(
            self, ids=self.ids[start:stop], begin=self.begin + start, documents=0, text_bytes=0
        )  # fmt: skip

    def check_length(self) -> None:
        """Raise ValueError if the file was cut since it was opened: the system ends a process that reads on in the map.

        Whoever reads asks first, each time. (Between asking and reading lie microseconds, where before lay the run.)
        """
        mapped = getattr(self.ids, "_mmap", None)
        needed = HEADER_BYTES + self.begin * self.ids.itemsize + self.ids.nbytes
        # The size of the file that was opened, whatever stands at the path now.
        if mapped is not None and mapped.size() < needed:
            raise ValueError(
                f"{self.path} was cut to {mapped.size()} bytes (from {needed}) while it was read: write it again"
            )


def dtype_for(vocabulary_size: int) -> np.dtype:
    """The narrowest of uint16 and uint32 that holds every id.

    >>> dtype_for(65536), dtype_for(65537)
    (dtype('uint16'), dtype('uint32'))
    """
    if not 1 <= vocabulary_size <= 1 << 32:
        raise ValueError(f"vocabulary_size must be between 1 and 2**32, got {vocabulary_size}")
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


class TokenWriter:
    """Appends documents to an open binary file. `write_tokens` is the usual way."""

    def __init__(self, file: Any, vocabulary_size: int, separator: int | None = None) -> None:
        self.dtype = dtype_for(vocabulary_size)
        if separator is not None and not 0 <= separator < vocabulary_size:
            raise ValueError(f"separator {separator} is not an id of a vocabulary of {vocabulary_size}")
        self.file, self.vocabulary_size, self.separator = file, vocabulary_size, separator
        self.count = self.documents = self.text_bytes = 0
        self._pending: list[np.ndarray] = []
        self._pending_count = 0
        file.write(b" " * HEADER_BYTES)  # the real header needs the count: `finish` writes it

    def add(self, document: Sequence[int] | np.ndarray, text_bytes: int = 0) -> None:
        """Append one document. Every id must be an integer in [0, vocabulary_size)."""
        ids = np.asarray(document)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise TypeError(
                f"document {self.documents} must be a one-dimensional sequence of integers, "
                f"got shape {ids.shape} of {ids.dtype}"
            )
        if ids.size and (ids.min() < 0 or ids.max() >= self.vocabulary_size):
            position = int(np.argmax((ids < 0) | (ids >= self.vocabulary_size)))
            raise ValueError(
                f"document {self.documents} has id {ids[position]} at position {position}, "
                f"outside the vocabulary of {self.vocabulary_size}"
            )
        if self.separator is not None:
            self._append(np.array([self.separator]))
        self._append(ids)
        self.documents += 1
        self.text_bytes += text_bytes

    def finish(self) -> None:
        """Close the last document and write the header."""
        if self.separator is not None and self.documents:
            self._append(np.array([self.separator]))
        self._flush()
        header = {
            "format": FORMAT,
            "dtype": "uint16" if self.dtype.itemsize == 2 else "uint32",
            "count": self.count,
            "vocabulary_size": self.vocabulary_size,
            "separator": self.separator,
            "documents": self.documents,
            "text_bytes": self.text_bytes,
        }
        self.file.seek(0)
        self.file.write(json.dumps(header).encode("utf-8").ljust(HEADER_BYTES - 1) + b"\n")

    def _append(self, ids: np.ndarray) -> None:
        self._pending.append(ids.astype(self.dtype))
        self._pending_count += ids.size
        self.count += ids.size
        if self._pending_count >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self.file.write(np.concatenate(self._pending).tobytes())
        self._pending, self._pending_count = [], 0


def write_tokens(
    path: str | os.PathLike[str],
    documents: Iterable[Sequence[int] | np.ndarray],
    *,
    vocabulary_size: int,
    separator: int | None = None,
) -> TokenFile:
    """Write documents (each a sequence of ids) to a token file and open it.

    The separator, when given, is put before every document and once after the last, so that it says both "a
    text begins" and "the text has ended". The file appears only when everything was written. An error in the
    iterator or a bad id leaves no file (or the old one).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_tokens(Path(folder) / "a.tokens", [[5, 6], [7]], vocabulary_size=10, separator=0)
    ...     file.ids.tolist(), file.documents
    ([0, 5, 6, 0, 7, 0], 2)
    """
    with atomic_write(path, "wb") as file:
        writer = TokenWriter(file, vocabulary_size, separator)
        for document in documents:
            writer.add(document)
        writer.finish()
    return open_tokens(path)


def open_tokens(path: str | os.PathLike[str]) -> TokenFile:
    """Open a token file. ValueError for anything that is not one, is cut short, whose header lies."""
    path = Path(path)
    with open(path, "rb") as file:
        raw = file.read(HEADER_BYTES)
    try:
        header = json.loads(raw.decode("utf-8"))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a token file ({error}); make one with write_tokens") from None
    fields = ("count", "vocabulary_size", "documents", "text_bytes")
    separator = header.get("separator")
    if any(type(header.get(name)) is not int or header[name] < 0 for name in fields) or not (
        separator is None or (type(separator) is int and 0 <= separator < header["vocabulary_size"])
    ):
        raise ValueError(f"{path}: the header has impossible values: {header}")
    dtype = dtype_for(header["vocabulary_size"])
    if header.get("dtype") != dtype.name:
        raise ValueError(
            f"{path}: the header says {header.get('dtype')}, "
            f"but a vocabulary of {header['vocabulary_size']} is stored as {dtype.name}"
        )
    expected, found = HEADER_BYTES + header["count"] * dtype.itemsize, path.stat().st_size
    if expected != found:
        raise ValueError(
            f"{path}: the header promises {header['count']} ids ({expected} bytes), the file has {found}: "
            f"it was cut short or changed; write it again"
        )
    if header["count"]:
        ids: np.ndarray = np.memmap(path, dtype=dtype, mode="r", offset=HEADER_BYTES, shape=(header["count"],))
    else:  # an empty range cannot be mapped
        ids = np.empty(0, dtype)
    return TokenFile(path, ids, header["vocabulary_size"], separator, header["documents"], header["text_bytes"])
