"""Byte-pair encoding as one would first write it: two short functions to read before the fast ones.

`learn` counts all pairs afresh for every merge, `encode` looks for the oldest merge again and again. They are the
reference that the kernels are tested against, and far too slow for real text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

Token = bytes
Pair = tuple[Token, Token]


def count_pairs(words: Mapping[tuple[Token, ...], int]) -> Counter[Pair]:
    """How often each pair of neighbours occurs.

    >>> count_pairs({(b"a", b"b", b"a", b"b"): 2})
    Counter({(b'a', b'b'): 4, (b'b', b'a'): 2})
    """
    pairs: Counter[Pair] = Counter()
    for word, count in words.items():
        for left, right in zip(word, word[1:]):  # the shorter one decides
            pairs[left, right] += count
    return pairs


def merge(word: Sequence[Token], pair: Pair) -> tuple[Token, ...]:
    """Join every occurrence of the pair, from left to right.

    >>> merge((b"a", b"a", b"a"), (b"a", b"a"))
    (b'aa', b'a')
    """
    merged: list[Token] = []
    i = 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def learn(word_counts: Mapping[bytes, int], new_tokens: int) -> list[Pair]:
    """The merges that make `new_tokens` new tokens, most frequent pair first.

    Ties go to the greater pair of byte strings (left part first): `ties="lexicographic"` of `Tokenizer.train`.

    >>> learn({b"low": 5, b"lowest": 2, b"newer": 6, b"wider": 3}, 4)
    [(b'e', b'r'), (b'o', b'w'), (b'l', b'ow'), (b'w', b'er')]
    """
    words = {tuple(bytes([byte]) for byte in word): count for word, count in word_counts.items()}
    merges: list[Pair] = []
    while len(merges) < new_tokens:
        pairs = count_pairs(words)
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {merge(word, best): count for word, count in words.items()}
    return merges


def encode(word: bytes, ranks: Mapping[Pair, int]) -> list[Token]:
    """Split a word into tokens: as long as two neighbours were ever merged, do the oldest merge, leftmost first.

    ranks: the position of each pair in the list that `learn` returned.

    >>> merges = [(b"e", b"r"), (b"n", b"e"), (b"w", b"er")]
    >>> encode(b"newer", {pair: rank for rank, pair in enumerate(merges)})
    [b'ne', b'wer']
    """
    tokens = [bytes([byte]) for byte in word]
    while len(tokens) > 1:
        pairs = list(zip(tokens, tokens[1:]))
        at = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)))
        if pairs[at] not in ranks:
            break
        tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
    return tokens
