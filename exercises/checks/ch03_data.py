"""What the grader looks at in chapter 3. Nothing is hidden: read on if a message leaves you wondering.

Expected values are typed in, or found the slow way, with Python's own whole numbers.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from llm_from_scratch.grading import check, check_close, check_equal, check_that, inputs_stay_unchanged

# --- shingles ---


@check("shingles")
def by_hand_shingles(shingles):
    """six words, in threes and one by one"""
    text = "one two three one two four"
    expected = {("one", "two", "three"), ("two", "three", "one"), ("three", "one", "two"), ("one", "two", "four")}
    causes = {
        "the last shingle is missing": expected - {("one", "two", "four")},
        "every n-th shingle only": {("one", "two", "three"), ("one", "two", "four")},
        "a shingle is a tuple of words, not one text": {" ".join(shingle) for shingle in expected},
        "single words came back": {(word,) for word in text.split()},
        "the order inside a shingle got lost": {tuple(sorted(shingle)) for shingle in expected},
    }
    check_equal("the shingles of three words", shingles(text, 3), expected, causes)
    check_equal("the shingles of one word", shingles(text, 1), {("one",), ("two",), ("three",), ("four",)})


@check("shingles")
def marks_and_capitals(shingles):
    """punctuation, capitals, tabs and line ends; letters of any script, digits, underscores"""
    expected = {("it", "s"), ("s", "snake_case"), ("snake_case", "42"), ("42", "été"), ("été", "ist")}
    causes = {
        "punctuation stayed in the words": {
            ("it's", "snake_case;"), ("snake_case;", "42"), ("42", "(été)"), ("(été)", "ist!")
        },
        "capitals make a difference": {
            ("It", "s"), ("s", "snake_case"), ("snake_case", "42"), ("42", "Été"), ("Été", "ist")
        },
        "only the letters of English are letters here": {
            ("it", "s"), ("s", "snake_case"), ("snake_case", "42"), ("42", "t"), ("t", "ist")
        },
    }  # fmt: skip
    check_equal("the shingles", shingles("It's\n\tsnake_case;  42 -- (Été)\r\n ist!", 2), expected, causes)


@check("shingles")
def short_texts(shingles):
    """fewer words than n, exactly n, none at all"""
    causes = {
        "a text of fewer than n words has no shingle": set(),
        "a short text was filled up": {("too", "short", "")},
    }
    check_equal("of two words, in threes", shingles("Too short!", 3), {("too", "short")}, causes)
    check_equal("of three words, in threes", shingles("Just long enough", 3), {("just", "long", "enough")})
    for text in ("", " \n", "?! ..."):
        check_equal(f"of {text!r}", shingles(text, 3), set(), {"a text without words has no shingle": {()}})


@check("shingles")
def many_shingles(shingles, rng):
    """a long text of few words: every run once"""
    words = [f"w{k}" for k in rng.integers(0, 6, 500)]
    for n in (2, 5, 13):
        expected = set(zip(*(words[k:] for k in range(n))))
        check_equal(f"the shingles of {n} words", shingles(" ".join(words), n), expected)


# --- jaccard ---


@check("jaccard")
def by_hand_jaccard(jaccard):
    """three of four and three of six elements"""
    a, b = {1, 2, 3, 4}, {2, 3, 4, 5, 6, 7}
    causes = {
        "divided by the sizes added": 3 / 10,
        "divided by the smaller set": 3 / 4,
        "divided by the larger set": 3 / 6,
        "twice what they share, over the sizes added (Dice's index)": 6 / 10,
        "the distance, 1 less the index": 4 / 7,
        "the number of what they share": 3.0,
    }
    check_close("the index", jaccard(a, b), 3 / 7, 1e-12, causes)
    check_close("the index, the other way round", jaccard(b, a), 3 / 7, 1e-12)


@check("jaccard")
def equal_and_apart(jaccard):
    """the same set, sets that share nothing, a part of another"""
    check_close("of a set and itself", jaccard({("a", "b"), ("b", "c")}, {("b", "c"), ("a", "b")}), 1.0, 1e-12)
    check_that(jaccard({1, 2}, {3}) == 0, "sets that share nothing have an index of 0")
    check_close("of a part and the whole", jaccard({1}, set(range(10))), 0.1, 1e-12)


@check("jaccard")
def empty_sets(jaccard):
    """one empty set: 0; two: 1"""
    check_that(jaccard(set(), {1}) == 0, "an empty set and another share nothing: 0")
    check_that(jaccard({1}, set()) == 0, "a set and an empty one share nothing: 0")
    check_close("of two empty sets", jaccard(set(), set()), 1.0, 1e-12)


@check("jaccard")
def drawn_sets(jaccard, rng):
    """drawn sets of very different sizes"""
    for size in (1, 5, 200):
        a, b = set(rng.integers(0, 300, size).tolist()), set(rng.integers(0, 300, 150).tolist()) | {3}
        a |= {3}
        shared = sum(1 for x in a if x in b)
        check_close("the index", jaccard(a, b), shared / (len(a) + len(b) - shared), 1e-12)


# --- signature ---


def least(numbers, factors, offsets, prime):
    """By Python's whole numbers, which have no largest one."""
    pairs = zip(factors.tolist(), offsets.tolist())
    return np.array([min((a * x + b) % prime for x in numbers.tolist()) for a, b in pairs], np.int64)


