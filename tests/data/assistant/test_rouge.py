"""ROUGE-L against tables filled in by hand and against a search through all subsequences."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.assistant.rouge import common_subsequence, rouge_l, words_of


def test_the_example_of_the_paper():
    """Lin 2004, section 3.1: against "police killed the gunman", with beta = 1."""
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", reference) == 3 / 4  # police the gunman: 3 of 4 and 3 of 4
    assert rouge_l("the gunman kill police", reference) == 2 / 4  # the gunman
    assert rouge_l("the gunman police killed", reference) == 2 / 4  # another order


def test_texts_of_unequal_length_by_hand():
    # a b c d / a c d e f g: a c d is common; P = 3/4, R = 3/6, 2PR / (P + R) = 0.75 / 1.25
    assert rouge_l("a b c d", "a c d e f g") == pytest.approx(0.6)


@pytest.mark.parametrize("one, other", [("", ""), ("", "a"), ("a", ""), ("a", "b"), ("?!", "?!")])
def test_nothing_in_common(one, other):
    assert rouge_l(one, other) == 0


def test_words_are_in_small_letters_without_punctuation():
    assert words_of('"Well-made," said Tom: 12 + 3 = 15.') == ["well-made", "said", "tom", "12", "+", "3", "=", "15"]


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_the_longest_of_all_subsequences(a, b):
    def all_of(items):
        return {c for n in range(len(items) + 1) for c in itertools.combinations(items, n)}

    assert common_subsequence(a, b) == max(map(len, all_of(a) & all_of(b)))
    assert common_subsequence(a, b) == common_subsequence(b, a)
