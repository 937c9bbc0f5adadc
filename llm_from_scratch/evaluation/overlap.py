"""Contamination: does a text that a model is tested on stand in what it was trained on?

Both are lists of words without punctuation and capitals; a test text is contaminated if a run of n words of it, or all
of it if it is shorter, occurs in the training text. The runs of the test texts are the index, and the training text,
which may be of any size, passes by once. Source: Brown et al. 2020, arXiv:2005.14165, appendix C (n = 13).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.curation.words import words as words_of
from ..scoring.intervals import Estimate, bootstrap


@dataclass(frozen=True)
class Contamination(Estimate):
    """value: the share of texts of which a run of n words was seen; shares (N,): how much of each text lies in such
    runs; examples: {text's number: the first such run}.
    """

    shares: np.ndarray
    examples: dict[int, str]

    @property
    def seen(self) -> np.ndarray:
        """Which texts are contaminated, (N,) bool."""
        return self.shares > 0


def contamination(texts: Sequence[str], corpus: Iterable[str], *, n: int = 13, seed: int = 0) -> Contamination:
    """How many of the texts share n words in a row with a document of the corpus.

    ValueError for a text without words.

    >>> result = contamination(["The fox jumps over it.", "A dog!"], ["today the fox, jumps over"], n=3)
    >>> result.shares.tolist(), result.examples
    ([0.8, 0.0], {0: 'the fox jumps'})
    """
    if isinstance(texts, str) or isinstance(corpus, str):
        raise TypeError("texts and corpus are several texts, got a single one: put it in a list")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be a whole number of at least 1, got {n!r}")
    tested = [_words(text) for text in texts]
    runs: dict[int, dict[tuple[str, ...], list[tuple[int, int]]]] = {}  # length -> run -> where it stands
    for number, words in enumerate(tested):
        if not words:
            raise ValueError(f"text {number} has no words: {texts[number]!r:.60}")
        length = min(n, len(words))
        index = runs.setdefault(length, {})
        for start in range(len(words) - length + 1):
            index.setdefault(tuple(words[start : start + length]), []).append((number, start))
    covered = [np.zeros(len(words), bool) for words in tested]
    examples: dict[int, tuple[int, str]] = {}
    for document in corpus:
        words = _words(document)
        for length, index in runs.items():
            for start in range(len(words) - length + 1):
                for number, place in index.pop(tuple(words[start : start + length]), ()):  # each run counts once
                    covered[number][place : place + length] = True
                    found = (place, " ".join(words[start : start + length]))
                    examples[number] = min(examples.get(number, found), found)
    shares = np.array([float(one.mean()) for one in covered])
    mean = bootstrap(shares > 0, seed)
    return Contamination(mean.value, mean.interval, mean.count, shares, {k: examples[k][1] for k in sorted(examples)})


def _words(text: str) -> list[str]:
    return words_of(text.replace("_", " "))  # which stands for slanted letters in plain texts, and is none