@check("signature")
def by_hand_signature(signature):
    """three numbers under two functions, modulo 13"""
    numbers, factors, offsets = np.array([5, 11, 8]), np.array([3, 7]), np.array([4, 1])
    # 3x + 4 is 19, 37, 28 and modulo 13: 6, 11, 2;    7x + 1 is 36, 78, 57 and modulo 13: 10, 0, 5
    products = factors[:, None] * numbers % 13
    causes = {
        "the largest values were taken": np.array([11, 10]),
        "the least over functions, not over numbers": np.array([6, 0, 2]),
        "the remainder of the product, then the offset": (products + offsets[:, None]).min(axis=1),
        "no remainder": np.array([19, 36]),
        "the function of the least number": np.array([6, 10]),
        "the offset was left out": products.min(axis=1),
        "the numbers themselves, the least first": np.array([5, 5]),
    }
    check_equal("the signature", signature(numbers, factors, offsets, 13), np.array([2, 0]), causes)


@check("signature")
def as_many_numbers_as_functions(signature, rng):
    """square, one function, one number: the axis shows"""
    for n, k in ((6, 6), (9, 1), (1, 9), (40, 7)):
        prime = 10_007
        numbers, factors, offsets = (rng.integers(0, prime, size) for size in (n, k, k))
        got = signature(numbers, factors, offsets, prime)
        check_equal(f"the signature of {n} numbers", got, least(numbers, factors, offsets, prime))


@check("signature")
def large_numbers(signature, rng):
    """numbers near 2**31: products near 2**62"""
    prime = 2**31 - 1
    numbers, factors, offsets = (prime - 1 - rng.integers(0, 10_000, size) for size in (50, 30, 30))
    expected = least(numbers, factors, offsets, prime)
    floats = (factors[:, None].astype(float) * numbers + offsets[:, None]) % prime
    with np.errstate(all="ignore"):
        small = (
            factors.astype(np.int32)[:, None] * numbers.astype(np.int32) + offsets.astype(np.int32)[:, None]
        ) % prime
    causes = {
        "the products went through float64, which has 53 bits": floats.min(axis=1).astype(np.int64),
        "the products overflowed in int32": small.min(axis=1).astype(np.int64),
    }
    check_equal("the signature", signature(numbers, factors, offsets, prime), expected, causes)


@check("signature")
def empty_set(signature):
    """no number at all"""
    nothing = np.array([], np.int64)
    got = signature(nothing, np.array([3, 5, 7]), np.array([1, 1, 1]), 13)
    check_equal("the signature", got, np.array([13, 13, 13]), {"zeros": np.array([0, 0, 0])})


