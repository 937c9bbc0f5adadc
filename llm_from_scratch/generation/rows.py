"""One sequence on its way: what it began with, what was added, when it is enough, and what of it may be shown.

However the next tokens are found, they are given to a row one by one. The row notes them, passes text on as it becomes
certain, and ends itself: at a stop token, at a stop string, or when it has as many as were asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from .streaming import Decodes, TextStream


class Row:
    """A prompt and what follows it.

    rng: the row's own random numbers, so that its neighbours in a batch do not matter. stop_tokens: the first of these
    ends the row and is part of it. stop_strings (need `tokenizer`): the row ends where one becomes complete in its new
    text. stream: called with each piece of text (with a tokenizer) or each token; a stop token is not shown.
    failure: what ended the row before its time: that there was no next token, or what `stream` raised; None else.

    >>> row = Row([3, 4], max_new_tokens=5, stop_tokens=[9])
    >>> for token in (5, 9):
    ...     row.add(token)
    >>> row.seen, row.new, row.ended
    ([3, 4, 5, 9], [5, 9], True)
    """

    def __init__(
        self,
        prompt: Sequence[int] | np.ndarray,
        *,
        max_new_tokens: int,
        rng: np.random.Generator | None = None,
        stop_tokens: Collection[int] = (),
        stop_strings: Iterable[str] = (),
        tokenizer: Decodes | None = None,
        stream: Callable[[Any], object] | None = None,
    ) -> None:
        self.seen: list[int] = np.asarray(prompt).tolist()  # all tokens so far
        self.new: list[int] = []
        self.max_new_tokens, self.stop_tokens = max_new_tokens, stop_tokens
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.ended = max_new_tokens == 0
        self.failure: BaseException | None = None
        self.stream, self._tokenizer, self._strings = stream, tokenizer, list(stop_strings)
        self._text = self._reader()

    def _reader(self) -> TextStream | None:
        prompt = self.seen[: len(self.seen) - len(self.new)]
        return None if self._tokenizer is None else TextStream(self._tokenizer, self._strings, prompt)

    def add(self, token: int) -> None:
        """Note one more token and show what is certain now. ValueError once the row has ended."""
        if self.ended:
            raise ValueError("this row has ended: nothing can be added to it")
        self.seen.append(token)
        self.new.append(token)
        stopped = token in self.stop_tokens
        if not stopped:
            self._show(token if self._text is None else self._text.push(token))
        found = self._text is not None and self._text.stopped
        if stopped or found or len(self.new) == self.max_new_tokens:
            self._end()

    def fail(self, failure: BaseException) -> None:
        """End the row, since no token can come next, or shall; what it has stays."""
        self.failure = failure
        self._end()

    def _end(self) -> None:
        self.ended = True
        if self._text is not None:
            self._show(self._text.finish())

    def would_end(self, tokens: Sequence[int]) -> bool:
        """Whether a row with this prompt and these new tokens, of which no earlier one ended it, has ended."""
        if len(tokens) >= self.max_new_tokens or tokens[-1] in self.stop_tokens:
            return True
        text = self._reader() if self._strings else None
        if text is None:
            return False
        for token in tokens:
            text.push(token)
        return text.stopped

    def _show(self, piece: Any) -> None:
        if self.stream is not None and piece != "":
            self.stream(piece)

    @property
    def kept(self) -> list[int]:
        """The new tokens without those that hold any part of a stop string."""
        return self.new[: self._text.kept] if self._text is not None and self._text.stopped else self.new

    @property
    def text(self) -> str:
        """The new text, up to a stop string. ValueError without a tokenizer."""
        if self._text is None:
            raise ValueError("this row has tokens only: text needs a tokenizer")
        return self._text.stop.text


def left_padded(prompts: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids -> ids (N, longest), and which of them are real: all end at one place.

    >>> left_padded([[5], [6, 7]])
    (array([[0, 5],
           [6, 7]]), array([[False,  True],
           [ True,  True]]))
    """
    width = max(map(len, prompts))
    ids, real = np.zeros((len(prompts), width), np.int64), np.zeros((len(prompts), width), bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], real[row, width - len(prompt) :] = prompt, True
    return ids, real
