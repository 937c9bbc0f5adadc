"""The words of a text and its shingles: the sets by which duplicates and contamination are found.

A word is a run of letters, marks and digits, lower-cased, so that punctuation, spacing and the way in which accents and
ligatures are encoded make no difference; underscores inside a word are part of it, around it they are emphasis. Scripts
that put no spaces between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer) give a word a character. A shingle is a
run of n words. Words and shingles are worked with as 64-bit hashes, the same on every machine: two of a billion
different ones collide with a chance of 3 %.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
import regex

from .pieces import UNSPACED, unicode_form

_ASCII = re.compile(r"[^\W_]\w*(?<!_)", re.ASCII)
_LETTERS = regex.compile(r"[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}_]*(?<!_)")
_CHARACTERS = regex.compile(
    rf"(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--{UNSPACED.pattern}][[\p{{L}}\p{{M}}\p{{N}}_]--{UNSPACED.pattern}]*(?<!_)"
    rf"|[[\p{{L}}\p{{N}}]&&{UNSPACED.pattern}]\p{{M}}*"
)
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: no word of a shingle is multiplied away
_MOST = 1 << 18  # words whose hashes are kept: about 50 MB


def pattern(text: str) -> re.Pattern[str] | regex.Pattern[str]:
    """What finds the words of this text, with their places; the fastest of three that find the same."""
    if text.isascii():
        return _ASCII
    return _CHARACTERS if UNSPACED.search(text) else _LETTERS


def words(text: str) -> list[str]:
    """The words of a text, lower-cased and in Unicode's form NFKC.

    >>> words("The café, the CAFE\u0301 \u2014 and the oﬃce.")
    ['the', 'café', 'the', 'café', 'and', 'the', 'office']
    >>> words("漢字 and kana: かな")
    ['漢', '字', 'and', 'kana', 'か', 'な']
    """
    return [_plain(word) for word in pattern(text).findall(text)]


def word_hashes(text: str) -> np.ndarray:
    """A hash for each word of a text: (words,) uint64."""
    found = pattern(text).findall(text)
    return np.fromiter(map(_hashes.__getitem__, found), np.uint64, len(found))


def run_hashes(hashes: np.ndarray, length: int) -> np.ndarray:
    """A hash for each run of `length` neighbours: (n,) -> (n - length + 1,), empty where there are fewer."""
    count = max(0, len(hashes) - length + 1)
    runs = np.zeros(count, np.uint64)
    for first in range(length):  # Horner's rule modulo 2**64
        runs *= _BASE
        runs += hashes[first : first + count]
    return runs


def shingles(text: str, ngram: int = 5) -> np.ndarray:
    """The set of runs of `ngram` words of a text as hashes, sorted, each once: (n,) uint64.

    A shorter text is one shingle, all its words; a text without a word is what stands between its spaces, in place of
    words; an empty text has none.

    >>> len(shingles("a rose is a rose is a rose is a rose", 3))       # a rose is, rose is a, is a rose
    3
    >>> len(shingles("too short")), len(shingles("?!")), len(shingles(" "))
    (1, 1, 0)
    """
    return np.unique(_runs(text, ngram))


def jaccard(a: str, b: str, ngram: int = 5) -> float:
    """How alike two texts are: the shingles they share over the shingles that either has; of two empty texts 1.

    >>> jaccard("a b c d e f g", "a b c d e f x")                      # 2 of 4
    0.5
    """
    return overlap(shingles(a, ngram), shingles(b, ngram))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The Jaccard index of two sets that `shingles` made."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    together = len(a) + len(b) - shared
    return shared / together if together else 1.0


def _runs(text: str, ngram: int) -> np.ndarray:
    """The hashes of all runs, repeated ones too, with the rules for short texts."""
    hashes = word_hashes(text)
    if not len(hashes):
        marks = text.split()
        hashes = np.fromiter(map(_hashes.__getitem__, marks), np.uint64, len(marks))
    return run_hashes(hashes, min(ngram, max(1, len(hashes))))


def _plain(word: str) -> str:
    return word.lower() if word.isascii() else unicode_form("NFKC", unicode_form("NFKC", word).lower())


class _Hashes(dict[str, int]):
    """word -> hash, remembered: a text repeats its words."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST:
            self.clear()
        # A lone surrogate, which JSON can hold, is no UTF-8 but a character like any other here.
        digest = hashlib.blake2b(_plain(word).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        value = self[word] = int.from_bytes(digest, "little")
        return value


_hashes = _Hashes()
