from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch import data
from llm_from_scratch.data.curation.signatures import estimated_jaccard, minhash
from llm_from_scratch.data.curation.words import jaccard, shingles
from llm_from_scratch.kernels.signatures import PRIME, least_values

DATASKETCH = json.loads((Path(__file__).parent / "fixtures/datasketch.json").read_text(encoding="utf-8"))


def pair(number, length=200):
    """Two texts of `length` different words, the second begun `number` words later."""
    words = [f"w{number}x{i}" for i in range(length + number)]
    return " ".join(words[:length]), " ".join(words[number:])


def index_of(number, length=200):
    """The Jaccard index of such a pair, by counting."""
    each, shared = length - 4, length - number - 4
    return shared / (2 * each - shared)


def test_exactly_the_least_of_whole_numbers_of_any_size():
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, PRIME, size, dtype=np.uint64) for size in (200, 64, 64)]
    edges = np.array([0, 1, 2, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**60, PRIME - 2, PRIME - 1], np.uint64)
    for numbers, factors, offsets in (drawn, (edges, np.repeat(edges, 10), np.tile(edges, 10))):
        exact = [
            min((a * x + b) % PRIME for x in numbers.tolist())
            for a, b in zip(factors.tolist(), offsets.tolist(), strict=True)
        ]
        assert least_values(numbers, factors, offsets).tolist() == exact
        assert [int(least_values(x, factors[-1:], offsets[-1:])[0]) for x in numbers[:, None]] == [
            (int(factors[-1]) * x + int(offsets[-1])) % PRIME for x in numbers.tolist()
        ]


def test_hostile_numbers_never_reach_the_loop():
    good = np.array([1, 2], np.uint64)
    for position in range(3):
        for bad in (np.array([1, 2]), good.reshape(2, 1), [1, 2], np.array([PRIME], np.uint64)):
            arguments = [good, good, good]
            arguments[position] = bad
            with pytest.raises((TypeError, ValueError), match="least_values"):
                least_values(*arguments)
    with pytest.raises(ValueError, match="as many factors as offsets"):
        least_values(good, good, good[:1])


def test_form_and_repetition():
    signature = data.minhash("one two three four five six")
    assert signature.shape == (128,) and signature.dtype == np.uint64
    assert np.array_equal(signature, minhash("One, two; THREE four\n\nfive (six)!"))
    assert np.array_equal(signature, minhash("one two three four five six", permutations=128, ngram=5, seed=0))
    for other in ({"seed": 1}, {"ngram": 4}):
        assert (signature != minhash("one two three four five six", **other)).all(), other
    assert np.array_equal(minhash("a b c d e f", permutations=20), minhash("a b c d e f", permutations=300)[:20])
    assert minhash("a b", permutations=1).shape == (1,)


def test_all_permutations_are_used():
    # A signature of repeated columns would have the right mean and far too large a spread.
    signatures = np.stack([minhash(pair(number)[0]) for number in range(20)])
    assert len(np.unique(signatures)) == signatures.size


def test_a_signature_is_of_the_set():
    assert np.array_equal(minhash("a b c a b c a b c", ngram=2), minhash("a b c a b", ngram=2))
    assert not np.array_equal(minhash("a b c d", ngram=2), minhash("d c b a", ngram=2))


def test_the_union_has_the_smaller_entries():
    a, b = pair(50)
    both = a + " " + " ".join(b.split()[150:])  # the words of b that a lacks: its shingles are those of both
    assert set(shingles(a).tolist()) | set(shingles(b).tolist()) == set(shingles(both).tolist())
    assert np.array_equal(np.minimum(minhash(a), minhash(b)), minhash(both))


@pytest.mark.parametrize("number", [0, 5, 22, 65, 150, 196])
def test_the_estimate_is_unbiased_with_the_binomial_spread(number):
    a, b = pair(number)
    exact, seeds, permutations = index_of(number), 60, 256
    assert jaccard(a, b) == exact
    estimates = np.array(
        [
            estimated_jaccard(*(minhash(t, permutations=permutations, seed=seed) for t in (a, b)))
            for seed in range(seeds)
        ]
    )
    spread = np.sqrt(exact * (1 - exact) / permutations)
    assert abs(estimates.mean() - exact) <= 4 * spread / np.sqrt(seeds)
    # The sample variance of 60 has a relative standard error of √(2 / 59) = 0.18.
    assert spread**2 * 0.3 <= estimates.var() <= spread**2 * 1.75 or spread == estimates.std() == 0


def test_datasketch_estimates_the_same_within_the_errors_of_both():
    differences = []
    for number, theirs in DATASKETCH["estimates"].items():
        exact = index_of(int(number))
        ours = estimated_jaccard(*(minhash(text, permutations=1024) for text in pair(int(number))))
        spread = np.sqrt(exact * (1 - exact) / 1024)
        assert abs(ours - exact) < 4.5 * spread and abs(theirs - exact) < 4.5 * spread
        differences.append((ours - theirs) / (spread * np.sqrt(2)))
    assert abs(np.mean(differences)) < 3 / np.sqrt(len(differences))
    assert 0.6 < np.std(differences) < 1.4


def test_low_bits_are_enough():
    # What the index keeps: 16 bits collide once in 65,536, wherever minima differ.
    signatures = np.stack([minhash(pair(number)[0], permutations=512) for number in range(200)])
    pairs = signatures[:100] != signatures[100:]
    assert pairs.all()
    collisions = (signatures[:100].astype(np.uint16) == signatures[100:].astype(np.uint16)).sum()
    assert collisions <= 6  # 0.8 expected of 51,200


def test_short_and_empty_texts():
    assert (minhash("") == PRIME).all() and np.array_equal(minhash(""), minhash(" \n"))
    assert np.array_equal(minhash("too short"), minhash("Too short."))
    assert not (minhash("too short") == minhash("too long")).any()
    assert not (minhash("?!") == minhash("")).any()


@pytest.mark.parametrize("bad", [None, b"text", 3, ["text"], np.array("text")])
def test_what_is_no_text(bad):
    with pytest.raises(TypeError, match="minhash takes a text"):
        minhash(bad)


@pytest.mark.parametrize("setting", ["permutations", "ngram"])
@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "5", None, float("nan")])
def test_hostile_settings(setting, bad):
    with pytest.raises((TypeError, ValueError), match=f"{setting} is"):
        minhash("a b c", **{setting: bad})


@pytest.mark.parametrize("bad", [-1, True, 1.5, None])
def test_hostile_seeds(bad):
    with pytest.raises(ValueError, match="seed is a whole number"):
        minhash("a b c", seed=bad)


def test_signatures_that_cannot_be_compared():
    with pytest.raises(ValueError, match=r"signatures of one length.*\(128,\) and \(64,\)"):
        estimated_jaccard(minhash("a"), minhash("a", permutations=64))
    with pytest.raises(ValueError, match="signatures of one length"):
        estimated_jaccard(np.array(3), np.array(3))
    assert estimated_jaccard(np.stack([minhash("a"), minhash("b")]), minhash("a")).tolist() == [1, 0]
