"""Chapter 3 exercises: from text as it is found to rows that a model may learn from.

Texts, sets and arrays of whole numbers; nothing here needs a model, and nothing that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch03              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch03 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import re  # noqa: F401
from collections.abc import Sequence

import numpy as np


# Task 1 of 6: easy, about 15 minutes, 2 points
def shingles(text: str, n: int) -> set[tuple[str, ...]]:
    r"""All runs of n words of a text, each as a tuple.

    A word is a run of letters, digits and underscores, lower-cased: what `\w+` matches. A text with fewer than n words,
    but at least one, has one shingle, all its words; a text without words has none.

    >>> sorted(shingles("A rose is a rose.", 3))
    [('a', 'rose', 'is'), ('is', 'a', 'rose'), ('rose', 'is', 'a')]
    """
    raise NotImplementedError("shingles")


# Task 2 of 6: easy, about 5 minutes, 1 point
def jaccard(a: set, b: set) -> float:
    """The Jaccard index of two sets: how many elements both have, over how many either has; of two empty sets 1.

    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    raise NotImplementedError("jaccard")


# Task 3 of 6: medium, about 25 minutes, 3 points
def signature(numbers: np.ndarray, factors: np.ndarray, offsets: np.ndarray, prime: int) -> np.ndarray:
    """A MinHash signature: for each function x -> (a x + b) mod prime, its least value over a set of numbers.

    numbers: (n,) int64, the hashes of a text's shingles, from 0 to below prime, which is at most 2**31; factors,
    offsets: (k,) int64, likewise
    returns: (k,) int64; of an empty set, prime everywhere

    >>> signature(np.array([3, 8]), np.array([1, 5]), np.array([4, 0]), 11).tolist()
    [1, 4]
    """
    raise NotImplementedError("signature")


# Task 4 of 6: hard, about 30 minutes, 4 points
def candidate_pairs(signatures: np.ndarray, bands: int, rows: int) -> set[tuple[int, int]]:
    """**Find the bug.** Pairs of texts whose signatures agree in all rows of at least one band.

    signatures: (texts, at least bands * rows) int64; band k is the entries k * rows, …, k * rows + rows - 1. What is
    left over at the end belongs to no band. Returns each pair once, as (i, j) with i < j. Twenty thousand texts take
    seconds: no text is compared with all the others.

    The version below runs, is fast, and finds hardly any duplicate. It has three mistakes; write it right.

        buckets, pairs = {}, set()
        for k in range(rows):
            for i, signature in enumerate(signatures):
                band = tuple(signature[k * bands : (k + 1) * bands])
                if band in buckets:
                    pairs.add((buckets[band], i))
                buckets[band] = i
        return pairs

    >>> sorted(candidate_pairs(np.array([[1, 2, 3, 4], [1, 2, 9, 9], [1, 2, 3, 4], [3, 4, 1, 2]]), bands=2, rows=2))
    [(0, 1), (0, 2), (1, 2)]
    """
    raise NotImplementedError("candidate_pairs")


# Task 5 of 6: hard, about 35 minutes, 4 points
def pack(documents: Sequence[Sequence[int]], context: int, separator: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents of any length as rows of one length, and who may look at whom.

    documents: ids, none of them the separator; one may be empty, and there may be none. The stream is each document
    after a separator. Row r has the ids from place r * context on, `context` of them, and its targets are the ids one
    place further on. What does not fill a row and its targets is dropped.

    returns: ids (rows, context) and targets (rows, context), int64; mask (rows, context, context) bool: mask[r, i, j]
    says whether place i may look at place j: j stands not after i, and both are of one document. A separator belongs to
    the document that it opens.

    >>> ids, targets, mask = pack([[5, 6], [7, 8, 9]], context=3, separator=0)
    >>> ids.tolist(), targets.tolist()
    ([[0, 5, 6], [0, 7, 8]], [[5, 6, 0], [7, 8, 9]])
    >>> mask[0].astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    raise NotImplementedError("pack")


# Task 6 of 6: easy, about 15 minutes, 2 points
def mixing_weights(sizes: np.ndarray, temperature: float) -> np.ndarray:
    """The share of each source in a mixture: p_i = n_i^(1/T) / (the sum of n_j^(1/T)).

    sizes: (sources,) float64, tokens in each, all above 0, up to 1e15; temperature: above 0, down to 0.001, or infinite
    returns: (sources,), summing to 1

    >>> mixing_weights(np.array([900.0, 100.0]), 2.0)
    array([0.75, 0.25])
    """
    raise NotImplementedError("mixing_weights")
