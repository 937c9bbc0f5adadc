"""Near-duplicates of a list of texts: which of them belong together.

Two texts are joined when they are a candidate pair (`bands`) and the Jaccard index of their shingles, computed exactly,
reaches the threshold. Texts belong together when a chain of joined pairs leads from one to the other: the groups are
connected components. Texts with the same set of shingles are one from the start, and no two texts are compared that are
in one group already, so that a page that stands there 50,000 times costs no more than 50,000 different ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .bands import band_keys, choose_bands
from .signatures import check_seed, positive, signature_of
from .words import overlap, shingles


def near_duplicates(
    texts: Sequence[str], *, threshold: float = 0.8, permutations: int = 128, ngram: int = 5, seed: int = 0
) -> list[list[int]]:
    """Which texts belong together: lists of at least two indices, in the order of `texts`.

    threshold: the Jaccard index of shingles of `ngram` words, above 0 and at most 1, from which two texts are joined. A
    pair at the threshold is found in at least 99 of 100 cases (over seeds), more alike ones nearly always; what is
    joined is verified. To remove duplicates, keep the first of each list and what is in none.

    >>> tale = "once upon a time a whale sang so low that nobody on the shore could hear it but the stones".split()
    >>> near_duplicates([" ".join(tale), "Quite another text.", " ".join(tale[1:]).upper() + "!"])
    [[0, 2]]
    """
    texts = _checked(texts)
    bands, rows = choose_bands(threshold, permutations)
    positive("ngram", ngram)
    check_seed(seed)
    sets: list[np.ndarray] = []
    same: dict[bytes, list[int]] = {}  # a set of shingles -> the texts that have it
    for number, text in enumerate(texts):
        found = shingles(text, ngram)
        members = same.setdefault(found.tobytes(), [])
        if not members:
            sets.append(found)
        members.append(number)
    if not sets:
        return []
    keys = np.concatenate([band_keys(signature_of(found, permutations, seed)[None], bands, rows) for found in sets])
    groups = _Groups(len(sets))
    for band in range(bands):
        for bucket in _buckets(keys[:, band]):
            _join(bucket, keys[:, :band], sets, threshold, groups)
    texts_of = list(same.values())
    together = [sorted(text for which in members for text in texts_of[which]) for members in groups.members]
    return sorted(group for group in together if len(group) > 1)


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise TypeError(f"near_duplicates takes a list of texts, got one {type(texts).__name__}")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"near_duplicates takes a list of texts, got {type(text).__name__} as number {number}")
    return texts


def _buckets(keys: np.ndarray) -> list[np.ndarray]:
    """The places of equal keys, for every key that comes more than once."""
    order = np.argsort(keys, kind="stable")
    borders = np.flatnonzero(np.diff(keys[order])) + 1
    return [bucket for bucket in np.split(order, borders) if len(bucket) > 1]


def _join(
    bucket: np.ndarray, earlier_keys: np.ndarray, sets: list[np.ndarray], threshold: float, groups: _Groups
) -> None:
    """Join what is alike in one bucket, group by group, each from one member outwards.

    Of two texts that end in different groups, the one that left `waiting` first was compared with the other. Hence
    pairs that met in an earlier band need no second look.
    """
    waiting = bucket
    while len(waiting):
        frontier, waiting = [waiting[0]], waiting[1:]
        while frontier and len(waiting):
            one = frontier.pop()
            met = (earlier_keys[waiting] == earlier_keys[one]).any(axis=1)
            for other in waiting[~met & (groups.of[waiting] != groups.of[one])]:
                if groups.of[other] != groups.of[one] and overlap(sets[one], sets[other]) >= threshold:
                    groups.join(one, other)
            joined = groups.of[waiting] == groups.of[one]
            frontier += [*waiting[joined]]
            waiting = waiting[~joined]


class _Groups:
    """Numbers 0 … n - 1 in groups, each alone at first; `of` is the group of each."""

    def __init__(self, count: int) -> None:
        self.of = np.arange(count)
        self.members = [[number] for number in range(count)]

    def join(self, one: int, other: int) -> None:
        """Make the groups of both one: the smaller moves, so that no number moves more than log2(n) times."""
        large, small = sorted((self.of[one], self.of[other]), key=lambda group: len(self.members[group]), reverse=True)
        self.of[self.members[small]] = large
        self.members[large] += self.members[small]
        self.members[small] = []
