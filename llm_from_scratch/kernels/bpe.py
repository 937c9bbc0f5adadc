"""Encoding words with byte-pair merges.

`merge_words` is byte-pair encoding itself: in every word, join the neighbouring pair that was learnt first, leftmost
first, until no neighbouring pair was ever learnt. The twin is that sentence as a loop; the compiled version keeps the
pairs of a long word in a heap, so that a word of n bytes costs n log n steps and not n². `gather_words` lays the
encoded distinct words out in the order of the text.

`merge_ranked` is the rule of SentencePiece and tiktoken. They keep no pairs: any two neighbours that spell a token may
be joined, and the token's score or rank alone says when. Two pairs can spell the same token ("a" + "aa", "aa" + "a");
they are equally good then, and the leftmost goes first.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel

# Left and right id -> a place in the table, the same arithmetic in the compiled version (modulo 2^64).
HASH_LEFT, HASH_RIGHT, HASH_SHIFT = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 32


def merge_table(merges: np.ndarray) -> np.ndarray:
    """A hash table from a pair of ids to its rank, for the compiled `merge_words`.

    merges (m, 3) int32 rows (left, right, result) in the order of learning, each pair once -> (capacity,) int32: the
    rank of the pair that lives at that place, or -1. A pair lives at its hash or, where that is taken, at the next
    free place (linear probing); a quarter of the table is used, so that most look-ups touch one place.

    >>> table = merge_table(np.array([[116, 104, 256], [256, 101, 257]], np.int32))
    >>> sorted(table[table >= 0].tolist()), len(table)
    ([0, 1], 8)
    """
    capacity = 1 << max(3, int(4 * len(merges) - 1).bit_length())
    table = np.full(capacity, -1, np.int32)
    pairs = merges[:, :2].astype(np.uint64)
    value = pairs[:, 0] * np.uint64(HASH_LEFT) + pairs[:, 1] * np.uint64(HASH_RIGHT)
    rank = np.arange(len(merges), dtype=np.int32)
    place = ((value ^ (value >> np.uint64(HASH_SHIFT))) & np.uint64(capacity - 1)).astype(np.int64)
    while rank.size:
        free = table[place] < 0
        table[place[free]] = rank[free]  # of several for one place, one stays
        moved_on = table[place] != rank
        rank, place = rank[moved_on], (place[moved_on] + 1) & (capacity - 1)
    return table


# The dictionaries made from the last few merge lists; the arrays are kept, so that `is` cannot be fooled.
_joined_of: list[tuple[np.ndarray, np.ndarray | None, dict[tuple[int, int], tuple[int, int]]]] = []


def _joined(merges: np.ndarray, ranks: np.ndarray | None) -> dict[tuple[int, int], tuple[int, int]]:
    """{pair: (rank, result)}; without ranks the merges stand in their order."""
    for known, known_ranks, joined in _joined_of:
        if known is merges and known_ranks is ranks:
            return joined
    order = range(len(merges)) if ranks is None else ranks.tolist()
    joined = {(left, right): (rank, result) for (left, right, result), rank in zip(merges.tolist(), order)}
    _joined_of.append((merges, ranks, joined))
    del _joined_of[:-4]
    return joined


def _merge_each(
    symbols: np.ndarray, ends: np.ndarray, joined: dict[tuple[int, int], tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """In each word the neighbours of the lowest rank first, the leftmost of equals; joined: {pair: (rank, result)}."""
    never = (1 << 31, -1)
    ids: list[int] = []
    new_ends = np.empty(ends.size, np.int64)
    start = 0
    for w, end in enumerate(ends.tolist()):
        word = symbols[start:end].tolist()
        start = end
        while len(word) > 1:
            # min takes the first of equals: the leftmost.
            at = min(range(len(word) - 1), key=lambda i: joined.get((word[i], word[i + 1]), never)[0])
            result = joined.get((word[at], word[at + 1]), never)[1]
            if result < 0:
                break
            word[at : at + 2] = [result]
        ids += word
        new_ends[w] = len(ids)
    return np.array(ids, np.int32), new_ends


@kernel
def merge_words(
    symbols: np.ndarray, ends: np.ndarray, merges: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Encode each word, given as the ids of its bytes.

    symbols (n,) int32: words one after the other; ends (w,) int64: where each word ends; merges (m, 3) int32;
    table = merge_table(merges) (the twin makes a dictionary instead) -> ids (k,) int32, ends of the encoded words
    (w,) int64.

    >>> merges = np.array([[104, 101, 256], [116, 256, 257]], np.int32)         # he, then t + he
    >>> symbols = np.frombuffer(b"thehey", np.uint8).astype(np.int32)
    >>> merge_words(symbols, np.array([3, 6]), merges, merge_table(merges))      # "the" -> 257, "hey" -> 256 y
    (array([257, 256, 121], dtype=int32), array([1, 3]))
    """
    return _merge_each(symbols, ends, _joined(merges, None))


