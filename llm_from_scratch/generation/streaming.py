"""Text from tokens as they arrive: never half a character, and nothing of a stop string.

A token of a byte-level tokenizer may end in the middle of a UTF-8 character, so bytes wait until their character is
complete. Shown text is never taken back.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TextIO

from .stopping import StopStrings

REPLACEMENT = "\ufffd"
# The longest UTF-8 character has four bytes: at most three tokens can be waiting for the rest of it.
_LONGEST_CHARACTER = 4


class Decodes(Protocol):
    """What streaming asks of a tokenizer."""

    def decode(self, ids: Any) -> str:
        """Text for a sequence of ids; bytes that are no UTF-8 become U+FFFD."""


class TextStream:
    """Turns ids, one at a time, into pieces of text for one sequence.

    The pieces add up to `tokenizer.decode` of all ids after the prompt, up to the stop string. `prompt` gives the
    tokenizer what stands before, for those that treat the first word of a text differently.

    >>> class Bytes:
    ...     def decode(self, ids):
    ...         return bytes(ids).decode("utf-8", errors="replace")
    >>> stream = TextStream(Bytes())
    >>> [stream.push(byte) for byte in "aé!".encode("utf-8")]
    ['a', '', 'é', '!']
    """

    def __init__(self, tokenizer: Decodes, prompt: Sequence[int] = (), stop_strings: Iterable[str] = ()) -> None:
        self.tokenizer = tokenizer
        self.stop = StopStrings(stop_strings)
        self.kept = 0  # tokens that contain nothing of a stop string; all of them, as long as none was found
        self._window = list(prompt)[-8:]  # what the next token is decoded after; enough context for any tokenizer
        self._waiting: list[int] = []
        self._before = self.tokenizer.decode(self._window) if self._window else ""
        self._length = 0  # characters decoded so far
        self._ends: list[int] = []  # for each token, where its text ends

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self.stop.stopped

    def push(self, token: int) -> str:
        """Take the next token; return the text that may be shown now (often '', while something is held back)."""
        if self.stopped:
            return ""
        self._waiting.append(int(token))
        piece = self._decode_waiting()
        self._length += len(piece)
        # A token that waits for the rest of its character belongs to that character, which is still to come.
        self._ends.append(self._length + bool(self._waiting))
        shown = self.stop.push(piece)
        self._count_kept()
        return shown

    def finish(self) -> str:
        """The sequence has ended: show what was held back (an unfinished character as U+FFFD)."""
        if self.stopped:
            return ""
        piece = self._decode_waiting(last=True)
        self._length += len(piece)
        shown = self.stop.push(piece)
        shown += self.stop.finish()
        self._count_kept()
        return shown

    def _decode_waiting(self, last: bool = False) -> str:
        if not self._waiting:
            return ""
        whole = self.tokenizer.decode(self._window + self._waiting)
        piece = whole[len(os.path.commonprefix([whole, self._before])) :]
        unfinished = piece.endswith(REPLACEMENT) and len(self._waiting) < _LONGEST_CHARACTER
        if unfinished and not last:
            return ""
        self._window = (self._window + self._waiting)[-8:]
        self._before = self.tokenizer.decode(self._window)
        self._waiting = []
        return piece

    def _count_kept(self) -> None:
        limit = len(self.stop.text)
        self.kept = sum(end <= limit for end in self._ends) if self.stopped else len(self._ends)


def print_stream(file: TextIO | None = None) -> Callable[[str], None]:
    """A `stream=` for `generate` that writes text to a terminal at once; default: standard output.

    Characters that the terminal's encoding lacks are shown as "?" and do not end the run.
    """
    out = sys.stdout if file is None else file
    encoding = getattr(out, "encoding", None) or "utf-8"

    def write(piece: str) -> None:
        out.write(piece.encode(encoding, errors="replace").decode(encoding))
        out.flush()

    return write
