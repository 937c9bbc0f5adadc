from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.curation import GopherRepetition, Removed
from llm_from_scratch.data.curation.repetition import duplicate_fractions, ngram_fractions


def plain(found, n):
    """The fractions by the words of the paper, with a list of every character."""
    owners = [i for i, word in enumerate(found) for _ in word]
    runs = [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]
    most = max(map(runs.count, runs))
    best = max((run for run in runs if runs.count(run) == most), key=lambda run: sum(map(len, run)))
    in_top = {j for i, run in enumerate(runs) if run == best and most > 1 for j in range(i, i + n)}
    in_repeats = {j for i, run in enumerate(runs) if run in runs[:i] for j in range(i, i + n)}
    return [sum(owner in some for owner in owners) / len(owners) for some in (in_top, in_repeats)]


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "夜"]), min_size=2, max_size=30))
def test_fractions_are_those_of_a_plain_count(found):
    for n, fractions in ngram_fractions(found).items():
        top, repeats = plain(found, n)
        assert fractions[1] == pytest.approx(repeats)
        assert 0 <= fractions[0] <= 1
        runs = Counter(tuple(found[i : i + n]) for i in range(len(found) - n + 1))
        first, *others = sorted(((count, sum(map(len, run))) for run, count in runs.items()), reverse=True)
        if first not in others:  # of several that are as frequent and as long, any may be taken for the top
            assert fractions[0] == pytest.approx(top)


def test_runs_in_one_another_count_each_character_once():
    assert ngram_fractions(["aa"] * 50)[3] == (1.0, 49 / 50)  # all but the first word is in a run that repeats one


def test_short_texts_have_no_runs():
    assert ngram_fractions([]) == ngram_fractions(["a"]) == {}
    assert list(ngram_fractions(["a", "b", "c"])) == [2, 3]


def test_the_papers_numbers_are_the_defaults():
    top, duplicate = (0.20, 0.18, 0.16), (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    assert GopherRepetition() == GopherRepetition(0.3, 0.3, 0.2, 0.2, top, duplicate)


def test_fractions_of_nothing():
    assert duplicate_fractions([]) == (0, 0)


@pytest.mark.parametrize("text", ["", " \n ", "word", "one two", "\r\n" * 10, "a different line\nand another"])
def test_texts_without_repetition_stay(text):
    assert GopherRepetition()(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("same\r\nsame\nother", "lines repeat"),
        ("same\n\nother one\n \t\nsame", "lines repeat"),
        ("a b c\n\nx y\n\n" * 2, "lines repeat"),
        ("夜里河水上涨" * 20, "2-gram"),
        ("na " * 1000, "2-gram"),
    ],
)
def test_repetition_is_seen_with_any_line_ends_and_scripts(text, reason):
    assert reason in GopherRepetition()(text).reason


def test_each_limit_removes_alone():
    rng = np.random.default_rng(0)
    unlike = [f"{i:06d}" for i in rng.permutation(10**6)[:400]]
    off = {"lines": 1, "paragraphs": 1, "line_characters": 1, "paragraph_characters": 1, "top": (1,) * 3,
           "duplicate": (1,) * 6}  # fmt: skip
    text = "\n\n".join([*(" ".join(unlike[i : i + 20]) for i in range(0, 400, 20)), *[" ".join(unlike[:20])] * 10])
    assert GopherRepetition(**off)(text) == text
    for setting, value in off.items():
        for place in range(np.size(value)):
            tight = 0.0 if np.size(value) == 1 else tuple(0.0 if i == place else 1.0 for i in range(len(value)))
            found = GopherRepetition(**{**off, setting: tight})(text)
            assert isinstance(found, Removed), (setting, place)


def test_one_enormous_line_is_no_worse_than_its_length():
    assert isinstance(GopherRepetition()("the river " * 100_000), Removed)
    assert isinstance(GopherRepetition()("x" * 5_000_000), str)


@pytest.mark.parametrize(
    ("settings", "error"),
    [({"lines": 30}, ValueError), ({"top": 0.2}, TypeError), ({"top": (0.1,)}, TypeError),
     ({"duplicate": (0.1,) * 5 + (2,)}, ValueError), ({"paragraphs": "x"}, TypeError)],
)  # fmt: skip
def test_settings_are_checked_when_made(settings, error):
    with pytest.raises(error, match="^repetition: "):
        GopherRepetition(**settings)