@merge_words.example
def _(rng):
    for letters, words, longest in ((3, 300, 20), (4, 3, 700), (5, 0, 1)):
        merges = [(int(a), int(b)) for a, b in rng.integers(0, letters, (4, 2))]
        for _ in range(40):
            merges.append((int(rng.integers(letters + len(merges))), int(rng.integers(letters + len(merges)))))
        merges = list(dict.fromkeys(merges))
        rows = np.array([(a, b, letters + i) for i, (a, b) in enumerate(merges)], np.int32)
        ends = np.cumsum(rng.integers(0, longest, words)).astype(np.int64)
        symbols = rng.integers(0, letters, int(ends[-1]) if words else 0).astype(np.int32)
        yield (symbols, ends, rows, merge_table(rows)), {}


@kernel
def merge_ranked(
    symbols: np.ndarray, ends: np.ndarray, merges: np.ndarray, ranks: np.ndarray, table: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Encode each word, given as ids of characters or bytes: the neighbours of the lowest rank, leftmost first.

    symbols (n,) int32: words one after the other; ends (w,) int64: where each word ends; merges (m, 3) int32 rows
    (left, right, result), each pair once; ranks (m,) int32, not negative; table = merge_table(merges)
    -> ids (k,) int32, ends of the encoded words (w,) int64.

    >>> merges = np.array([[0, 0, 1], [1, 0, 2], [0, 1, 2]], np.int32)          # aa; aaa in two ways
    >>> symbols, ends = np.zeros(5, np.int32), np.array([5])
    >>> merge_ranked(symbols, ends, merges, np.array([0, 1, 1], np.int32), merge_table(merges))   # aa aa a -> aa aaa
    (array([1, 2], dtype=int32), array([2]))
    """
    return _merge_each(symbols, ends, _joined(merges, ranks))


@merge_ranked.example
def _(rng):
    # Tokens spelt from few letters, so that many are made by several pairs; ranks with ties.
    for letters, words, longest in (("ab", 200, 20), ("abc", 3, 600), ("a", 20, 70), ("ab", 0, 1)):
        tokens = list(letters)
        while len(tokens) < 60:
            new = str(rng.choice(tokens)) + str(rng.choice(tokens))
            if new not in tokens and len(new) < 12:
                tokens.append(new)
            elif len(letters) == 1 and len(tokens) == 11:
                break
        number = {token: n for n, token in enumerate(tokens)}
        rows = [(number[t[:i]], number[t[i:]], n) for t, n in number.items() for i in range(1, len(t))
                if t[:i] in number and t[i:] in number]  # fmt: skip
        merges = np.array(rows, np.int32)
        rank_of = rng.permutation(len(tokens)) // 2
        ends = np.cumsum(rng.integers(0, longest, words)).astype(np.int64)
        symbols = rng.integers(0, len(letters), int(ends[-1]) if words else 0).astype(np.int32)
        yield (symbols, ends, merges, rank_of[merges[:, 2]].astype(np.int32), merge_table(merges)), {}


@kernel
def gather_words(ids: np.ndarray, ends: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Write out word after word.

    ids (k,) int32 and ends (w,) int64 as `merge_words` returns them, which (n,) int32: numbers of words -> ids int32.

    >>> gather_words(np.array([257, 256, 121], np.int32), np.array([1, 3]), np.array([1, 0, 1], np.int32))
    array([256, 121, 257, 256, 121], dtype=int32)
    """
    if which.size == 0:
        return np.empty(0, np.int32)
    starts = np.concatenate(([0], ends[:-1]))
    lengths = (ends - starts)[which]
    begins = np.cumsum(lengths) - lengths
    # Position in the result minus where its word begins there, plus where the word begins in `ids`.
    return ids[np.arange(lengths.sum()) + np.repeat(starts[which] - begins, lengths)]


@gather_words.example
def _(rng):
    for words, n in ((1, 1), (50, 400), (3, 0)):
        ends = np.cumsum(rng.integers(0, 6, words)).astype(np.int64)
        ids = rng.integers(0, 1000, int(ends[-1])).astype(np.int32)
        yield (ids, ends, rng.integers(0, words, n).astype(np.int32)), {}
