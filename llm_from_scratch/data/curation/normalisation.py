"""Writes the same text in the same way: Unicode's form NFC, no control characters, no spaces at line ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from .pieces import unicode_form

_BREAKS = str.maketrans("\x0b\x0c\x1c\x1d\x1e\x1f\x85", "\n\n\n\n\n  ")  # of lines, pages, records and units
_BREAK = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Besides, what takes no place and stands in no word: soft hyphen, zero-width space, word joiner, byte-order mark.
# The joiners U+200C and U+200D stay: Persian and many emoji are written with them.
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff]")
_SPACES = " \t\u00a0\u3000"
_LINE_END = re.compile(f"(?<![{_SPACES}])[{_SPACES}]+\n")  # from their beginning on: linear in the text
_EMPTY_LINES = re.compile(r"\n{4,}")


@dataclass(frozen=True)
class Normalise:
    r"""The same letters, spelt in one way; at most two empty lines in a row, none around the text.

    >>> Normalise()("cafe\u0301 \n\n\n\n\nsoft\u00adware\n")
    'café\n\n\nsoftware'
    """

    name: ClassVar[str] = "normalise"
    does: ClassVar[str] = "writes Unicode in form NFC, takes out control characters, spaces at line ends, empty lines"

    def __call__(self, text: str) -> str:
        if _BREAK.search(text):
            text = text.translate(_BREAKS)
        if text.isascii():  # most texts, several times as fast
            text = _ASCII_CONTROL.sub("", text)
        else:
            text = unicode_form("NFC", _INVISIBLE.sub("", text))  # in this order: what stood between may go
        # Most texts have none, and searching for them all takes long.
        if any(space + "\n" in text for space in _SPACES):
            text = _LINE_END.sub("\n", text)
        return _EMPTY_LINES.sub("\n\n\n", text).strip("\n").rstrip(_SPACES + "\n")
