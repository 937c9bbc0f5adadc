"""Contamination: runs of words found by trying all, borders of documents, short texts."""

import numpy as np
import pytest

from llm_from_scratch.evaluation import contamination


def by_trial(words, corpus, n):
    n = min(n, len(words))
    covered = np.zeros(len(words), bool)
    for start in range(len(words) - n + 1):
        run = words[start : start + n]
        if any(document[i : i + n] == run for document in corpus for i in range(len(document))):
            covered[start : start + n] = True
    return covered.mean()


def test_equals_trying_every_run():
    rng = np.random.default_rng(0)
    texts = [[f"w{i}" for i in rng.integers(0, 4, size)] for size in (1, 3, 8, 12, 20)]
    corpus = [[f"w{i}" for i in rng.integers(0, 4, 60)] for _ in range(2)]
    for n in (1, 2, 4, 6):
        result = contamination([" ".join(t) for t in texts], [" ".join(d) for d in corpus], n=n)
        np.testing.assert_allclose(result.shares, [by_trial(t, corpus, n) for t in texts])
        assert result.value == (result.shares > 0).mean() and result.seen.tolist() == (result.shares > 0).tolist()


def test_spelling_that_does_not_matter_and_borders_that_do():
    result = contamination(["The Fox, it jumps!"], ["so the fox (it jumps", "over"], n=4)
    assert result.value == 1 and result.examples == {0: "the fox it jumps"}
    assert contamination(["the fox it jumps"], ["the fox", "it jumps"], n=4).value == 0  # no run crosses documents
    assert contamination(["the fox it jumps"], iter(["one", "two"]), n=2).shares.tolist() == [0]
    assert contamination(["the fox"], ["see the fox run"]).value == 1  # shorter than 13 words: all of it
    assert contamination(["the _cafe\u0301_ of"], ["in The Café of"], n=3).value == 1  # slanted
    # A script without spaces: its characters are its words.
    assert contamination(["他昨天走了,下雨"], ["所以他昨天走了"], n=4).examples == {0: "他 昨 天 走"}


def test_equal_texts_are_both_found():
    assert contamination(["a b c", "a b c"], ["x a b c"], n=3).shares.tolist() == [1.0, 1.0]


def test_refused():
    with pytest.raises(ValueError, match="text 1 has no words"):
        contamination(["a", "?!"], ["a"])
    with pytest.raises(TypeError, match="a single one"):
        contamination("a b", ["a"])
    with pytest.raises(TypeError, match="a single one"):
        contamination(["a b"], "a")
    with pytest.raises(ValueError, match="n must be"):
        contamination(["a"], ["a"], n=0)
    with pytest.raises(ValueError, match="there are no items"):
        contamination([], ["a"])
