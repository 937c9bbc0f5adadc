from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.data.curation import index as module
from llm_from_scratch.data.curation.index import DuplicateIndex
from llm_from_scratch.data.curation.signatures import estimated_jaccard, minhash
from llm_from_scratch.kernels.signatures import equal_entries

# A stretch of one endless text: how many shingles two of them share is their distance.
WORDS = [f"w{i}" for i in range(40_000)]


def stretch(start, length=100):
    return " ".join(WORDS[start : start + length])


def stream(count, seed=0):
    """Texts of which about half repeat an earlier one, shifted by 0 to 30 words."""
    rng = np.random.default_rng(seed)
    starts = [0]
    for number in range(1, count):
        starts.append(1000 * number if rng.random() < 0.5 else starts[rng.integers(number)] + int(rng.integers(0, 31)))
    return [minhash(stretch(start % 39_000)) for start in starts]


def by_looking_at_all(signatures, threshold, bands, rows):
    """What the index should say, by comparing each signature with all that were kept."""
    kept, said = [], []
    for number, signature in enumerate(signatures):
        best = None
        for earlier in kept:
            same = signatures[earlier] == signature
            alike = same[: bands * rows].reshape(bands, rows).all(1).any()
            if alike and same.mean() >= threshold and (best is None or same.mean() > best[0]):
                best = same.mean(), earlier
        said.append(None if best is None else best[1])
        if best is None:
            kept.append(number)
    return said, kept


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_what_a_search_through_all_finds(threshold):
    signatures = stream(400)
    index = DuplicateIndex(threshold=threshold)
    said, kept = by_looking_at_all(signatures, threshold, index.bands, index.rows)
    assert [index.place(number, signature) for number, signature in enumerate(signatures)] == said
    assert 20 < len(kept) == len(index) < 390
    # What was kept is not like anything else that was kept; all of it is found again, at itself.
    assert [index.place(-1, signatures[number]) for number in kept] == kept
    assert len(index) == len(kept)


@pytest.mark.parametrize(("threshold", "permutations"), [(0.55, 100), (0.8, 128)])
def test_full_buckets_change_nothing_but_the_time(threshold, permutations, monkeypatch):
    """Pages of one template: more than half of the entries are those of the others."""
    rng = np.random.default_rng(0)
    pages = rng.integers(0, 1 << 61, (400, permutations), dtype=np.uint64)
    template = rng.random(pages.shape) < rng.uniform(0.4, 0.9, (400, 1))
    pages[template] = np.broadcast_to(pages[0], pages.shape)[template]
    said = []
    for few in (1, 10**9):  # entries that are looked at one by one
        monkeypatch.setattr(module, "_FEW", few)
        index = DuplicateIndex(threshold=threshold, permutations=permutations)
        said.append([index.place(number, page) for number, page in enumerate(pages)])
        assert len(index.candidates(pages[0])[0]) > 10
    assert said[0] == said[1] == by_looking_at_all(pages, threshold, index.bands, index.rows)[0]


def test_full_buckets_are_not_walked(monkeypatch):
    pages = np.zeros((2000, 128), np.uint64)
    pages[:, 6:] = np.random.default_rng(0).integers(0, 1 << 61, (2000, 122), dtype=np.uint64)  # one band in common
    index, looked = DuplicateIndex(), []
    monkeypatch.setattr(module, "equal_entries", lambda *both: looked.append(1) or equal_entries(*both))
    assert all(index.place(number, page) is None for number, page in enumerate(pages))
    assert len(looked) > 1800