@check("signature")
def order_and_repetition(signature, rng):
    """numbers in another order, and some of them twice: the same set"""
    prime = 2**31 - 1
    numbers, factors, offsets = (rng.integers(0, prime, size) for size in (60, 40, 40))
    again = np.concatenate([numbers[::-1], numbers[:20]])
    check_equal("the signature", signature(again, factors, offsets, prime), least(numbers, factors, offsets, prime))


@check("signature")
def estimates_jaccard(signature, rng):
    """the share of equal entries is near the Jaccard index"""
    prime = 2**31 - 1
    numbers = rng.choice(prime, 300, replace=False)
    a, b = numbers[:200], numbers[100:]  # 100 of 300
    factors, offsets = rng.integers(1, prime, 1000), rng.integers(0, prime, 1000)
    share = np.mean(signature(a, factors, offsets, prime) == signature(b, factors, offsets, prime))
    check_that(abs(share - 1 / 3) < 0.08, f"of 1,000 entries a third should be equal, {share:.2f} are")


# --- candidate_pairs ---


def pairs_by_looking(signatures, bands, rows):
    return {
        (i, j)
        for i, j in itertools.combinations(range(len(signatures)), 2)
        if any(
            (signatures[i, k * rows : (k + 1) * rows] == signatures[j, k * rows : (k + 1) * rows]).all()
            for k in range(bands)
        )
    }


@check("candidate_pairs")
def by_hand_pairs(candidate_pairs):
    """three bands of two rows: text 1 shares a band with 0, and 2 has the same numbers in another band"""
    signatures = np.array([[1, 2, 3, 4, 5, 6], [9, 9, 3, 4, 9, 9], [3, 4, 8, 8, 8, 8], [1, 7, 3, 7, 5, 7]])
    causes = {
        "bands and rows exchanged": pairs_by_looking(signatures, 2, 3),
        "all bands in one dictionary": {(0, 1), (0, 2), (1, 2)},
        "one equal entry is not enough: all rows of a band": pairs_by_looking(signatures, 6, 1),
        "the whole signature was compared": pairs_by_looking(signatures, 1, 6),
    }
    check_equal("the pairs", candidate_pairs(signatures, 3, 2), {(0, 1)}, causes)


@check("candidate_pairs")
def more_bands_than_rows(candidate_pairs):
    """four bands of one row, one band of four rows: they are not the same"""
    signatures = np.array([[1, 2, 3, 4], [5, 2, 6, 7], [8, 8, 8, 7], [1, 2, 3, 4]])
    narrow, wide = {(0, 1), (0, 3), (1, 2), (1, 3)}, {(0, 3)}
    exchanged = "bands and rows exchanged"
    check_equal("with four bands of one row", candidate_pairs(signatures, 4, 1), narrow, {exchanged: wide})
    check_equal("with one band of four rows", candidate_pairs(signatures, 1, 4), wide, {exchanged: narrow})


@check("candidate_pairs")
def two_of_a_bucket(candidate_pairs):
    """four texts in one bucket have six pairs"""
    signatures = np.array([[1, 1], [1, 1], [1, 1], [1, 1], [2, 2]])
    causes = {
        "each text was paired with the one before it only": {(0, 1), (1, 2), (2, 3)},
        "each text was paired with the first one only": {(0, 1), (0, 2), (0, 3)},
    }
    check_equal("the pairs", candidate_pairs(signatures, 1, 2), set(itertools.combinations(range(4), 2)), causes)


@check("candidate_pairs")
def order_in_a_pair(candidate_pairs):
    """the smaller number first, each pair once, no text with itself"""
    signatures = np.array([[4, 1, 2, 2], [3, 3, 3, 3], [4, 1, 2, 2]])
    causes = {
        "both orders of a pair came back": {(0, 2), (2, 0)},
        "the larger number stands first": {(2, 0)},
        "a text is no pair with itself": {(0, 2), (0, 0), (1, 1), (2, 2)},
    }
    check_equal("the pairs", candidate_pairs(signatures, 2, 2), {(0, 2)}, causes)


