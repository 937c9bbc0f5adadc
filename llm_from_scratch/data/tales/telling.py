"""From templates to sentences: the teller casts the characters, fills the slots and keeps the paragraphs.

A template is a sentence or two with slots in braces and choices in square brackets:

    "[one day|soon], {hero} [found|saw] a {thing}."

Rules for whoever writes plots, because the checker relies on them, and because they let a small model learn in minutes
what belongs together (one name a tale was learnt where two were not):
 1. Only the hero has a name, and is introduced as "a (trait) (kind) named (Name)". The other character is {a_friend},
    "a (trait) (kind)" of another sort, and then {friend}, "the (kind)": never a name, never a he or she.
 2. The first he or she of a sentence means the subject of the sentence before. Otherwise use the name.
 3. In a sentence with one character every he, him, her, his means that character.
 4. Things, food and places come from slots. The thing of the tale is named again near its end.
 5. Tales are told in the past tense; only what is spoken may be in the present.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import words
from .dice import Dice

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_SENTENCE_START = re.compile(r'(^"?|[.!?] "?|\." "?)([a-z])')


def expand(template: str, dice: Dice) -> str:
    """Replace every [a|b|c], innermost first, by one of its options.

    >>> expand("a [red|[very |]old] house", Dice(4))
    'a old house'
    """
    while (match := _CHOICE.search(template)) is not None:
        options = match.group(1).split("|")
        template = template[: match.start()] + dice.choice(options) + template[match.end() :]
    return template


def polish(text: str) -> str:
    """Capital letters at sentence starts and for "I", and "an" before a vowel.

    >>> polish("a orange owl sat there. it slept.")
    'An orange owl sat there. It slept.'
    """
    text = _SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)
    return _ARTICLE.sub(r"\1n ", re.sub(r"\bi\b", "I", text))


class Teller:
    """One tale in the making: `slots` maps slot names to words, `say` adds sentences, `paragraph` a break."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.slots: dict[str, str] = {}
        self._paragraphs: list[list[str]] = [[]]
        self._cast_characters()
        self._choose_setting()
        self.thing_from((*words.TOYS, *words.CLOTHES, *words.USEFUL, *words.TREASURES))

    # -- what plots use
    # ------------------------------------------------------------------------------------------

    def say(self, *variants: str) -> None:
        """Add one of the variants, with its choices made and its slots filled."""
        template = expand(self.dice.choice(variants), self.dice)
        self._paragraphs[-1].append(polish(template.format_map(self.slots)))

    def maybe(self, *variants: str) -> None:
        """Like `say`, every second time; otherwise nothing."""
        if self.flip():
            self.say(*variants)

    def flip(self, times: int = 1, out_of: int = 2) -> bool:
        return self.dice.flip(times, out_of)

    def paragraph(self) -> None:
        if self._paragraphs[-1]:
            self._paragraphs.append([])

    def thing_from(self, nouns: Sequence[str]) -> None:
        """Choose the thing of the tale: {noun} is "kite", {thing} is "red kite"."""
        noun = self.dice.choice(nouns)
        self.slots["noun"] = noun
        colour = self.slots["colour"] = self.dice.choice(words.COLOURS)
        self.slots["thing"] = f"{colour} {noun}"

    def craft_friend(self) -> None:
        """Make the friend a grown-up with a craft."""
        self._set_friend(self.dice.choice(words.CRAFTS), self.dice.choice(words.CRAFT_TRAITS))

    def introduce(self) -> None:
        """The first sentences: who the hero is and where the hero lives."""
        once = "[once upon a time|once|long ago"
        self.say(
            once + "|one summer], there was a {trait} {kind} named {hero}. {he} lived {home}.",
            once + "], a {trait} {kind} named {hero} lived {home}.",
            "there was once a {trait} {kind} named {hero}. {hero} lived {home}.",
            "there once was a {trait} {kind} named {hero} who lived {home}.",
            "once there lived a {trait} {kind} named {hero}. {his} home was {home}.",
        )
        if self.flip(1, 3):
            self.say(
                "{he} loved to {hobby}.",
                "{he} liked to {hobby} and to {hobby2}.",
                "[every day|every morning|in the summer], {he} liked to {hobby}.",
            )

    def sense(self) -> None:
        """Now and then, a sentence about the weather of the day."""
        if self.flip(2, 5):
            self.say(*words.DAYS[self._weather][1])

    def good_night(self) -> None:
        """Now and then, a last sentence after the moral."""
        slept = "[slept very well|had sweet dreams|fell asleep with a smile]"
        self.slots["back_home"] = self.slots["home"].replace("in a ", "in the ", 1)
        if self.flip(2, 5):
            self.say(
                "that night, {back_home}, {hero} " + slept + ".",
                "that night, {hero} " + slept + " {back_home}.",
                "that night, {hero} " + slept + ".",
                "the moon came up, and {hero} went to bed [with a smile|full of joy].",
                "and {hero} the {kind} was happy [all day long|for a long, long time].",
                "and the little {kind} was happy [all day long|for a long, long time].",
                "the end.",
            )

    def text(self) -> str:
        paragraphs = [" ".join(sentences) for sentences in self._paragraphs if sentences]
        title = "{hero} the {kind}".format_map(self.slots)
        if any(self.slots["thing"] in paragraph for paragraph in paragraphs):
            title += " and the {thing}".format_map(self.slots)
        return "\n\n".join([title, *paragraphs])

    # -- casting
    # -------------------------------------------------------------------------------------------------

    def _cast_characters(self) -> None:
        dice, slots = self.dice, self.slots
        gender = "he" if dice.flip() else "she"
        slots["hero"] = dice.choice(words.HE_NAMES if gender == "he" else words.SHE_NAMES)
        slots["he"], slots["him"], slots["his"] = words.PRONOUNS[gender]
        slots["himself"] = slots["him"] + "self"
        slots["kind"] = words.CHILDREN[gender] if dice.flip(1, 3) else dice.choice(words.HERO_ANIMALS)
        slots["trait"] = self._trait(slots["kind"])
        kind = dice.choice(words.ANIMALS)
        self._set_friend(kind, self._trait(kind))
        slots["elder"] = dice.choice(list(words.ELDERS))

    def _trait(self, kind: str) -> str:
        # A fluffy boy or a fluffy frog would make a reader look up.
        smooth = ("boy", "girl", "frog", "turtle", "pig", "hedgehog", "sparrow", "owl")
        return self.dice.choice([t for t in words.TRAITS if t != "fluffy" or kind not in smooth])

    def _set_friend(self, kind: str, trait: str) -> None:
        self.slots["fkind"], self.slots["friend"], self.slots["a_friend"] = kind, f"the {kind}", f"a {trait} {kind}"

    def _choose_setting(self) -> None:
        dice, slots = self.dice, self.slots
        place = slots["place"] = dice.choice(list(words.PLACES))
        preposition, spots = words.PLACES[place]
        slots["at_place"], slots["to_place"] = f"{preposition} the {place}", f"to the {place}"
        first = dice.below(len(spots))
        slots["spot"] = spots[first]
        slots["spot2"] = spots[(first + 1 + dice.below(len(spots) - 1)) % len(spots)]
        home_place = slots["home_place"] = dice.choice(words.HOME_PLACES)
        size, near = dice.choice(("small", "little", "cosy", "tiny")), dice.choice(("near", "by", "close to"))
        slots["home"] = f"in a {size} {dice.choice(words.DWELLINGS)} {near} the {home_place}"
        self._weather = dice.choice(list(words.DAYS))
        slots["one_day"] = dice.choice(words.DAYS[self._weather][0])
        slots["a_food"], slots["food"] = dice.choice(words.FOODS)
        first = dice.below(len(words.HOBBIES))
        slots["hobby"] = words.HOBBIES[first]
        slots["hobby2"] = words.HOBBIES[(first + 1 + dice.below(len(words.HOBBIES) - 1)) % len(words.HOBBIES)]
