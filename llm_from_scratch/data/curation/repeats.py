"""Repeated lines and runs of words inside one text, taken out; what stands first stays.

Sources: C4 dropped lines seen before (Raffel et al. 2020, arXiv:1910.10683, section 2.2, of three sentences there, and
over the whole corpus); why long runs matter is in Lee et al. 2022, "Deduplicating training data makes language models
better", arXiv:2107.06499. Both rules here look at one text; across texts see the rules that remember.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import regex

from .pieces import SPACE, UNSPACED, WORD, check_number, check_text, words
from .words import run_hashes

_TOKEN = regex.compile(rf"(?:{WORD})[{SPACE}]*")
_BASE, _PRIME = 0x5DEECE66D, (1 << 61) - 1


@dataclass(frozen=True)
class RepeatedLines:
    """Drops lines that stood in the text before, but for white space and capitals; blank lines stay.

    shortest: lines of fewer characters stay, too: a speaker's name or a brace is repeated for good reason.

    >>> print(RepeatedLines(shortest=10)("Share this page\\nHAMLET.\\nTo be.\\nHAMLET.\\nshare this page"))
    Share this page
    HAMLET.
    To be.
    HAMLET.
    """

    shortest: int = 20
    name = "repeated-lines"
    does = "drops lines that repeat an earlier one of the same text"

    def __post_init__(self) -> None:
        check_number("repeated-lines", "shortest", self.shortest, 0, whole=True)

    def __call__(self, text: str) -> str:
        seen: set[str] = set()
        kept = []
        for line in check_text("repeated-lines", text).split("\n"):
            key = " ".join(line.split()).lower()
            if len(key) < self.shortest or not key or key not in seen:
                kept.append(line)
            seen.add(key)
        return "\n".join(kept)


@dataclass(frozen=True)
class RepeatedNgrams:
    """Takes out every run of `length` words that stood in the text before.

    Words are compared as they stand; white space after them does not count. What is left holds no such run twice, not
    even one that a cut has made.

    >>> RepeatedNgrams(length=3)("we use cookies here and there we use cookies and more")
    'we use cookies here and there and more'
    """

    length: int = 20
    name = "repeated-ngrams"
    does = "takes out runs of words that repeat an earlier one of the same text"

    def __post_init__(self) -> None:
        check_number("repeated-ngrams", "length", self.length, 2, whole=True)

    def __call__(self, text: str) -> str:
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(word, len(numbers) + 1) for word in words(check_text("repeated-ngrams", text))]
        runs = run_hashes(np.array(ids, np.uint64), self.length)
        if len(np.unique(runs)) == len(runs):  # as in most texts: told at once
            return text
        start = len(text) - len(text.lstrip())
        return text[:start] + "".join(_without_repeats(_TOKEN.findall(text, start), self.length))


def _without_repeats(tokens: list[str], n: int) -> list[str]:
    """The tokens, as a stack from which each run of n that is there already is taken again as it becomes complete.

    A token is pushed and popped once at most, and a run is found by a rolling hash: linear in the text.
    """
    numbers: dict[str, int] = {}
    power = pow(_BASE, n, _PRIME)
    kept: list[str] = []
    ids: list[int] = []
    hashes = [0]  # hashes[i]: of the first i words kept
    starts: dict[int, int] = {}  # hash of a run -> where it starts
    cut = False
    for token in tokens:
        number = numbers.setdefault(token.rstrip(), len(numbers) + 1)
        if cut and kept and not kept[-1][-1].isspace() and not UNSPACED.match(token):
            kept[-1] += " "  # two words that a cut brought together stay two
        cut = False
        kept.append(token)
        ids.append(number)
        hashes.append((hashes[-1] * _BASE + number) % _PRIME)
        start = len(ids) - n
        if start < 0:
            continue
        run = (hashes[-1] - hashes[start] * power) % _PRIME
        first = starts.setdefault(run, start)
        if first != start and ids[first : first + n] == ids[start:]:
            for _ in range(min(n, start - first)):  # a run that overlaps itself keeps its beginning
                end = len(ids)
                if end > n and end - n != start:
                    gone = (hashes[end] - hashes[end - n] * power) % _PRIME
                    if starts.get(gone) == end - n:
                        del starts[gone]
                kept.pop(), ids.pop(), hashes.pop()
            cut = True
    return kept
