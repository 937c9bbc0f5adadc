"""Learning byte-pair merges from counted words.

The rule (Sennrich et al. 2016, arXiv:1508.07909, on bytes): join the most frequent neighbouring pair everywhere, give
it a new id, and repeat. Counting all pairs afresh each time would cost words × merges; here each merge visits only the
places where its pair stands, and a heap with out-of-date entries finds the next one.
`llm_from_scratch.tokenizers.naive` is the slow version to read first.

Two facts make the bookkeeping short. A merge only brings up pairs that hold its new token, so a pair is never brought
up by two merges. And a token is never made by two different pairs: inside a stretch of text whose borders no merge
has crossed, merges go as they would if the stretch stood alone, so equal stretches are joined in the same way.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Any

import numpy as np

from .dispatch import kernel

Pair = tuple[int, int]


class _Entry:
    """A pair in the heap: the most frequent first, ties by the rule."""

    __slots__ = ("count", "lexicographic", "order", "pair")

    def __init__(self, count: int, pair: Pair, order: Any, lexicographic: bool):
        self.count, self.pair, self.order, self.lexicographic = count, pair, order, lexicographic

    def __lt__(self, other: _Entry) -> bool:
        if self.count != other.count:
            return self.count > other.count
        return self.order > other.order if self.lexicographic else self.order < other.order


class _Text:
    """The words as linked symbols, how often each pair occurs, and the places where it stands, from left to right.

    A place is where a pair's left symbol stands: it belongs to one pair at a time. -1 is beyond the border of a word.
    """

    def __init__(self, symbols: np.ndarray, ends: np.ndarray, word_counts: np.ndarray) -> None:
        self.symbols = symbols.tolist()
        self.before, self.after = [-1] * symbols.size, [-1] * symbols.size
        self.weights = [0] * symbols.size  # how often the word around a place occurs
        self.counts: dict[Pair, int] = {}
        self.places: dict[Pair, dict[int, None]] = {}  # ordered sets
        for (start, end), count in zip(itertools.pairwise([0, *ends.tolist()]), word_counts.tolist(), strict=True):
            self.weights[start:end] = [count] * (end - start)
            for i in range(start, end - 1):
                self.after[i], self.before[i + 1] = i + 1, i
                self._arrive(i)

    def _pairs(self, i: int) -> list[Pair]:
        """The pair whose left symbol stands at i, if there is one."""
        return [(self.symbols[i], self.symbols[self.after[i]])] if i >= 0 and self.after[i] >= 0 else []

    def _arrive(self, i: int) -> list[Pair]:
        for pair in self._pairs(i):
            self.counts[pair] = self.counts.get(pair, 0) + self.weights[i]
            self.places.setdefault(pair, {})[i] = None
        return self._pairs(i)

    def _leave(self, i: int) -> None:
        for pair in self._pairs(i):
            self.counts[pair] -= self.weights[i]
            del self.places[pair][i]

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Join the pair wherever it stands; -> the pairs that came up. Counts of its neighbours are kept up to date."""
        come: set[Pair] = set()
        for i in list(self.places[pair]):
            if i not in self.places[pair]:
                continue  # "aaa": its second "a" has just been taken
            taken = self.after[i]
            for place in (self.before[i], i, taken):
                self._leave(place)
            self.symbols[i], self.after[i] = new, self.after[taken]
            if self.after[i] >= 0:
                self.before[self.after[i]] = i
            come.update(self._arrive(self.before[i]), self._arrive(i))
        del self.places[pair]
        return come


@kernel
def learn_merges(
    symbols: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    token_bytes: np.ndarray,
    token_ends: np.ndarray,
    reserved: int,
    new_tokens: int,
    min_frequency: int,
    lexicographic: bool,
) -> np.ndarray:
    """Learn merges until there are `new_tokens` new tokens, or no pair occurs `min_frequency` times.

    symbols (n,) int32: the ids of the bytes of the distinct words, one after the other; ends (w,) int64: where each
    ends; counts (w,) int64: how often each occurs; token_bytes, token_ends: the bytes of the tokens that exist (ids
    0, 1, ...), of which the first `reserved` (special tokens) are never made -> merges (m, 3) int32: left, right,
    result.

    Among pairs that are equally frequent:
    lexicographic=False  the smaller pair of ids, as the Rust library `tokenizers` does
    lexicographic=True   the greater pair of byte strings, left part first

    >>> text = np.frombuffer(b"abab", np.uint8).astype(np.int32) - 97            # the words "ab" (3 times) and "ab"
    >>> learn_merges(text, np.array([2, 4]), np.array([3, 1]), np.frombuffer(b"ab", np.uint8),
    ...              np.array([1, 2]), 0, 5, 1, False)
    array([[0, 1, 2]], dtype=int32)
    """
    borders = [0, *token_ends.tolist()]
    tokens = [token_bytes[a:b].tobytes() for a, b in itertools.pairwise(borders)]
    forbidden = set(tokens[:reserved])
    text = _Text(symbols, ends, counts)

    def entry(pair: Pair) -> _Entry:
        order = (tokens[pair[0]], tokens[pair[1]]) if lexicographic else pair
        return _Entry(text.counts[pair], pair, order, lexicographic)

    heap = [entry(pair) for pair in text.places]
    heapq.heapify(heap)
    merges: list[tuple[int, int, int]] = []
    while heap and len(merges) < new_tokens:
        top = heapq.heappop(heap)
        pair = top.pair
        if top.count != text.counts[pair]:  # out of date: back in line with today's count
            heapq.heappush(heap, entry(pair))
            continue
        if top.count < max(1, min_frequency):
            break
        if tokens[pair[0]] + tokens[pair[1]] in forbidden:
            continue
        new = len(tokens)
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        merges.append((*pair, new))
        for new_pair in text.merge(pair, new):
            heapq.heappush(heap, entry(new_pair))
    return np.array(merges, np.int32).reshape(-1, 3)


