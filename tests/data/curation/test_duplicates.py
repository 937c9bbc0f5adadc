from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from llm_from_scratch import data
from llm_from_scratch.data.curation import duplicates
from llm_from_scratch.data.curation.duplicates import near_duplicates
from llm_from_scratch.data.curation.words import words


def edited(words_of, rate, rng):
    found = list(words_of)
    for place in np.flatnonzero(rng.random(len(found)) < rate):
        found[place] = f"x{rng.integers(10**9)}"
    return " ".join(found)


def collection(count=60, copies=4, seed=0):
    """Texts of 150 words from a small vocabulary, each with edited copies, shuffled."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        original = [f"v{i}" for i in rng.integers(0, 300, 150)]
        texts += [edited(original, rate, rng) for rate in rng.choice([0, 0.005, 0.01, 0.02, 0.05], copies)]
    rng.shuffle(texts)
    return texts


def by_comparing_all(texts, threshold, ngram=5):
    """Connected components of all pairs whose sets of runs of words are alike enough."""
    sets = []
    for text in texts:
        found = words(text)
        sets.append({tuple(found[i : i + ngram]) for i in range(max(1, len(found) - ngram + 1))})
    above = list(range(len(texts)))

    def root(one):
        return one if above[one] == one else root(above[one])

    for i, j in itertools.combinations(range(len(texts)), 2):
        if len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j]):
            above[root(j)] = root(i)
    groups = {}
    for number in range(len(texts)):
        groups.setdefault(root(number), []).append(number)
    return sorted(group for group in groups.values() if len(group) > 1)


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("ngram", [2, 5])
def test_what_a_comparison_of_all_pairs_finds(threshold, ngram):
    # Not guaranteed, as candidates are found by chance: with these seeds nothing is missed. None can be found too many.
    texts = collection(copies=3 if ngram == 2 else 4)
    found = near_duplicates(texts, threshold=threshold, ngram=ngram)
    assert found == by_comparing_all(texts, threshold, ngram)
    assert len(found) > 5


def test_candidates_are_verified(monkeypatch):
    # Were everything a candidate of everything, the groups would be the same.
    texts = collection(20)
    expected = by_comparing_all(texts, 0.8)
    monkeypatch.setattr(duplicates, "choose_bands", lambda threshold, permutations: (permutations, 1))
    assert near_duplicates(texts) == expected
    monkeypatch.setattr(duplicates, "band_keys", lambda s, bands, rows: np.zeros((len(s), bands), np.uint64))
    assert near_duplicates(texts) == expected


def test_recall_at_the_threshold():
    """Pairs of an index of 0.8 exactly are found in at least 98 of 100 cases (99.8 are expected)."""
    texts = []
    for number in range(400):
        found = [f"p{number}w{i}" for i in range(100)]
        texts += [" ".join(found[:90]), " ".join(found[10:])]  # 80 of 100 words
    found = near_duplicates(texts, threshold=0.8, ngram=1)
    assert all(len(group) == 2 and group[0] % 2 == 0 and group[1] == group[0] + 1 for group in found)
    assert len(found) >= 392
    assert near_duplicates(texts, threshold=0.8001, ngram=1) == []


def test_a_chain_is_one_group():
    found = [f"w{i}" for i in range(300)]
    links = [" ".join(found[start : start + 100]) for start in range(0, 200, 4)]  # neighbours share 0.85
    order = np.random.default_rng(0).permutation(len(links))
    assert near_duplicates([links[i] for i in order]) == [list(range(len(links)))]
    assert near_duplicates([links[0], links[-1]]) == []


def test_order_does_not_matter():
    texts = collection(30, seed=2)
    found = {frozenset(group) for group in near_duplicates(texts)}
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(texts))
        again = near_duplicates([texts[i] for i in order])
        assert {frozenset(order[group].tolist()) for group in again} == found
        assert again == sorted(map(sorted, again))


def test_case_punctuation_spacing_and_encoding_do_not_matter():
    text = "The café at the corner, they say, was the oﬃce of a poet once: naïve, poor, and happy."
    others = [
        text.upper(),
        text.replace(" ", "\n\t"),
        text.replace(",", "").replace(":", " --"),
        text.replace("é", "e\u0301").replace("ï", "i\u0308"),
        text.replace("ﬃ", "ffi"),
    ]
    assert near_duplicates([text, *others], threshold=1.0) == [[0, 1, 2, 3, 4, 5]]


def test_short_and_empty_texts():
    texts = ["", "Yes.", "no", " \n", "yes", "a b c", "A, B, C!", "?!", "!?", "?!", "yes yes"]
    assert near_duplicates(texts) == [[0, 3], [1, 4], [5, 6], [7, 9]]
    assert near_duplicates([]) == near_duplicates(["alone"]) == near_duplicates(["a", "b"]) == []


def test_equal_texts_are_compared_with_nothing(monkeypatch):
    compared = []
    monkeypatch.setattr(duplicates, "overlap", lambda a, b: compared.append(1) or 0.0)
    assert near_duplicates(["the same words over and over"] * 50_000 + ["another"]) == [list(range(50_000))]
    assert compared == []


def test_texts_that_are_all_alike_cost_one_comparison_each(monkeypatch):
    compared, original = [], duplicates.overlap
    monkeypatch.setattr(duplicates, "overlap", lambda a, b: compared.append(1) or original(a, b))
    found = [f"w{i}" for i in range(300)]
    texts = [" ".join([*found[:i], "here", *found[i:]]) for i in range(1, 300)]
    assert near_duplicates(texts) == [list(range(299))]
    assert len(compared) <= 2 * len(texts)


def test_pages_of_one_template_stay_apart_and_are_compared_once_each(monkeypatch):
    compared, original = [], duplicates.overlap
    monkeypatch.setattr(duplicates, "overlap", lambda a, b: compared.append((id(a), id(b))) or original(a, b))
    template = [f"menu{i}" for i in range(100)]
    texts = [" ".join(template + [f"page{n}word{i}" for i in range(40)]) for n in range(60)]  # 0.55 alike
    assert near_duplicates(texts) == []
    assert len(compared) == len({frozenset(pair) for pair in compared}) <= 60 * 59 // 2


def test_seeds_and_permutations():
    texts = collection(20, seed=3)
    expected = by_comparing_all(texts, 0.8)
    for settings in ({"seed": 5}, {"permutations": 256}, {"seed": 9, "permutations": 300}):
        assert near_duplicates(texts, **settings) == expected
    assert data.near_duplicates(tuple(texts)) == expected


def test_random_words_are_no_duplicates():
    dice = random.Random(0)
    assert near_duplicates([" ".join(dice.choices("abcdefgh", k=200)) for _ in range(300)]) == []


@pytest.mark.parametrize("bad", ["one text", b"bytes", None, 3])
def test_a_text_is_no_list_of_texts(bad):
    with pytest.raises(TypeError, match="near_duplicates takes a list of texts, got one"):
        near_duplicates(bad)


def test_what_is_no_text_is_named():
    for bad in (None, 3, b"bytes", float("nan")):
        with pytest.raises(TypeError, match=f"got {type(bad).__name__} as number 1"):
            near_duplicates(["a", bad])


@pytest.mark.parametrize("bad", [0, -1, 1.2, float("nan"), True, None, "high"])
def test_hostile_thresholds(bad):
    with pytest.raises((TypeError, ValueError), match="threshold is a Jaccard index"):
        near_duplicates(["a", "a"], threshold=bad)


@pytest.mark.parametrize("setting", ["permutations", "ngram", "seed"])
def test_hostile_settings_also_without_texts(setting):
    for texts in ([], ["a", "b"]):
        for bad in (-1, True, 1.5, "3"):
            with pytest.raises((TypeError, ValueError), match=f"{setting} is"):
                near_duplicates(texts, **{setting: bad})
