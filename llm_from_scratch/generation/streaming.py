"""Text from tokens as they arrive: never half a character, and nothing of a stop string.

A token of a byte-level tokenizer may end in the middle of a UTF-8 character; the tokenizer's stream decoder holds such
bytes until the character is complete. Shown text is never taken back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TextIO

from .stopping import StopStrings


class Decodes(Protocol):
    """What streaming asks of a tokenizer."""

    def stream_decoder(self) -> Any:
        """Something with `push(id) -> str`, the text complete after one more id, and `flush() -> str`, the rest.

        ValueError for an id that is none of its tokens: a model may have rows to spare.
        """


class TextStream:
    """Turns ids, one at a time, into pieces of text for one sequence, up to a stop string.

    prompt: ids that the new ones continue; at the beginning of a text a SentencePiece tokenizer drops a space, in the
    middle it does not.

    >>> import codecs
    >>> class Bytes:                       # a tokenizer with one token a byte
    ...     def stream_decoder(self):
    ...         decoder = codecs.getincrementaldecoder("utf-8")("replace")
    ...         self.push = lambda id: decoder.decode(bytes([id]))
    ...         self.flush = lambda: decoder.decode(b"", final=True)
    ...         return self
    >>> stream = TextStream(Bytes(), ["!"])
    >>> [stream.push(byte) for byte in "aé!".encode("utf-8")], stream.stopped, stream.kept
    (['a', '', 'é', ''], True, 3)
    """

    def __init__(self, tokenizer: Decodes, stop_strings: Iterable[str] = (), prompt: Sequence[int] = ()) -> None:
        self.stop = StopStrings(stop_strings)
        self._decoder = tokenizer.stream_decoder()
        any(self._spell(token) is not None for token in reversed(prompt))  # the last that has a text
        self._length = 0  # characters decoded so far
        self._ends: list[int] = []  # for each token, where its text ends

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found."""
        return self.stop.stopped

    @property
    def kept(self) -> int:
        """How many tokens hold nothing of the stop string: all, as long as none was found."""
        if not self.stopped:
            return len(self._ends)
        return sum(end <= len(self.stop.text) for end in self._ends)

    def push(self, token: int) -> str:
        """Take the next token; return the text that may be shown now (often '', while something is held back)."""
        if self.stopped:
            return ""
        piece = self._spell(token) or ""
        self._length += len(piece)
        # A token without text of its own begins a character that is still to come, and belongs to it.
        self._ends.append(self._length + (piece == ""))
        return self.stop.push(piece)

    def _spell(self, token: int) -> str | None:
        """What is complete with this token; None for one of the rows that a model has to spare."""
        try:
            return self._decoder.push(int(token))
        except ValueError:
            return None

    def finish(self) -> str:
        """The sequence has ended: show what was held back (an unfinished character as U+FFFD)."""
        if self.stopped:
            return ""
        return self.stop.push(self._decoder.flush()) + self.stop.finish()


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
