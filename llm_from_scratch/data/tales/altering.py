"""Tales that contradict themselves: one mention of a name, kind, pronoun, colour, thing or place is made another.

The checker is measured on these (`python -m llm_from_scratch.data.tales --checker`). They know the words of a tale, not
how the checker reads it: any of its two or more mentions may be the one, in the title as in the text, and the new word
comes from the tales' own or, once in five times, from outside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import words
from .dice import Dice
from .telling import Tale

WHAT = ("name", "kind", "pronoun", "colour", "thing", "place")
_OUTSIDE = {
    "name": ("Bruno", "Clara", "Otto", "Grace", "Peter"),
    "kind": ("wolf", "horse", "monkey", "zebra", "camel"),
    "colour": ("black", "grey", "violet", "turquoise", "crimson"),
    "thing": ("trumpet", "sword", "ladle", "guitar", "helmet"),
    "place": ("mountain", "desert", "island", "jungle", "school"),
}
_INSIDE: dict[str, Sequence[str]] = {
    "name": (*words.HE_NAMES, *words.SHE_NAMES),
    "kind": words.KINDS,
    "colour": words.COLOURS,
    "thing": words.THINGS,
    "place": (*words.PLACES, *words.HOME_PLACES),
}
_PRONOUN = re.compile(r"\b(he|him|his|himself|she|her|herself)\b", re.IGNORECASE)
_SHE = {"he": "she", "him": "her", "his": "her", "himself": "herself"}


def alter(told: Tale, what: str, dice: Dice) -> str | None:
    """The text with one mention changed so that it disagrees with the others; None if the tale has fewer than two.

    >>> from .. import tales
    >>> told = tales.tell(2023, 5)
    >>> before, after = told.text.split(), alter(told, "colour", Dice(4)).split()
    >>> [(a, b) for a, b in zip(before, after) if a != b]
    [('golden', 'yellow')]
    """
    if what not in WHAT:
        raise ValueError(f"what is altered must be one of {', '.join(WHAT)}, got {what!r}")
    if what == "pronoun":
        mentions = list(_PRONOUN.finditer(told.text))
    else:
        mentions = [m for word in _said(told, what) if len(found := _find(word, told.text)) > 1 for m in found]
    if len(mentions) < 2:
        return None
    mention = dice.choice(mentions)
    old = mention.group().lower()
    if what == "pronoun":
        new = _other_pronoun(old, told.text[mention.end() :])
    else:
        options = (_OUTSIDE if dice.flip(1, 5) else _INSIDE)[what]
        new = dice.choice([option for option in options if option.lower() != old])
    if mention.group()[0].isupper():
        new = new.capitalize()
    return told.text[: mention.start()] + new + told.text[mention.end() :]


def _said(told: Tale, what: str) -> list[str]:
    """The words of which one mention may change; a tale has two kinds and two places, each with its own mentions."""
    facts = told.facts
    return {
        "name": [facts.hero],
        "kind": [facts.kind, facts.friend],
        "colour": [facts.colour],
        "thing": [facts.noun],
        "place": [facts.place, facts.home.split()[-1]],
    }[what]


def _find(word: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(rf"\b{word}\b", text, re.IGNORECASE))


def _other_pronoun(old: str, rest: str) -> str:
    if old in _SHE:
        return _SHE[old]
    if old != "her":
        return {"she": "he", "herself": "himself"}[old]
    following = re.match(r" ([a-z]+)", rest)  # "her nose" but "saw her", "saw her and"
    return "his" if following and following[1] not in ("and", "to", "in", "how", "something", "with") else "him"
