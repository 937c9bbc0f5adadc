"""Gopher's rules of repetition: how much of a text its repeated lines, paragraphs and runs of words make up.

Source: Rae et al. 2021, arXiv:2112.11446, appendix A.1.1, "Repetition removal", and table A1. The paper leaves open
whether the first of several equal things is a duplicate. Here it is not: a text is its first lines and what repeats
them, so half of a text that stands there twice is duplicate. For runs of 2 to 4 words the most frequent one counts
wherever it stands, if it stands there twice. Characters are those of words, and each counts once however many runs it
is part of; so all fractions go from 0 to 1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .pieces import check_number, check_text, words
from .rule import Removed

_PARAGRAPHS = re.compile(r"\n[^\S\n]*\n\s*")


def duplicate_fractions(pieces: Sequence[str]) -> tuple[float, float]:
    """Of pieces such as lines, the fraction that repeats an earlier one, and the fraction of their characters.

    >>> duplicate_fractions(["to be", "or", "to be", "not"])           # 5 of 15 characters
    (0.25, 0.3333333333333333)
    """
    seen: set[str] = set()
    repeats = [piece for piece in pieces if piece in seen or seen.add(piece)]  # type: ignore[func-returns-value]
    characters = sum(map(len, pieces))
    return len(repeats) / max(1, len(pieces)), sum(map(len, repeats)) / max(1, characters)


def ngram_fractions(found: Sequence[str], longest: int = 10) -> dict[int, tuple[float, float]]:
    """n -> (fraction of characters in the most frequent run of n words, in runs that repeat an earlier one).

    >>> top, duplicate = ngram_fractions("a b c x a b y a b".split())[2]
    >>> round(top, 3), round(duplicate, 3)                              # 6 and 4 of 9 characters
    (0.667, 0.444)
    """
    fractions = {}
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in found], np.int64)
    lengths = np.array([len(word) for word in found], np.int64)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    runs = ids
    for n in range(2, min(longest, len(found)) + 1):
        # A run's number: that of the run one word shorter, and the word's, put together and numbered anew.
        _, firsts, runs, counts = np.unique(
            runs[:-1] * len(numbers) + ids[n - 1 :], return_index=True, return_inverse=True, return_counts=True
        )
        most = counts.max()
        top = 0.0
        if most > 1:  # of several that are equally frequent, the one with the most characters
            candidates = np.flatnonzero(counts == most)
            sizes = ends[firsts[candidates] + n] - ends[firsts[candidates]]
            top = _covered(runs == candidates[sizes.argmax()], n, lengths)
        fractions[n] = top, _covered(firsts[runs] != np.arange(len(runs)), n, lengths)
    return fractions


def _covered(starts: np.ndarray, n: int, lengths: np.ndarray) -> float:
    """The fraction of characters in the runs of n words that start where `starts` is True."""
    steps = np.zeros(len(lengths) + 1, np.int64)
    steps[: len(starts)] += starts
    steps[n:] -= starts
    return float(lengths[np.cumsum(steps)[:-1] > 0].sum() / lengths.sum())


@dataclass(frozen=True)
class GopherRepetition:
    """Removes a text of which more than these fractions repeats; the defaults are the paper's.

    lines, paragraphs: of their number; line_characters, paragraph_characters: of their characters; top: for the most
    frequent runs of 2, 3 and 4 words; duplicate: for the repeated runs of 5 to 10 words.

    >>> GopherRepetition()("Click here.\\nA long story begins.\\nClick here.\\nClick here.\\n").reason
    '50% of the lines repeat an earlier one, more than 30%'
    """

    lines: float = 0.30
    paragraphs: float = 0.30
    line_characters: float = 0.20
    paragraph_characters: float = 0.20
    top: tuple[float, ...] = (0.20, 0.18, 0.16)
    duplicate: tuple[float, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    name = "repetition"
    does = "removes texts of which too much is repeated lines, paragraphs or runs of words"

    def __post_init__(self) -> None:
        for setting in ("lines", "paragraphs", "line_characters", "paragraph_characters"):
            check_number("repetition", setting, getattr(self, setting), 0, 1)
        for setting, expected in (("top", 3), ("duplicate", 6)):
            values = getattr(self, setting)
            if not isinstance(values, (tuple, list)) or len(values) != expected:
                raise TypeError(f"repetition: {setting} is {values!r}, expected {expected} fractions")
            for value in values:
                check_number("repetition", setting, value, 0, 1)
            object.__setattr__(self, setting, tuple(values))

    def __call__(self, text: str) -> str | Removed:
        reason, shown = self._reason(check_text("repetition", text))
        return Removed(reason, shown[:200]) if reason else text

    def _reason(self, text: str) -> tuple[str, str]:
        stripped = text.strip()
        for kind, pieces, most, most_characters in (
            ("lines", stripped.split("\n"), self.lines, self.line_characters),
            ("paragraphs", _PARAGRAPHS.split(stripped), self.paragraphs, self.paragraph_characters),
        ):
            pieces = [piece for piece in map(str.strip, pieces) if piece]
            fraction, characters = duplicate_fractions(pieces)
            if fraction > most or characters > most_characters:
                shown = Counter(pieces).most_common(1)[0][0]
                if fraction > most:
                    return f"{fraction:.0%} of the {kind} repeat an earlier one, more than {most:.0%}", shown
                return f"{characters:.0%} of it is in repeated {kind}, more than {most_characters:.0%}", shown
        fractions = ngram_fractions(words(stripped))
        for n, (top, duplicate) in fractions.items():
            if n <= 4 and top > self.top[n - 2]:
                return f"the most frequent {n}-gram is {top:.0%} of it, more than {self.top[n - 2]:.0%}", text
            if n >= 5 and duplicate > self.duplicate[n - 5]:
                return f"repeated {n}-grams are {duplicate:.0%} of it, more than {self.duplicate[n - 5]:.0%}", text
        return "", ""
