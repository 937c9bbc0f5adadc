"""Learning byte-pair merges from counted words.

The rule (Sennrich et al. 2016, arXiv:1508.07909, on bytes): join the most frequent neighbouring pair everywhere, give
it a new id, and repeat. Counting all pairs afresh each time would cost words × merges; here each merge revisits only
the words that hold its pair, and a heap with out-of-date entries finds the next one.
`llm_from_scratch.tokenizers.naive` is the slow version to read first.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from .dispatch import kernel


class _Entry:
    """A place in the heap: the most frequent pair first, ties by the rule."""

    __slots__ = ("count", "order", "pair", "places")

    def __init__(self, count: int, pair: tuple[int, int], order: Any, places: set[int]):
        self.count, self.pair, self.order, self.places = count, pair, order, places

    def __lt__(self, other: _Entry) -> bool:
        return self.order < other.order if self.count == other.count else self.count > other.count


class _Greatest:
    """Bytes that sort backwards, for a heap that gives its smallest entry."""

    __slots__ = ("pair",)

    def __init__(self, left: bytes, right: bytes):
        self.pair = (left, right)

    def __lt__(self, other: _Greatest) -> bool:
        return self.pair > other.pair


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
    lexicographic=False  the smaller pair of ids, as the Rust library `tokenizers` does. Two of its habits show where
        a token can be spelt in two ways ("aaaa" as aa+aa or aaa+a): what a pair counted before it was merged still
        counts when the pair comes up again, and only the words where it came up are then revisited.
    lexicographic=True   the greater pair of byte strings, left part first. Counts are exact.

    >>> text = np.frombuffer(b"abab", np.uint8).astype(np.int32) - 97            # the words "ab" (3 times) and "ab"
    >>> learn_merges(text, np.array([2, 4]), np.array([3, 1]), np.frombuffer(b"ab", np.uint8),
    ...              np.array([1, 2]), 0, 5, 1, False)
    array([[0, 1, 2]], dtype=int32)
    """
    tokens = [token_bytes[a:b].tobytes() for a, b in zip([0, *token_ends[:-1].tolist()], token_ends.tolist())]
    ids = {token: number for number, token in enumerate(tokens) if token}
    starts = [0, *ends[:-1].tolist()]
    words = [symbols[a:b].tolist() for a, b in zip(starts, ends.tolist())]
    word_counts = counts.tolist()

    pair_counts: dict[tuple[int, int], int] = {}
    places: dict[tuple[int, int], set[int]] = {}  # words that hold the pair
    for w, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pair_counts[pair] = pair_counts.get(pair, 0) + word_counts[w]
            places.setdefault(pair, set()).add(w)

    def entry(pair: tuple[int, int], where: set[int]) -> _Entry:
        order = _Greatest(tokens[pair[0]], tokens[pair[1]]) if lexicographic else pair
        return _Entry(pair_counts[pair], pair, order, where)

    heap = [entry(pair, where) for pair, where in places.items()]
    heapq.heapify(heap)
    merges: list[tuple[int, int, int]] = []
    goal = len(tokens) + new_tokens
    while heap and len(tokens) < goal:
        top = heapq.heappop(heap)
        pair = top.pair
        if top.count != pair_counts[pair]:  # out of date: back in line with today's count
            heapq.heappush(heap, entry(pair, top.places))
            continue
        if top.count < max(1, min_frequency):
            break
        merged = tokens[pair[0]] + tokens[pair[1]]
        result = ids.setdefault(merged, len(tokens))
        if result < reserved:
            continue  # spells a special token
        if result == len(tokens):
            tokens.append(merged)
        merges.append((*pair, result))
        changed: dict[tuple[int, int], set[int]] = {}
        where = places.pop(pair, set()) if lexicographic else top.places
        for w in where:
            words[w] = _merge_word(words[w], pair, result, w, word_counts[w], pair_counts, changed, lexicographic)
        for new_pair, new_places in changed.items():
            if lexicographic:
                places.setdefault(new_pair, set()).update(new_places)
            if pair_counts[new_pair] > 0:
                heapq.heappush(heap, entry(new_pair, new_places))
    return np.array(merges, np.int32).reshape(-1, 3)


def _merge_word(
    word: list[int],
    pair: tuple[int, int],
    result: int,
    w: int,
    count: int,
    pair_counts: dict[tuple[int, int], int],
    changed: dict[tuple[int, int], set[int]],
    exact: bool,
) -> list[int]:
    """The word with `pair` joined from left to right; counts of the pairs that go and come are kept up to date."""
    left, right = pair
    new: list[int] = []
    i = 0
    while i < len(word):
        if word[i] != left or i + 1 == len(word) or word[i + 1] != right:
            new.append(word[i])
            i += 1
            continue
        gone = [(new[-1], left)] if new else []
        come = [(new[-1], result)] if new else []
        if i + 2 < len(word):
            gone.append((right, word[i + 2]))
            come.append((result, word[i + 2]))
        for old_pair in gone:
            pair_counts[old_pair] -= count
        for new_pair in come:
            pair_counts[new_pair] = pair_counts.get(new_pair, 0) + count
            changed.setdefault(new_pair, set()).add(w)
        if exact:
            pair_counts[pair] -= count
        new.append(result)
        i += 2
    return new


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
