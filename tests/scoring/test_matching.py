"""Exact match after normalisation."""

import numpy as np
import pytest

from llm_from_scratch.scoring import exact_match, normalized


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("The  Scarf was golden.", "scarf was golden"),
        ("an apple, a pear & the thing", "apple pear thing"),
        ("thesis theatre", "thesis theatre"),  # articles are words, not beginnings
        ("x−1 = ½", "x−1 = 1⁄2"),
        ("ﬁne — Ｏk", "fine ok"),
        ("…", ""),
    ],
)
def test_normalisation(text, wanted):
    assert normalized(text) == wanted


def test_share_and_interval():
    result = exact_match(["Golden", "red", "the blue one", ""], ["golden.", ["green", "Red!"], "blue", "grey"])
    assert result.matches.tolist() == [True, True, False, False] and result.value == float(result) == 0.5
    assert 0 <= result.interval[0] <= 0.5 <= result.interval[1] <= 1
    assert exact_match(["Golden"], ["golden"], normalize=str).value == 0.0
    assert exact_match(["Golden"], ["Golden"], normalize=str).value == 1.0
    assert isinstance(result.matches, np.ndarray)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="2 answers cannot be compared with 1 references"):
        exact_match(["a", "b"], ["a"])
    with pytest.raises(TypeError, match="lists of texts"):
        exact_match("ab", ["a", "b"])
    with pytest.raises(ValueError, match="item 1: an answer and at least one reference"):
        exact_match(["a", "b"], ["a", []])
    with pytest.raises(ValueError, match="item 0"):
        exact_match([None], ["a"])
    with pytest.raises(ValueError, match="there are no items"):
        exact_match([], [])