@learn_merges.example
def _(rng):
    for letters, words, longest, new_tokens in ((2, 60, 30, 50), (4, 500, 9, 300), (9, 800, 6, 10**6), (2, 0, 3, 5)):
        ends = np.cumsum(rng.integers(0, longest, words)).astype(np.int64)
        symbols = (2 + rng.integers(0, letters, int(ends[-1]) if words else 0)).astype(np.int32)
        counts = rng.integers(1, 5, words)
        text = b"ab" + b"" + bytes(range(97, 97 + letters))
        token_ends = np.array([2, 2, *range(3, 3 + letters)])
        for lexicographic in (False, True):
            for min_frequency in (0, 3):
                yield (
                    (symbols, ends, counts, np.frombuffer(text, np.uint8), token_ends, 2),
                    {"new_tokens": new_tokens, "min_frequency": min_frequency, "lexicographic": lexicographic},
                )


@kernel
def learn_pieces(
    symbols: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
    token_bytes: np.ndarray,
    token_ends: np.ndarray,
    new_tokens: int,
    min_frequency: int,
    longest: int,
) -> np.ndarray:
    """`learn_merges` by the rules of SentencePiece: symbols are characters, and no piece has more than `longest`.
    A piece holds at most one "▁", or nothing but "▁".

    symbols (n,) int32, ends (w,) int64, counts (w,) int64: the distinct words, as for `learn_merges`; token_bytes
    (uint8), token_ends: the UTF-8 of each character -> merges (m, 3) int32: left, right, result.

    Among pairs that are equally frequent goes first what spells the shortest piece (in characters), then the smallest
    (by its UTF-8), then the smaller pair of ids. The twin looks through all pairs for every merge.

    >>> text = np.array([0, 1, 2, 0, 1], np.int32)                          # the words "abc" and "ab", as often
    >>> letters = np.frombuffer(b"abc", np.uint8), np.array([1, 2, 3])
    >>> learn_pieces(text, np.array([3, 5]), np.array([1, 1]), *letters, 9, 1, 3).tolist()       # ab, then ab + c
    [[0, 1, 3], [3, 2, 4]]
    >>> learn_pieces(text, np.array([3, 5]), np.array([1, 1]), *letters, 9, 1, 2).tolist()
    [[0, 1, 3]]
    """
    tokens = [token_bytes[a:b].tobytes().decode("utf-8") for a, b in itertools.pairwise([0, *token_ends.tolist()])]
    text = _Text(symbols, ends, counts)

    def order(pair: Pair) -> Any:
        piece = tokens[pair[0]] + tokens[pair[1]]
        return -text.counts[pair], len(piece), piece, pair  # code points and UTF-8 sort alike

    merges: list[tuple[int, int, int]] = []
    while len(merges) < new_tokens:
        spelt = {pair: tokens[pair[0]] + tokens[pair[1]] for pair in text.places}
        spaces = {pair: piece.count("▁") for pair, piece in spelt.items()}
        allowed = [
            pair for pair, piece in spelt.items() if len(piece) <= longest and spaces[pair] in (0, 1, len(piece))
        ]
        if not allowed:
            break
        pair = min(allowed, key=order)
        if text.counts[pair] < max(1, min_frequency):
            break
        new = len(tokens)
        tokens.append(tokens[pair[0]] + tokens[pair[1]])
        merges.append((*pair, new))
        text.merge(pair, new)
    return np.array(merges, np.int32).reshape(-1, 3)


@learn_pieces.example
def _(rng):
    for letters, words, long, new_tokens, longest in (
        ("ab", 60, 30, 50, 16), ("aé漢👍", 500, 9, 120, 4), ("▁abcdefg", 300, 6, 80, 5), ("ab", 0, 3, 5, 2)
    ):  # fmt: skip
        ends = np.cumsum(rng.integers(0, long, words)).astype(np.int64)
        symbols = rng.integers(0, len(letters), int(ends[-1]) if words else 0).astype(np.int32)
        spelt = [letter.encode("utf-8") for letter in letters]
        token_ends = np.cumsum([len(token) for token in spelt], dtype=np.int64)
        for min_frequency in (0, 3):
            yield (
                (symbols, ends, rng.integers(1, 5, words), np.frombuffer(b"".join(spelt), np.uint8), token_ends),
                {"new_tokens": new_tokens, "min_frequency": min_frequency, "longest": longest},
            )
