"""What ends a text: tokens that a model's or a tokenizer's files name, and stop strings in text that comes in pieces.

A stop string may begin in one token and end three tokens later. Text is therefore held back as long as it could be the
beginning of one, and no longer; nothing of a stop string ever gets out. Stop *tokens* need no such care.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tokenizers.ends import end_ids


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The ids that end a text: those that the model's files name, and those that the tokenizer knows.

    >>> from llm_from_scratch.tokenizers import Tokenizer
    >>> tokenizer = Tokenizer.train("a", 258, special_tokens=["</s>", "<|im_end|>"])
    >>> end_tokens(type("Model", (), {"end_tokens": (7, 1)}), tokenizer)
    [7, 1, 0]
    """
    return list(dict.fromkeys([*getattr(model, "end_tokens", ()), *end_ids(tokenizer)]))


class StopStrings:
    """Feed text in pieces; get back what is safe to show.

    Stops where the first stop string is complete (of several that end there, the longest). However the text is cut into
    pieces, the same comes out. `text` is all that was let through, `stopped` whether a stop string was found.

    >>> stop = StopStrings(["The End"])
    >>> [stop.push(piece) for piece in ("Good night. Th", "ey slept. The", " En", "d. More")]
    ['Good night. ', 'They slept. ', '', '']
    >>> stop.stopped
    True
    """

    def __init__(self, strings: Iterable[str] = ()) -> None:
        if isinstance(strings, str):
            raise TypeError(
                f"stop strings must be a list of strings, got the single string {strings!r}: put it in a list"
            )
        self.strings = tuple(strings)
        for string in self.strings:
            if not isinstance(string, str):
                raise TypeError(f"a stop string must be a string, got {string!r}")
            if not string:
                raise ValueError("an empty stop string would stop before anything is said: leave it out")
        self.stopped = False
        self.text = ""
        self._held = ""

    def push(self, piece: str) -> str:
        """Take the next piece; return the text that may be shown now. After the stop always ''."""
        if self.stopped:
            return ""
        checked = len(self._held)
        self._held += piece
        for end in range(checked + 1, len(self._held) + 1):
            ending = [s for s in self.strings if self._held.endswith(s, 0, end)]
            if ending:
                self.stopped = True
                return self._release(end - max(map(len, ending)), drop_rest=True)
        return self._release(len(self._held) - self._possible_beginning())

    def finish(self) -> str:
        """The text has ended: what was held back was no stop string after all."""
        return "" if self.stopped else self._release(len(self._held))

    def _possible_beginning(self) -> int:
        """The length of the longest ending of the held text with which some stop string begins."""
        longest = min(len(self._held), max((len(s) - 1 for s in self.strings), default=0))
        for length in range(longest, 0, -1):
            if any(s.startswith(self._held[-length:]) for s in self.strings):
                return length
        return 0

    def _release(self, length: int, drop_rest: bool = False) -> str:
        out, self._held = self._held[:length], "" if drop_rest else self._held[length:]
        self.text += out
        return out
