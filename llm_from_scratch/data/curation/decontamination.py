"""Decontamination: what a model will be tested on is taken out of what it learns from.

A text is met where it shares a run of 13 words with an evaluation text, whatever the case, punctuation and spacing. An
evaluation text that is shorter counts as one run, if it has at least 8 words: fewer stand in any text. A text that was
met is removed, or cut as GPT-3's were: what was met goes with 200 characters to either side, what is left of it in
pieces shorter than that goes as well, and of more than ten pieces none stays. (GPT-3 also let runs pass that stood in
more than ten training texts, which takes a pass to count them. Here the reasons say which evaluation text was met: one
that is met everywhere is better left out.)

Source: Brown et al. 2020, arXiv:2005.14165, appendix C.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np

from .rule import Removed
from .signatures import positive
from .words import pattern, run_hashes, word_hashes


@dataclasses.dataclass(frozen=True)
class Met:
    """A stretch of a text, text[start:end], that stands in the evaluation text of this name as well."""

    item: str
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Decontamination:
    """Removes or cuts texts that share a run of words with an evaluation text.

    items: the evaluation texts, {name: text} or several texts, which are named "item 0", "item 1", … ngram: words in a
    run; shortest: words that a shorter evaluation text needs to count as one run (`ignored` has the names of the
    others); cut: whether to keep what is around; window: characters to either side that are cut as well, and of the
    shortest piece that is kept; most_pieces: a text that falls into more is removed.

    >>> rule = Decontamination({"riddle": "What walks on four legs in the morning and on two at noon?"}, ngram=8)
    >>> page = "A sphinx asked: what walks on four legs, in the morning, and on two at noon? They did not know."
    >>> rule(page)
    Removed(reason='13 words in a row of riddle', shown='what walks on four legs, in the morning, and on two at noon')
    >>> rule.met(page)
    [Met(item='riddle', start=16, end=75)]
    >>> Decontamination(["What walks on four legs in the morning?"], cut=True, window=10)(page)
    'wo at noon? They did not know.'
    """

    items: Mapping[str, str] | Iterable[str] = dataclasses.field(repr=False)
    ngram: int = 13
    shortest: int = 8
    cut: bool = False
    window: int = 200
    most_pieces: int = 10
    ignored: tuple[str, ...] = dataclasses.field(init=False, repr=False)
    _runs: dict[int, tuple[np.ndarray, np.ndarray]] = dataclasses.field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "decontamination"
    does: ClassVar[str] = "removes texts that share a run of words with an evaluation text, or cuts out what is shared"

    def __post_init__(self) -> None:
        for setting in ("ngram", "shortest", "window", "most_pieces"):
            positive(setting, getattr(self, setting))
        items = self.items
        if isinstance(items, (str, bytes)):
            raise TypeError("decontamination takes several evaluation texts, got a single one: put it in a list")
        if not isinstance(items, Mapping):
            items = {f"item {number}": item for number, item in enumerate(items)}
        runs: dict[int, list[tuple[np.ndarray, int]]] = {}  # length -> hashes of runs, and whose they are
        ignored = []
        for number, (name, text) in enumerate(items.items()):
            if not isinstance(text, str):
                raise TypeError(f"evaluation text {name!r} is no text but {type(text).__name__}")
            hashes = word_hashes(text)
            if len(hashes) < min(self.shortest, self.ngram):
                ignored.append(str(name))
                continue
            length = min(self.ngram, len(hashes))
            runs.setdefault(length, []).append((run_hashes(hashes, length), number))
        if not runs:
            least = min(self.shortest, self.ngram)
            raise ValueError(f"none of {len(items)} evaluation texts has {least} words: there is nothing to look for")
        object.__setattr__(self, "items", dict(items))
        object.__setattr__(self, "ignored", tuple(ignored))
        object.__setattr__(self, "_runs", {length: _sorted(found) for length, found in sorted(runs.items())})

    def met(self, text: str) -> list[Met]:
        """All stretches that an evaluation text has too, from the left; those of one item that overlap are one."""
        if not isinstance(text, str):
            raise TypeError(f"decontamination works on a text, a str; got {type(text).__name__}")
        hashes = word_hashes(text)
        found: list[tuple[int, int, int]] = []  # item, first word, end
        for length, (known, owners) in self._runs.items():
            here = run_hashes(hashes, length)
            first = np.searchsorted(known, here, "left")
            last = np.searchsorted(known, here, "right")
            for place in np.flatnonzero(first < last).tolist():
                found += [(owner, place, place + length) for owner in owners[first[place] : last[place]].tolist()]
        if not found:
            return []
        spans = [match.span() for match in pattern(text).finditer(text)]
        names = list(self.items)
        met = [Met(names[owner], spans[start][0], spans[end - 1][1]) for owner, start, end in _stretches(found)]
        return sorted(met, key=lambda one: (one.start, one.end))

    def pieces(self, text: str) -> list[str]:
        """What is left when all that was met and the window around it are cut out: the whole text if nothing was."""
        met = self.met(text)
        return self._cut(text, met) if met else [text]

    def __call__(self, text: str) -> str | Removed:
        met = self.met(text)
        if not met:
            return text
        pieces = self._cut(text, met) if self.cut else []
        if pieces:
            return "\n\n".join(pieces)
        first = max(met, key=lambda one: one.end - one.start)
        shown = text[first.start : first.end]
        others = len({one.item for one in met}) - 1
        reason = f"{len(pattern(shown).findall(shown))} words in a row of {first.item}"
        reason += f", and runs of {others} other evaluation texts" if others else ""
        return Removed(reason + (", cut, and no piece is left" if self.cut else ""), shown[:200])

    def _cut(self, text: str, met: list[Met]) -> list[str]:
        pieces, position = [], 0
        for one in met:
            pieces.append(text[position : max(position, one.start - self.window)].strip())
            position = max(position, one.end + self.window)
        pieces.append(text[position:].strip())
        if sum(map(bool, pieces)) > self.most_pieces:
            return []
        return [piece for piece in pieces if len(piece) >= self.window]


def _sorted(found: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """All hashes of runs in ascending order, and whose each is."""
    hashes = np.concatenate([runs for runs, _ in found])
    owners = np.concatenate([np.full(len(runs), owner) for runs, owner in found])
    order = np.argsort(hashes, kind="stable")
    return hashes[order], owners[order]


def _stretches(found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """(item, start, end) of runs of words, those of one item joined where they overlap."""
    joined: list[tuple[int, int, int]] = []
    for item, start, end in sorted(found):
        if joined and joined[-1][0] == item and start < joined[-1][2]:
            joined[-1] = (item, joined[-1][1], max(end, joined[-1][2]))
        else:
            joined.append((item, start, end))
    return joined
