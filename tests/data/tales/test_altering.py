"""The figure the checker is held to: of tales with one changed mention it finds at least 99 % of each kind."""

from __future__ import annotations

import re

import pytest

from llm_from_scratch.data.tales import consistency, tell
from llm_from_scratch.data.tales.altering import WHAT, alter
from llm_from_scratch.data.tales.dice import Dice

TALES = [tell(41, number) for number in range(400)]


@pytest.mark.parametrize("what", WHAT)
def test_nearly_all_altered_tales_are_found(what):
    texts = [text for n, t in enumerate(TALES) if (text := alter(t, what, Dice(7, n))) is not None]
    assert len(texts) >= 300
    missed = [text for text in texts if consistency(text).consistent]
    assert len(missed) <= 0.01 * len(texts), missed[:3]


@pytest.mark.parametrize("what", WHAT)
def test_exactly_one_mention_changes(what):
    places = []
    for n, told in enumerate(TALES):
        before, after = told.text.split(" "), (alter(told, what, Dice(8, n)) or told.text).split(" ")
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert len(changed) <= 1 and all(before[i][0].isupper() == after[i][0].isupper() for i in changed)
        assert not re.search(r"\b(?:[Aa] [aeiou]|[Aa]n [^aeiou])", " ".join(after))  # no article is in the way
        places += [i / len(before) for i in changed]
    assert min(places) < 0.1 and max(places) > 0.8  # early and late mentions


def test_titles_outside_words_and_homes_are_among_the_alterations():
    altered = {what: [alter(t, what, Dice(9, n)) or "" for n, t in enumerate(TALES)] for what in WHAT}
    for what in ("name", "kind", "colour", "thing"):
        titles = [text.split("\n")[0] for text in altered[what] if text]
        assert sum(title != t.text.split("\n")[0] for title, t in zip(titles, TALES, strict=False)) > 10
    assert sum("grey" in text or "black" in text for text in altered["colour"]) > 10
    assert sum(t.facts.home not in text for text, t in zip(altered["place"], TALES, strict=True) if text) > 10


def test_her_becomes_his_or_him():
    told = [t for t in TALES if t.facts.pronoun == "she"]
    texts = [alter(t, "pronoun", Dice(n)) or "" for n, t in enumerate(told * 5)]
    said = {re.search(r"\b(he|him|his|himself)\b.*", text, re.IGNORECASE)[0] for text in texts if text}
    assert {phrase.split()[0].lower().strip(".,") for phrase in said} >= {"he", "him", "his"}
    assert not any(re.match(r"(?i)(his(?: and|[.,])|him (?:hands?|mother|head))\b", phrase) for phrase in said)


def test_a_tale_with_one_mention_is_left_alone():
    few = [t for t in TALES if len(re.findall(r"\b(?:s?he|hi[ms]|her|hi[ms]self|herself)\b", t.text.lower())) < 2]
    assert few and {alter(t, "pronoun", Dice(3)) for t in few} == {None}
    with pytest.raises(ValueError, match="one of name, kind, pronoun, colour, thing, place, got 'hat'"):
        alter(TALES[0], "hat", Dice(0))
