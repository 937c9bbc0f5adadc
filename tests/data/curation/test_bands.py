from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm_from_scratch.data.curation.bands import band_keys, candidate_probability, choose_bands
from llm_from_scratch.data.curation.index import DuplicateIndex
from llm_from_scratch.data.curation.signatures import minhash

DATASKETCH = json.loads((Path(__file__).parent / "fixtures/datasketch.json").read_text(encoding="utf-8"))
PAIRS = 300


def signatures_of_pairs(shared, each=60, permutations=128, ngram=1):
    """(PAIRS, 2, permutations): texts of `each` words, `shared` of them in both; and their Jaccard index."""
    pairs = []
    for number in range(PAIRS):
        words = [f"p{number}s{shared}w{i}" for i in range(2 * each - shared)]
        texts = " ".join(words[:each]), " ".join(words[each - shared :])
        pairs.append([minhash(text, permutations=permutations, ngram=ngram) for text in texts])
    return np.array(pairs), shared / (2 * each - shared)


@pytest.mark.parametrize(("bands", "rows"), [(21, 6), (16, 8), (8, 16), (42, 3)])
def test_the_s_curve(bands, rows):
    """Pairs at seven similarities: the share of candidates is 1 - (1 - s**rows)**bands, by keys and in the index."""
    told_apart = 0
    for shared in (18, 30, 38, 44, 50, 54, 57):
        signatures, similarity = signatures_of_pairs(shared)
        keys = [band_keys(signatures[:, side], bands, rows) for side in (0, 1)]
        by_keys = (keys[0] == keys[1]).any(axis=1)
        by_rows = (signatures[:, 0] == signatures[:, 1])[:, : bands * rows].reshape(PAIRS, bands, rows).all(-1).any(-1)
        assert np.array_equal(by_keys, by_rows)
        index = DuplicateIndex(threshold=1.0, bands=(bands, rows))
        for number in range(PAIRS):
            index.place(number, signatures[number, 0])
        assert len(index) == PAIRS
        found = [number in index.candidates(signatures[number, 1])[0] for number in range(PAIRS)]
        assert np.array_equal(found, by_rows)
        expected = 1 - (1 - similarity**rows) ** bands
        assert candidate_probability(similarity, bands, rows) == expected
        spread = np.sqrt(expected * (1 - expected) / PAIRS)
        assert abs(by_rows.mean() - expected) <= 4 * spread + 1e-3
        exchanged = 1 - (1 - similarity**bands) ** rows
        told_apart += abs(by_rows.mean() - exchanged) > 4 * np.sqrt(exchanged * (1 - exchanged) / PAIRS) + 1e-3
    assert told_apart >= 2  # the curve with bands and rows exchanged is another one


def test_bands_are_the_most_selective_that_reach_the_recall():
    for permutations in (16, 100, 128, 256):
        for threshold in np.linspace(0.05, 1, 20):
            for recall in (0.5, 0.9, 0.99, 0.9999):
                bands, rows = choose_bands(threshold, permutations, recall=recall)
                assert bands == permutations // rows >= 1
                if rows < permutations:
                    more = rows + 1
                    assert all(
                        1 - (1 - threshold**r) ** (permutations // r) < recall for r in range(more, permutations + 1)
                    )
                assert rows == 1 or 1 - (1 - threshold**rows) ** bands >= recall
    assert choose_bands(1.0) == (1, 128)
    assert choose_bands(0.8) == (21, 6)


def test_the_usual_choice_misses_more_than_half_of_pairs_at_the_threshold():
    # What minimises both areas under the curve, as datasketch does, has little recall where it matters.
    for threshold, bands, rows in DATASKETCH["bands"]:
        ours = choose_bands(threshold)
        assert candidate_probability(threshold, *ours) >= 0.99
        assert candidate_probability(threshold, bands, rows) < 0.65
        assert rows > ours[1]


def test_keys_look_at_every_row_of_their_own_band_alone():
    rng = np.random.default_rng(0)
    for dtype in (np.uint64, np.uint16):
        signatures = rng.integers(0, 2**16, (1, 128)).astype(dtype)
        keys = band_keys(signatures, 21, 6)
        assert keys.shape == (1, 21) and keys.dtype == np.uint64
        for place in range(128):
            changed = signatures.copy()
            changed[0, place] ^= dtype(1)
            differs = (band_keys(changed, 21, 6) != keys)[0]
            assert differs.tolist() == [place // 6 == band for band in range(21)]
    # A band is a sequence: exchanged rows are another one.
    exchanged = signatures[:, [1, 0, *range(2, 128)]]
    assert (band_keys(exchanged, 21, 6) != keys)[0].tolist() == [True] + [False] * 20


@pytest.mark.parametrize("bad", [0, -0.1, 1.01, float("nan"), float("inf"), True, None, "0.8", 80])
def test_hostile_thresholds(bad):
    with pytest.raises((TypeError, ValueError), match="threshold is a Jaccard index"):
        choose_bands(bad)


@pytest.mark.parametrize("bad", [0, 1, 1.5, float("nan"), True, None])
def test_hostile_recalls(bad):
    with pytest.raises(ValueError, match="recall is a probability"):
        choose_bands(0.8, recall=bad)


@pytest.mark.parametrize("bad", [0, 2.5, True])
def test_hostile_permutations(bad):
    with pytest.raises((TypeError, ValueError), match="permutations is"):
        choose_bands(0.8, bad)
