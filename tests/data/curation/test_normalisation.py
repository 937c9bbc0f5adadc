"""Spelling, not content: what is taken out takes no place."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.curation.normalisation import Normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u0308", "ä"),
        ("a\x07\u0308", "ä"),  # joined once the bell between them is gone
        ("soft\u00adware\u200b \ufeffis", "software is"),
        ("bell\x07 tab\tstays", "bell tab\tstays"),
        ("one  \ntwo\t\u00a0\n three", "one\ntwo\n three"),
        ("end\x0cNext page", "end\nNext page"),  # what parts words becomes what parts words
        ("end\n\x0c\nNext page", "end\n\n\nNext page"),
        ("one\x0btwo\x1fthree\x85four", "one\ntwo three four"),
        ("a\n\n\nb\n\n\n\n\n\nc", "a\n\n\nb\n\n\nc"),
        ("\n\n  verse\n\n", "  verse"),
        ("a \n \n \n \n \nb", "a\n\n\nb"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # written with a zero-width non-joiner
        ("", ""),
    ],
)
def test_examples(text, expected):
    assert Normalise()(text) == expected


@given(st.text(alphabet=st.sampled_from("ab \n\t\x07\u00a0é\u0308\u00ad\u3000"), max_size=60))
def test_once_is_enough_and_letters_stay(text):
    rule = Normalise()
    once = rule(text)
    assert rule(once) == once
    letters = [c for c in unicodedata.normalize("NFC", text) if c not in " \n\t\x07\u00a0\u00ad\u3000"]
    assert [c for c in once if c not in " \n\t\u00a0\u3000"] == letters or "\u0308" in text


@pytest.mark.parametrize(
    "text", [" " * 10**6 + "x \ny", "x" + " \u00a0" * 10**6 + "x\u00a0\n", "a" + "\u0301\u0316" * 10**6]
)
def test_one_enormous_line_takes_bounded_time(text):
    once = Normalise()(text)
    assert len(once) >= len(text) - 2 and Normalise()(once) == once