@check("candidate_pairs")
def what_is_left_over(candidate_pairs):
    """seven entries, three bands of two rows: the last entry counts for nothing"""
    signatures = np.array([[1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 0, 0, 7], [1, 2, 0, 9, 0, 9, 8]])
    check_equal("the pairs", candidate_pairs(signatures, 3, 2), {(0, 2)})
    check_equal("of a single text", candidate_pairs(signatures[:1], 3, 2), set())


@check("candidate_pairs")
def alike_when_written(candidate_pairs):
    """bands that read alike without the gaps, and numbers that are one as floats"""
    signatures = np.array([[1, 12], [11, 2], [2**60, 5], [2**60 + 1, 5], [12, 1]])
    causes = {
        "the numbers were joined without a gap: 1 and 12 read like 11 and 2": {(0, 1)},
        "the numbers went through float64, which has 53 bits": {(2, 3)},
        "the order in a band was lost": {(0, 4)},
    }
    check_equal("the pairs", candidate_pairs(signatures, 1, 2), set(), causes)


@check("candidate_pairs")
def many_texts(candidate_pairs, rng):
    """twenty thousand texts, of which two are alike"""
    signatures = np.arange(80_000).reshape(20_000, 4)[rng.permutation(20_000)]
    signatures[19_321, 2:] = signatures[77, 2:]
    check_equal("the pairs", candidate_pairs(signatures, 2, 2), {(77, 19_321)})


@check("candidate_pairs")
def drawn_signatures(candidate_pairs, rng):
    """drawn signatures with few values, and values beyond 2**32"""
    for bands, rows in ((6, 2), (2, 6), (3, 4)):
        signatures = rng.integers(0, 3, (40, 12)) + 2**40 * rng.integers(0, 2, (40, 12))
        signatures[20:30] = signatures[:10]
        signatures[20:30, :7] += 1
        check_equal("the pairs", candidate_pairs(signatures, bands, rows), pairs_by_looking(signatures, bands, rows))


# --- pack ---

DOCUMENTS = [[5, 6], [7, 8, 9, 10, 11], [12], [13, 14, 15]]
# the stream: 0 5 6 | 0 7 8 9 10 11 | 0 12 | 0 13 14 15


def packed_by_hand(documents, context, separator):
    """Place by place, with the number of the document at each."""
    stream, of = [], []
    for number, document in enumerate(documents):
        stream += [separator, *document]
        of += [number] * (len(document) + 1)
    rows = [r for r in range(len(stream)) if (r + 1) * context < len(stream)]
    ids = [[stream[r * context + i] for i in range(context)] for r in rows]
    targets = [[stream[r * context + i + 1] for i in range(context)] for r in rows]
    places = range(context)
    mask = [[[j <= i and of[r * context + i] == of[r * context + j] for j in places] for i in places] for r in rows]
    return np.array(ids), np.array(targets), np.array(mask)


@check("pack")
def by_hand_packed(pack):
    """four documents in rows of four"""
    ids, targets, _ = pack(DOCUMENTS, 4, 0)
    expected = np.array([[0, 5, 6, 0], [7, 8, 9, 10], [11, 0, 12, 0]])
    causes = {
        "the separator closes a document": np.array([[5, 6, 0, 7], [8, 9, 10, 11], [0, 12, 0, 13]]),
        "rows do not overlap": np.array([[0, 5, 6, 0], [8, 9, 10, 11]]),
        "there is no separator between documents": np.array([[5, 6, 7, 8], [9, 10, 11, 12]]),
    }
    unfinished = "what does not fill a row and its targets is dropped: three rows are left, four came back"
    check_that(np.shape(ids) != (4, 4), unfinished, "an unfinished row was kept.")
    check_equal("ids", ids, expected, causes)
    after = np.array([[5, 6, 0, 7], [8, 9, 10, 11], [0, 12, 0, 13]])
    masked = np.where(expected == 0, -100, after)
    check_equal(
        "targets",
        targets,
        after,
        {"the targets are the ids themselves": expected, "what the separator predicts counts, too": masked},
    )


