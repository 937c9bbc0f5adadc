from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest

from llm_from_scratch.data.curation import words as W


def by_hand(text, ngram):
    found = W.words(text)
    if len(found) < ngram:
        return {tuple(found)} if found else set()
    return {tuple(found[i : i + ngram]) for i in range(len(found) - ngram + 1)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \n\t", []),
        ("Don't stop -- it's 3.14!", ["don", "t", "stop", "it", "s", "3", "14"]),
        ("ÉCOLE école E\u0301cole", ["école", "école", "école"]),
        ("ﬁne ＡＢＣ ①", ["fine", "abc", "1"]),
        ("naïve\u00a0word\u2003word", ["naïve", "word", "word"]),
        ("中文and日本語", ["中", "文", "and", "日", "本", "語"]),
        ("ｶﾀｶﾅ カタカナ", ["カ", "タ", "カ", "ナ"] * 2),
        ("人々", ["人", "々"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("한국어 단어", ["한국어", "단어"]),
        ("हिन्दी शब्द", ["हिन्दी", "शब्द"]),
        ("snake_case a1", ["snake_case", "a1"]),
        ("so _very_ __odd__ a__b _ __init__", ["so", "very", "odd", "a__b", "init"]),
        ("\ud800 lone", ["lone"]),
    ],
)
def test_words(text, found):
    assert W.words(text) == found


def test_the_three_patterns_find_the_same_words():
    text = "It was the best of times, it was the _worst_ of times; snake_case __12__ _"
    alone = W.words(text)
    assert W.words(text + " é")[:-1] == alone
    assert W.words(text + " 字")[:-1] == alone
    assert W.words("é " + text + " 字")[1:-1] == alone


def test_hashes_are_one_a_word_and_the_same_however_it_is_written():
    a, b = W.word_hashes("The Café, the OFFICE"), W.word_hashes("the cafe\u0301 (the oﬃce!)")
    assert a.dtype == np.uint64
    assert np.array_equal(a, b)
    assert a[0] == a[2] and len(set(a.tolist())) == 3


def test_hashes_are_the_same_on_every_machine():
    # Signatures are kept in files, and an index goes on from them.
    assert W.word_hashes("whale").tobytes().hex() == "4c5e5669aaf02488"  # as b2sum -l 64 has it
    assert W.shingles("a b c d e f").tolist() == [7936236983570812700, 11332266297065237050]


def test_what_is_kept_of_hashes_is_bounded(monkeypatch):
    monkeypatch.setattr(W, "_MOST", 10)
    text = " ".join(map(str, range(100)))
    assert np.array_equal(W.word_hashes(text), W.word_hashes(text))
    assert len(W._hashes) <= 10


@pytest.mark.parametrize("ngram", [1, 2, 3, 5, 13])
def test_shingles_are_the_sets_of_runs(ngram):
    dice = random.Random(0)
    texts = [" ".join(dice.choices("abcdef", k=k)) for k in (0, 1, 2, 4, 5, 6, 12, 13, 14, 60, 300)]
    sets = [by_hand(text, ngram) for text in texts]
    hashes = [W.shingles(text, ngram) for text in texts]
    for one, other in zip(sets, hashes, strict=True):
        assert len(one) == len(other)
        assert np.array_equal(other, np.unique(other))
    for i, a in enumerate(sets):
        for j, b in enumerate(sets):
            exact = len(a & b) / len(a | b) if a | b else 1.0
            assert W.jaccard(texts[i], texts[j], ngram) == exact
            assert W.overlap(hashes[i], hashes[j]) == exact


def test_order_counts():
    assert W.jaccard("a b c d e", "e d c b a") == 0
    assert W.jaccard("a b", "b a", 2) == 0
    assert W.jaccard("a a b", "a b b", 2) == 1 / 3


def test_texts_without_words_are_what_they_are():
    assert W.jaccard("", "  \n") == 1
    assert W.jaccard("?!", " ?! ") == 1
    assert W.jaccard("?!", "") == W.jaccard("?!", "...") == W.jaccard("🙂", "🙁") == 0
    assert W.jaccard("\ud800", "\ud800") == 1


def test_one_enormous_line_and_one_enormous_word():
    line = "word " * 200_000
    assert len(W.shingles(line)) == 1
    assert len(W.shingles("x" * 1_000_000)) == 1


def test_normalisation_keeps_to_one_form():
    for text in ("ǅ", "İstanbul", "ß ẞ", "Å", "ﬀ"):
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert np.array_equal(W.word_hashes(text), W.word_hashes(unicodedata.normalize(form, text))), (text, form)
