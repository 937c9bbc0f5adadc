"""SentencePiece's table of replacements ("precompiled_charsmap"), with which it does NFKC and more in one look-up.

The blob is the size of a trie in bytes (four bytes, little-endian), the trie, and the replacements as strings that end
with a zero byte. The trie is a double array (Aoe 1989; the layout is that of the library darts-clone): from node n the
byte b leads to the unit at n ^ offset(n) ^ b if its label is b.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import regex

_GRAPHEME = regex.compile(r"\X")


class Charsmap:
    """Replacements by the bytes that they stand for."""

    def __init__(self, blob: bytes):
        size = int.from_bytes(blob[:4], "little")
        if len(blob) < 8 or size % 4 or not 4 <= size <= len(blob) - 4:
            raise ValueError("precompiled_charsmap is damaged: it does not hold a trie of the size that it names")
        self._trie = np.frombuffer(blob, "<u4", size // 4, 4).tolist()
        self._texts = blob[4 + size :]

    @classmethod
    def from_base64(cls, text: Any) -> Charsmap:
        """As `tokenizer.json` writes it."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except (TypeError, binascii.Error):
            raise ValueError(f"precompiled_charsmap must be text in base64, got {text!r:.60}") from None

    def prefixes(self, data: bytes) -> list[tuple[int, bytes]]:
        """Every replacement for a beginning of these bytes: how many they are, and what stands for them."""
        found = []
        trie = self._trie
        place = _offset(trie[0])
        for count, byte in enumerate(data, 1):
            place ^= byte
            if byte == 0 or place >= len(trie) or trie[place] & 0x800000FF != byte:
                break
            unit = trie[place]
            place ^= _offset(unit)
            if unit >> 8 & 1:
                if place >= len(trie):
                    raise ValueError("precompiled_charsmap is damaged: it points past its end")
                start = trie[place] & 0x7FFFFFFF
                found.append((count, self._texts[start : self._texts.find(b"\0", start)]))
        return found

    def by_grapheme(self, text: str) -> str:
        """As the library `tokenizers` applies it: to whole graphemes if they are short, else by code."""
        if not hasattr(self, "_known"):
            self._known: dict[str, str] = {}
        return "".join([self._known.get(part) or self._replace(part) for part in _GRAPHEME.findall(text)])

    def _replace(self, grapheme: str) -> str:
        data = grapheme.encode("utf-8", "surrogatepass")
        found = self.prefixes(data) if len(data) < 6 else []
        if found:
            made = found[0][1].decode("utf-8", "replace")
        else:
            made = ""
            for character in grapheme:
                found = self.prefixes(character.encode("utf-8", "surrogatepass"))
                made += found[0][1].decode("utf-8", "replace") if found else character
        if len(self._known) < 100_000:
            self._known[grapheme] = made
        return made


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)