@check("pack")
def who_sees_whom(pack):
    """the mask of a row with the end of one document, a whole one, and the beginning of a third"""
    documents = [[5, 6, 7], [8, 9], [10, 11, 12]]  # 0 5 6 7 0 | 8 9 0 10 11 | 12
    _, _, mask = pack(documents, 5, 0)
    _, _, expected = packed_by_hand(documents, 5, 0)
    check_equal("the shape of the mask", np.shape(mask), expected.shape)
    check_equal("the dtype of the mask", str(np.asarray(mask).dtype), "bool")
    lower = np.broadcast_to(np.tri(5, dtype=bool), expected.shape)
    both = expected | expected.transpose(0, 2, 1)
    inside = np.cumsum(np.array([[0, 5, 6, 7, 0], [8, 9, 0, 10, 11]]) == 0, axis=1)
    closes = np.cumsum(np.pad(np.array([[0, 5, 6, 7, 0], [8, 9, 0, 10, 11]]) == 0, ((0, 0), (1, 0)))[:, :-1], axis=1)
    causes = {
        "documents see each other": lower,
        "a token sees what comes after it": both,
        "a token does not see itself": expected & ~np.eye(5, dtype=bool),
        "a row that begins inside a document sees nothing": expected & (inside > 0)[:, :, None],
        "the separator was counted to the document that it ends": (closes[:, :, None] == closes[:, None, :]) & lower,
        "it says who must not be seen": ~expected,
        "rows and columns are exchanged": expected.transpose(0, 2, 1),
    }
    check_equal("mask", mask, expected, causes)


@check("pack")
def nothing_leaks(pack, rng):
    """many documents of many lengths, longer than rows and shorter"""
    for context in (3, 8, 16):
        documents = [rng.integers(1, 50, rng.integers(1, 30)).tolist() for _ in range(40)]
        for name, got, expected in zip(
            ("ids", "targets", "mask"), pack(documents, context, 0), packed_by_hand(documents, context, 0)
        ):
            check_equal(f"{name}, context {context}", got, expected)


@check("pack")
def another_separator(pack):
    """the separator is 99, and 0 is a token like any other; equal tokens stand in different documents"""
    documents = [[0, 3, 0], [0, 3, 0], [3]]
    for name, got, expected in zip(
        ("ids", "targets", "mask"), pack(documents, 3, 99), packed_by_hand(documents, 3, 99)
    ):
        check_equal(name, got, expected)


@check("pack")
def a_row_that_just_fills(pack):
    """a stream of a whole number of rows lacks one target; one token more, and it is a row"""
    got = pack([[1, 2, 3], [4, 5, 6]], 4, 0)  # eight ids: the second row lacks its last target
    check_equal("the shape of ids", np.shape(got[0]), (1, 4))
    check_equal("the shape of ids, one token more", np.shape(pack([[1, 2, 3], [4, 5, 6, 7]], 4, 0)[0]), (2, 4))
    check_equal("the shape of the mask, no row", np.shape(pack([[1]], 4, 0)[2]), (0, 4, 4))


@check("pack")
def empty_ones(pack):
    """a document of nothing is a separator, and no documents are no rows"""
    documents = [[5, 6], [], [], [7, 8]]  # 0 5 6 0 0 0 7 8
    for name, got, expected in zip(("ids", "targets", "mask"), pack(documents, 3, 0), packed_by_hand(documents, 3, 0)):
        check_equal(name, got, expected)
    check_equal("the shapes, no documents", [np.shape(part) for part in pack([], 3, 0)], [(0, 3), (0, 3), (0, 3, 3)])


