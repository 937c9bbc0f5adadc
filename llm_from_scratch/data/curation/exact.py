"""Exact duplicates, of whole texts and of lines: a text is remembered by a 64-bit digest of what it says.

Texts that differ in spacing or in how Unicode writes a letter have one digest; case and punctuation count (near
duplicates, which ignore those, are `duplicates` and `index`). Among a hundred million different texts, two share a
digest with a chance of one in 3,700.
"""

from __future__ import annotations

import hashlib
from array import array

import numpy as np

from .pieces import unicode_form
from .signatures import positive


def digest(text: str) -> int:
    """64 bits of a text, the same for texts that differ in white space or Unicode composition alone.

    >>> digest("Once  upon\\na time") == digest(" Once upon a time ") != digest("once upon a time")
    True
    """
    if not isinstance(text, str):
        raise TypeError(f"a digest is of a text, a str; got {type(text).__name__}")
    plain = " ".join(unicode_form("NFC", text).split())
    return int.from_bytes(hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class LineCounts:
    """Which lines stand in more than one place of a corpus: menus, footers, licences. Two passes: count, then remove.

    Lines are compared as `digest` has them, empty ones never. Counting takes 8 bytes a line; what remains is 12 bytes
    for each different line that is repeated.

    >>> counts = LineCounts()
    >>> pages = [["Home | About", "Whales sing."], ["Home | About", "Bees dance.", "Bees dance."]]
    >>> for page in pages:
    ...     counts.add("\\n".join(page))
    >>> counts.counts(pages[1]).tolist()
    [2, 2, 2]
    >>> counts.without_repeated("\\n".join(pages[0]))
    'Whales sing.'
    """

    def __init__(self) -> None:
        self._digests = array("Q")
        self._repeated: tuple[np.ndarray, np.ndarray] | None = None  # sorted digests, and how often each came

    def add(self, text: str) -> None:
        """Count the lines of a text."""
        self._digests.extend(digest(line) for line in _lines(text) if line.strip())
        self._repeated = None

    def counts(self, lines: list[str]) -> np.ndarray:
        """How often each line came; 1 also for those that never did, and for empty ones."""
        if self._repeated is None:
            found, often = np.unique(np.array(self._digests, np.uint64), return_counts=True)
            self._repeated = found[often > 1], often[often > 1].astype(np.uint32)
        found, often = self._repeated
        wanted = np.array([digest(line) for line in lines], np.uint64)
        place = np.searchsorted(found, wanted)
        known = place < len(found)
        known[known] = found[place[known]] == wanted[known]
        return np.where(known, often[np.where(known, place, 0)], 1) if len(found) else np.ones(len(lines), int)

    def without_repeated(self, text: str, *, most: int = 1) -> str:
        """The text without the lines that came more than `most` times in all; line ends stay as they are."""
        positive("most", most)
        lines = _lines(text)
        kept = self.counts(lines) <= most
        return "".join(line for line, keep in zip(lines, kept, strict=True) if keep)


def _lines(text: str) -> list[str]:
    if not isinstance(text, str):
        raise TypeError(f"lines are those of a text, a str; got {type(text).__name__}")
    return text.splitlines(keepends=True)
