import math
import sys
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from llm_from_scratch.data.curation.exact import digest
from llm_from_scratch.data.curation.pieces import UNSPACED, check_number, check_text, unicode_form, words
from llm_from_scratch.data.curation.words import word_hashes


def test_words_of_scripts_without_spaces_are_characters_with_their_marks():
    assert words("สวัสดี ok") == ["ส", "วั", "ส", "ดี", "ok"]
    assert words("e\u0301te\u0301 \u3000 夜") == ["e\u0301te\u0301", "夜"]
    assert words("") == words(" \n\t ") == []


def test_the_blocks_are_the_scripts():
    """And the signs that several scripts share; without an iteration mark of old Chinese that stands all by itself."""
    scripts = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー〆ｰﾞﾟ]")
    letters = filter(str.isalnum, map(chr, range(sys.maxunicode + 1)))
    differ = [letter for letter in letters if bool(UNSPACED.match(letter)) != bool(scripts.match(letter))]
    assert differ == ["\U00016fe3"]


@pytest.mark.parametrize("value", [-1, 2, math.nan, math.inf, -math.inf])
def test_numbers_outside_of_the_bounds_are_refused(value):
    with pytest.raises(ValueError, match="from 0 to 1"):
        check_number("rule", "setting", value, 0, 1)


@pytest.mark.parametrize("value", [True, "1", None, 1.5])
def test_whole_numbers_are_whole(value):
    with pytest.raises(TypeError, match="whole number"):
        check_number("rule", "setting", value, whole=True)


def test_a_text_is_a_str():
    with pytest.raises(TypeError, match="got bytes"):
        check_text("rule", b"text")


@given(st.text("ae\u0301\u0316\u0344\u0958\uff9e한ᄒ", max_size=99), st.sampled_from(["NFC", "NFKC"]))
def test_a_form_is_unicodes_but_for_runs_of_marks_that_no_language_has(text, form):
    assert unicode_form(form, text) == unicodedata.normalize(form, text)
    run = "\u0301\u0316\uff9e" * 40
    once = unicode_form(form, text + "e\u0301x" + run + text)
    assert (
        once.startswith(unicodedata.normalize(form, text + "éx")) and run in once and unicode_form(form, once) == once
    )


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0316\uff9e"])
def test_enormous_runs_of_marks_take_bounded_time(marks):
    text = "a" + marks * 500_000
    assert unicode_form("NFKC", text) == text
    assert len(word_hashes(text)) >= 1 and digest(text)