def test_it_goes_on_from_its_state():
    signatures = stream(300, seed=1)
    whole = DuplicateIndex(threshold=0.7)
    said = [whole.place(number, signature) for number, signature in enumerate(signatures)]
    for border in (0, 1, 150, 299, 300):
        first = DuplicateIndex(threshold=0.7)
        before = [first.place(number, signature) for number, signature in enumerate(signatures[:border])]
        state = first.state()
        second = DuplicateIndex(threshold=0.7)
        second.place(77, signatures[0])  # is forgotten
        second.load_state(state)
        assert before + [second.place(n, s) for n, s in enumerate(signatures[border:], start=border)] == said
        assert len(state["numbers"]) <= border  # the state is a copy: going on does not change it
        for name, array in whole.state().items():
            assert np.array_equal(array, second.state()[name])


def test_the_low_bits_are_all_it_looks_at():
    signatures = stream(100)
    whole, short = DuplicateIndex(), DuplicateIndex()
    for number, signature in enumerate(signatures):
        assert whole.place(number, signature) == short.place(number, signature.astype(np.uint16))


def test_numbers_are_the_callers():
    index = DuplicateIndex()
    assert index.place(10**12, minhash(stretch(0))) is None
    assert index.place(5, minhash(stretch(0))) == 10**12
    assert index.place(6, minhash(stretch(1))) == 10**12


def test_the_most_alike_is_named_and_of_equals_the_first():
    index = DuplicateIndex(threshold=0.9, bands=(128, 1))
    near, far = minhash(stretch(0)), minhash(stretch(20))
    assert index.place(0, near) is index.place(1, far) is None
    signature = minhash(stretch(9))
    index.threshold = 0.5
    estimates = estimated_jaccard(np.stack([near, far]), signature)
    numbers, found = index.candidates(signature)
    assert numbers.tolist() == [0, 1] and found.tolist() == estimates.tolist()
    assert index.place(2, signature) == int(estimates.argmax())


def test_candidates_do_not_change_it():
    index = DuplicateIndex()
    numbers, estimates = index.candidates(minhash("nothing is here yet"))
    assert numbers.tolist() == estimates.tolist() == [] and len(index) == 0


def test_memory_is_a_few_hundred_bytes_a_text():
    rng = np.random.default_rng(0)
    index = DuplicateIndex()
    for number, signature in enumerate(rng.integers(0, 2**61 - 1, (5000, 128), dtype=np.uint64)):
        assert index.place(number, signature) is None
    assert index.nbytes / 5000 < 530
    for _ in range(2000):  # what repeats costs nothing
        assert index.place(9999, signature) == 4999
    assert index.nbytes / 5000 < 530


def test_empty_texts_are_alike_and_like_nothing_else():
    index = DuplicateIndex()
    assert index.place(0, minhash("")) is None
    assert index.place(1, minhash("some text of a few words")) is None
    assert index.place(2, minhash(" \n")) == 0


@pytest.mark.parametrize(
    "bad", [None, [1, 2], np.zeros(127, np.uint64), np.zeros((1, 128), np.uint64), np.zeros(128), np.zeros(128, int)]
)
def test_what_is_no_signature(bad):
    index = DuplicateIndex()
    with pytest.raises(ValueError, match="expected the signature of one text, 128 unsigned integers"):
        index.place(0, bad)
    assert len(index) == 0


def test_hostile_settings():
    for bad in (0, 1.5, float("nan"), True, "0.8"):
        with pytest.raises((TypeError, ValueError), match="threshold is a Jaccard index"):
            DuplicateIndex(threshold=bad)
    with pytest.raises(ValueError, match="20 bands of 7 rows need more than 128"):
        DuplicateIndex(bands=(20, 7))
    for bad in ((0, 5), (5, 0), (2.0, 5), (True, 5)):
        with pytest.raises((TypeError, ValueError), match="(bands|rows) is"):
            DuplicateIndex(bands=bad)


def test_a_state_of_other_settings_is_refused():
    index = DuplicateIndex(permutations=64)
    index.place(0, minhash("a b", permutations=64))
    other = DuplicateIndex()
    other.place(3, minhash("kept as it was"))
    with pytest.raises(ValueError, match="other settings"):
        other.load_state(index.state())
    assert len(other) == 1