@check("pack")
def documents_of_arrays(pack):
    """documents as arrays; int64 comes back"""
    ids, targets, _ = pack([np.array([1, 2, 3], np.uint16), np.array([4, 5], np.uint16)], 3, 0)
    check_equal("ids", ids, np.array([[0, 1, 2], [3, 0, 4]]))
    check_equal("targets", targets, np.array([[1, 2, 3], [0, 4, 5]]))


# --- mixing_weights ---


@check("mixing_weights")
def by_hand_weights(mixing_weights):
    """three sources of 1, 4 and 16, at a temperature of 2"""
    sizes = np.array([16.0, 1.0, 4.0])
    logits = sizes / 2.0
    causes = {
        "sizes to the power of T": np.array([256.0, 1.0, 16.0]) / 273,
        "not divided by their sum": np.array([4.0, 1.0, 2.0]),
        "a softmax of the sizes": np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(),
        "as the sizes are, whatever the temperature": sizes / 21,
        "all alike": np.full(3, 1 / 3),
        "divided by the largest, not by the sum": np.array([1.0, 0.25, 0.5]),
    }
    check_close("the weights", mixing_weights(sizes, 2.0), np.array([4.0, 1.0, 2.0]) / 7, 1e-12, causes)


@check("mixing_weights")
def temperature_one(mixing_weights):
    """1 leaves the sizes as they are, below 1 favours the large ones"""
    sizes = np.array([600.0, 300.0, 100.0])
    check_close("at 1", mixing_weights(sizes, 1.0), np.array([0.6, 0.3, 0.1]), 1e-12)
    check_close("at 1/2", mixing_weights(sizes, 0.5), np.array([36.0, 9.0, 1.0]) / 46, 1e-12)
    check_close("of a single source", mixing_weights(np.array([7.0]), 3.0), np.array([1.0]), 1e-12)


@check("mixing_weights")
def extremes(mixing_weights):
    """an infinite temperature, a tiny one, and sizes up to 1e15"""
    sizes = np.array([1e15, 4e14, 2e9])
    check_close("at infinity", mixing_weights(sizes, math.inf), np.full(3, 1 / 3), 1e-12)
    for temperature in (0.001, 0.01, 0.05):
        exact = 0.4 ** (1 / temperature)
        got = mixing_weights(sizes, temperature)
        check_that(
            bool(np.isfinite(got).all()), f"at {temperature} the weights are not all finite: inf or nan", "inf or nan."
        )
        check_close(f"at {temperature}", got, np.array([1 / (1 + exact), exact / (1 + exact), 0.0]), 1e-9)


@check("mixing_weights")
def extremes_in_any_order(mixing_weights):
    """the largest in the middle, and sizes that are all alike"""
    for temperature in (0.001, 0.05):
        exact = 0.4 ** (1 / temperature)
        got = mixing_weights(np.array([2e9, 4e14, 1e15, 4e14]), temperature)
        expected = np.array([0.0, exact, 1.0, exact]) / (1 + 2 * exact)
        with np.errstate(all="ignore"):
            check_that(bool(np.isfinite(got).all()), f"at {temperature} the weights are {got}", "inf or nan.")
        check_close(f"at {temperature}, the largest in the middle", got, expected, 1e-9)
    alike = mixing_weights(np.full(20, 3e12), 0.001)
    check_that(bool(np.isfinite(alike).all()), f"of 20 equal sources the weights are {alike[:2]}, …", "inf or nan.")
    check_close("of 20 equal sources at 0.001", alike, np.full(20, 0.05), 1e-12)


@check("mixing_weights")
def drawn_sizes(mixing_weights, rng):
    """drawn sizes and temperatures: ratios of weights are the ratios of sizes to 1 / T"""
    for count in (2, 5, 30):
        sizes, temperature = rng.uniform(1, 1e6, count), float(rng.uniform(0.7, 5))
        ratios = [math.exp(math.log(size / sizes[0]) / temperature) for size in sizes]
        check_close("the weights", mixing_weights(sizes, temperature), np.array(ratios) / math.fsum(ratios), 1e-9)


inputs_stay_unchanged("jaccard", "signature", "candidate_pairs", "pack", "mixing_weights")
