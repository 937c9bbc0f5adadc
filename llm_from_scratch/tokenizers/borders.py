"""Spaces as SentencePiece has them: where one is put in front, and where words begin, which no piece crosses."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import regex

from .added_tokens import Segment
from .checks import utf8
from .encoding import Words

SPACE = "▁"
PREFIXES = ("always", "first", "never")


class Borders:
    """Cuts text into words, each with its spaces in front.

    rule: "runs"   a word is a run of spaces and what follows it up to the next space: right where no piece has a space
                   behind something else
          "each"   every space begins a word (`Metaspace` with split=true)
          "none"   the whole text is one word: some piece reaches across spaces
    prefix:        where a space is put in front: "always" at the beginning of a text and after a special token, "first"
                   at the beginning of a text only, or "never"
    double_prefix: put one before a text that begins with a space, too
    squeeze:       several spaces count as one, and those around a text as none
    inline:        ids of added tokens that belong to the text: what follows them is not a new beginning

    >>> borders = Borders()
    >>> data, ends = borders.split("".join(text for text, _ in borders.spaced([("to  be", -1)])))
    >>> data.tobytes(), ends.tolist()
    (b' to  be', [3, 7])
    """

    pattern = "sentencepiece"

    def __init__(
        self,
        rule: str = "runs",
        *,
        prefix: str = "always",
        double_prefix: bool = True,
        squeeze: bool = False,
        inline: Collection[int] = (),
    ):
        if rule not in ("runs", "each", "none"):
            raise ValueError(f"the rule for words must be 'runs', 'each' or 'none', got {rule!r}")
        if prefix not in PREFIXES:
            raise ValueError(f"prefix must be one of {PREFIXES}, got {prefix!r}")
        self.rule, self.prefix, self.double_prefix, self.squeeze = rule, prefix, double_prefix, squeeze
        self.inline = frozenset(inline)

    def spaced(self, found: Iterable[Segment]) -> Iterator[Segment]:
        """The segments of a text with its spaces as spaces: in front where there shall be one, extra ones gone."""
        beginning = self.prefix != "never"  # does the next stretch of text get a space in front?
        edge = True  # is it the beginning of a text, whose spaces `squeeze` takes away?
        walk = iter(found)
        segment = next(walk, None)
        while segment is not None:
            (text, number), segment = segment, next(walk, None)
            if number < 0:
                last = segment is None or (segment[1] >= 0 and segment[1] not in self.inline)
                text = self._spaced(text, beginning, edge, last)
                if text:
                    beginning = edge = False
                    yield text, -1
                continue
            if number not in self.inline:
                beginning, edge = self.prefix == "always", True
            else:
                if beginning:
                    yield " ", -1
                beginning = edge = False
            yield text, number

    def _spaced(self, text: str, beginning: bool, first: bool, last: bool) -> str:
        if self.squeeze:
            text = regex.sub(" +", " ", text)
            text = text.lstrip(" ") if first else text
        if text and beginning and (self.double_prefix or not text.startswith((" ", SPACE))):
            text = " " + text
        if self.squeeze and last:
            text = text.rstrip(" " + SPACE)
        return text.replace(SPACE, " ")

    @property
    def can_stream(self) -> bool:
        """Whether a text may be cut into pieces at all: without borders only the whole text has its tokens."""
        return self.rule != "none"

    def split(self, text: str) -> Words:
        """The text (spaces as spaces) as UTF-8 and where its words end."""
        data = np.frombuffer(utf8(text), np.uint8)
        if not data.size:
            return data, np.empty(0, np.int64)
        if self.rule == "none":
            return data, np.array([data.size])
        space = data == 32
        begins = space[1:].copy() if self.rule == "each" else space[1:] & ~space[:-1]
        return data, np.append(np.flatnonzero(begins) + 1, data.size)

    def last_cut(self, text: str, low: int, high: int, *, at_spaces_only: bool = False) -> int:
        """The greatest position in (low, high] with a space that follows something else; 0 if there is none."""
        at = min(high, len(text) - 1)
        while self.can_stream and at > low:
            at = text.rfind(" ", low + 1, at + 1)
            if at < 0:
                break
            if text[at - 1] not in (" ", SPACE):
                return at
            at -= 1
        return 0

    def __repr__(self) -> str:
        return f"Borders({self.rule!r})"
