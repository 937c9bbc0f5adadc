"""Chapter 3 exercises: from text as it is found to rows that a model may learn from.

Texts, sets and arrays of whole numbers; nothing here needs a model, and nothing that was handed in is changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "by_hand_shingles: the last shingle is missing": "Of m words there are m - n + 1 runs of n.",
        "by_hand_shingles: every n-th shingle only": "Shingles overlap like roof tiles: begin one at every word.",
        "marks_and_capitals: punctuation stayed in the words": (
            r"re.findall(r'\w+', …) finds words; str.split leaves marks on them."
        ),
        "marks_and_capitals: capitals make a difference": "Lower-case the text before you look for words.",
        "short_texts: a text of fewer than n words has no shingle": "All its words are one then, if it has any.",
    },
    why="""A set of single words would call a sentence and its reversal the same, a set of whole texts would call two
    texts different that differ in a comma. Shingles stand between: n says how long a stretch must be the same to
    count. Short texts need a rule of their own, or all of them have the empty set and are duplicates of each other.""",
)
def shingles(text: str, n: int) -> set[tuple[str, ...]]:
    r"""All runs of n words of a text, each as a tuple.

    A word is a run of letters, digits and underscores, lower-cased: what `\w+` matches. A text with fewer than n words,
    but at least one, has one shingle, all its words; a text without words has none.

    >>> sorted(shingles("A rose is a rose.", 3))
    [('a', 'rose', 'is'), ('is', 'a', 'rose'), ('rose', 'is', 'a')]
    """
    words = re.findall(r"\w+", text.lower())
    if len(words) < n:
        return {tuple(words)} if words else set()
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


@task(
    points=1,
    difficulty="easy",
    minutes=5,
    hints={
        "by_hand_jaccard: divided by the sizes added": "len(a) + len(b) counts what both have twice.",
        "by_hand_jaccard: divided by the smaller set": "That is how far one is contained in the other.",
        "by_hand_jaccard: divided by the larger set": "Divide by how many there are in either: the union.",
        "empty_sets: ZeroDivisionError": "Two empty sets are the same set: 1.",
    },
    why="""The index does not ask which text is the longer one. A page that quotes another in full and is ten times as
    long has an index of 0.1 with it, though it contains all of it: near-duplicates and quotations are different
    questions, and the second one is asked when training text is searched for test questions.""",
)
def jaccard(a: set, b: set) -> float:
    """The Jaccard index of two sets: how many elements both have, over how many either has; of two empty sets 1.

    >>> jaccard({1, 2, 3}, {2, 3, 4})
    0.5
    """
    return len(a & b) / len(a | b) if a or b else 1.0


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "by_hand_signature: the largest values were taken": "The least value under each function is wanted.",
        "by_hand_signature: the least over functions, not over numbers": "Each function gives one entry.",
        "by_hand_signature: the remainder of the product, then the offset": "The remainder is of the whole, a x + b.",
        "by_hand_signature: no remainder": "Without it a x + b keeps the order: one x is always least.",
        "by_hand_signature: the function of the least number": "First the function of all, then the least.",
        "large_numbers": "a x + b reaches 2**62: int64 holds it, int32 and float64 do not.",
        "empty_set": "np.min of nothing is an error: answer with the prime, which no remainder reaches.",
    },
    why="""The remainder is what shuffles: a x + b alone is a rising line, and the smallest number would be first under
    every function. Two sets agree in an entry when the element that comes first in their union is in both, which
    happens with a probability of their Jaccard index. Whatever loses digits breaks that silently: products that
    overflow or pass through float64 still look random, but in the latter case far too many are equal.""",
)
def signature(numbers: np.ndarray, factors: np.ndarray, offsets: np.ndarray, prime: int) -> np.ndarray:
    """A MinHash signature: for each function x -> (a x + b) mod prime, its least value over a set of numbers.

    numbers: (n,) int64, the hashes of a text's shingles, from 0 to below prime, which is at most 2**31; factors,
    offsets: (k,) int64, likewise
    returns: (k,) int64; of an empty set, prime everywhere

    >>> signature(np.array([3, 8]), np.array([1, 5]), np.array([4, 0]), 11).tolist()
    [1, 4]
    """
    if not len(numbers):
        return np.full(len(factors), prime)
    values = (factors[:, None] * numbers[None, :] + offsets[:, None]) % prime
    return values.min(axis=1)


@task(
    points=4,
    difficulty="hard",
    minutes=30,
    hints={
        "by_hand_pairs: bands and rows exchanged": "How many entries does one slice take? So many as a band has rows.",
        "by_hand_pairs: all bands in one dictionary": "Each band has buckets of its own.",
        "two_of_a_bucket: only neighbours, or only pairs with the first": "A bucket of three has three pairs.",
        "order_in_a_pair": "Write every pair with the smaller number first, and each pair once.",
        "what_is_left_over": "Entries behind the last whole band are not looked at.",
        "alike_when_written": "Take the numbers themselves as a bucket's key, tuple(band.tolist()): not their text, "
        "nor floats.",
        "many_texts": "Put texts into buckets and pair those of one bucket; do not compare each with every other.",
    },
    why="""This is a true story, twice over: two well-known tools for cleaning web text had bands and rows exchanged.
    Nothing crashes. At an index of 0.8, 21 bands of 6 rows find 99.8 of 100 pairs; 6 bands of 21 rows find 5, and
    the log says that the corpus has few duplicates. What would have noticed? A test that counts candidates among pairs
    whose index s is known, and compares with 1 - (1 - s^r)^b.""",
)
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
    pairs = set()
    for k in range(bands):
        buckets: dict[tuple[int, ...], list[int]] = {}
        for j, signature in enumerate(signatures):
            bucket = buckets.setdefault(tuple(signature[k * rows : (k + 1) * rows].tolist()), [])
            pairs |= {(i, j) for i in bucket}
            bucket.append(j)
    return pairs


@task(
    points=4,
    difficulty="hard",
    minutes=35,
    hints={
        "by_hand_packed: the separator closes a document": "It comes first: every document begins with it.",
        "by_hand_packed: rows do not overlap": "The last target of a row is the first id of the next: step by context.",
        "by_hand_packed: the targets are the ids themselves": "Targets are one place further on in the stream.",
        "by_hand_packed: an unfinished row was kept": "What does not fill a row with its targets is dropped.",
        "who_sees_whom: a token sees what comes after it": "Causal first: column at most row.",
        "who_sees_whom: documents see each other": "Number the documents of a row, and compare the numbers.",
        "who_sees_whom: a row that begins inside a document sees nothing": (
            "What stands before a row's first separator is a document too: the end of one. Count separators: it is 0."
        ),
        "who_sees_whom: a token does not see itself": "Or a document's first would see nothing.",
        "empty_ones": "An empty document is a separator alone; of no documents there are no rows.",
    },
    why="""Without the mask the model sees the end of a recipe while it reads the beginning of a will, and learns to
    ignore what stands before a separator: most models of 2023 were trained like that, and it works. It costs something
    where documents are short, and much where the same few documents stand next to each other again and again. The
    separator is a target as well: "the text ends here" has to be learnt, or the model never stops.""",
)
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
    stream = np.array([i for document in documents for i in (separator, *document)], np.int64)
    rows = max(0, len(stream) - 1) // context
    ids = stream[: rows * context].reshape(rows, context)
    targets = stream[1 : rows * context + 1].reshape(rows, context)
    document = np.cumsum(ids == separator, axis=1)
    mask = (document[:, :, None] == document[:, None, :]) & np.tri(context, dtype=bool)
    return ids, targets, mask


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "by_hand_weights: sizes to the power of T": "The exponent is 1 / T: a large T makes sources more alike.",
        "by_hand_weights: not divided by their sum": "Weights are shares: they sum to 1.",
        "by_hand_weights: a softmax of the sizes": "Not of sizes but of their logarithms: n^(1/T) = exp(log(n) / T).",
        "by_hand_weights: as the sizes are, whatever the temperature": "Raise the sizes to the power of 1 / T.",
        "extremes: inf or nan": "A huge power overflows: divide by the largest size first, or subtract its logarithm.",
        "extremes_in_any_order": "The largest stands anywhere, and is all that a size may be divided by: of shares a "
        "huge power is 0.",
    },
    why="""T = 1 reads every source equally often; T = ∞ reads a tiny source as much as the web, perhaps thousands of
    times. What lies between is chosen by trying: multilingual models take 1.4 to 3.3, so that small languages are read
    at all. Look at the epochs that come out, not at the shares: few are harmless, many are learnt by heart.""",
)
def mixing_weights(sizes: np.ndarray, temperature: float) -> np.ndarray:
    """The share of each source in a mixture: p_i = n_i^(1/T) / (the sum of n_j^(1/T)).

    sizes: (sources,) float64, tokens in each, all above 0, up to 1e15; temperature: above 0, down to 0.001, or infinite
    returns: (sources,), summing to 1

    >>> mixing_weights(np.array([900.0, 100.0]), 2.0)
    array([0.75, 0.25])
    """
    powers = (sizes / sizes.max()) ** (1 / temperature)
    return powers / powers.sum()
