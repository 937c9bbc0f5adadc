"""The unigram model (Kudo 2018, arXiv:1804.10959): of all ways to write a word in pieces, the most probable one.

Every piece has a log-probability, the way is the one with the greatest sum, found by Viterbi's algorithm: the best way
to the end of each character, from left to right. A character without a piece costs 10 more than the rarest piece.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence

import numpy as np

UNKNOWN_PENALTY = 10.0


class Unigram:
    """Encodes words.

    pieces:        (text, log-probability) by id
    unknown:       the id of the unknown piece; several unknown characters in a row become one
    byte_fallback: they become their bytes instead ("<0xE6>"), if all of those are pieces

    >>> model = Unigram([("<unk>", 0.0), ("a", -1.0), ("b", -2.0), ("ab", -2.5), ("bc", -4.0)], unknown=0)
    >>> model(["ab", "abc", "xyb"]).tolist()               # -2.5 beats -3, and a + bc -12.5 for an unknown c
    [3, 1, 4, 0, 2]
    """

    def __init__(self, pieces: Sequence[tuple[str, float]], unknown: int | None = None, *, byte_fallback: bool = False):
        self.ids = {text: number for number, (text, _) in enumerate(pieces)}
        self._scores = [score for _, score in pieces]
        self._prefixes = {text[:end] for text in self.ids for end in range(1, len(text) + 1)}
        self._unknown = unknown
        self._unknown_score = min(self._scores, default=0.0) - UNKNOWN_PENALTY
        self._byte_ids = [self.ids.get(f"<0x{byte:02X}>") if byte_fallback else None for byte in range(256)]

    def without(self, numbers: Collection[int]) -> Unigram:
        """The same model, but no word becomes these pieces (the unknown one keeps its office)."""
        made = copy.copy(self)
        made.ids = {text: number for text, number in self.ids.items() if number not in numbers}
        return made

    def __call__(self, words: Iterable[str]) -> np.ndarray:
        """The ids of words one after the other, (n,) int32. ValueError for an unknown character without a piece."""
        known: dict[str, list[int]] = {}
        ids: list[int] = []
        for word in words:
            if word not in known:
                known[word] = [number for piece in self.pieces(word) for number in self._spell(piece)]
            ids += known[word]
        return np.array(ids, np.int32)

    def pieces(self, word: str) -> list[str]:
        """The pieces of a word."""
        # For each place: the best score of a way to it, and where its last piece begins; unknown pieces are marked.
        best = [0.0] + [-np.inf] * len(word)
        begins = [-1] * (len(word) + 1)
        last = [-1] * (len(word) + 1)
        for start in range(len(word)):
            single = False
            for end in range(start + 1, len(word) + 1):
                piece = word[start:end]
                if piece not in self._prefixes:
                    break
                number = self.ids.get(piece)
                if number is None:
                    continue
                single = single or end == start + 1
                score = best[start] + self._scores[number]
                if begins[end] < 0 or score > best[end]:
                    best[end], begins[end], last[end] = score, start, number
            if not single:
                score = best[start] + self._unknown_score
                if begins[start + 1] < 0 or score > best[start + 1]:
                    if self._unknown is None:
                        raise ValueError(
                            f"the text needs the character {word[start]!r}, for which this vocabulary has no piece, "
                            "nor has it an unknown one"
                        )
                    best[start + 1], begins[start + 1], last[start + 1] = score, start, self._unknown
        found: list[str] = []
        end = len(word)
        joined = False
        while end > 0:
            start = begins[end]
            unknown = self._unknown is not None and last[end] == self._unknown
            if unknown and joined:
                found[-1] = word[start:end] + found[-1]
            else:
                found.append(word[start:end])
            joined, end = unknown, start
        return found[::-1]

    def _spell(self, piece: str) -> list[int]:
        number = self.ids.get(piece)
        if number is not None:
            return [number]
        spelt = [self._byte_ids[byte] for byte in piece.encode("utf-8")]
        if None not in spelt:
            return spelt  # type: ignore[return-value]
        assert self._unknown is not None
        return [self._unknown]
