"""From templates to sentences: the teller casts the characters, fills the slots and keeps the paragraphs.

A template is a sentence or two with slots in braces and choices in square brackets:

    "[one day|soon], {hero} [found|saw] a fine {thing}."

Rules for whoever writes plots, because the checker relies on them, and because they let a small model learn in minutes
what belongs together: what matters is said early and again, and always in the same words, so that it is copied.
 1. One hero, who alone has a name: "a (trait) (kind) named (Name)", later "(Name) the (kind)" or "little (kind)",
    never "the (kind)". Every he, him, his, she, her means the hero.
 2. One other character, {a_friend}, "a (trait) (kind)" of another sort, then {friend}, "the (kind)" or "dear (kind)".
 3. One thing with one colour, first "a fine {thing}" ("a" may not depend on the colour), then "the {thing}",
    never without its colour (so not {noun}). Nothing else in a tale has a colour.
 4. One {place}, one {home_place} (said only with the house: {home}, {back_home}), one {food}, one {elder}.
 5. Each tale has a thing and a place and ends with `remember`: what happened first, what then, and why.
 6. Tales are told in the past tense; only what is spoken may be in the present.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from . import words
from .dice import Dice


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a tale says of itself, each as it stands in the text: material for questions and their answers.

    `where` is the place with its preposition ("in the forest"), `home` where the hero lives ("in a hut by the sea").
    The title says hero, kind, thing and place, the last paragraph "first {first}", "then {then}" and "{hero} … was
    {feeling} because {why}". `food` and `elder` ("mother", "uncle" …) are None in a tale without.
    """

    hero: str
    kind: str
    pronoun: str  # "he" or "she"
    friend: str  # the kind of the other character
    noun: str
    colour: str
    place: str
    where: str
    home: str
    first: str
    then: str
    feeling: str
    why: str
    food: str | None = None
    elder: str | None = None

    @property
    def thing(self) -> str:
        """The thing of the tale with its colour."""
        return f"{self.colour} {self.noun}"


@dataclasses.dataclass(frozen=True)
class Tale:
    """A tale and what its teller knows of it.

    `facts` stand in the text and can be asked for. `slots` maps "hero", "kind", "thing", "place" … to words, all that
    the teller had at hand: a tale without food has one in its slots all the same.

    >>> from llm_from_scratch.data.tales import tell
    >>> facts = tell(2023, 5).facts
    >>> facts.hero, facts.thing, facts.where
    ('Nora', 'golden scarf', 'in the garden')
    >>> f"Why was {facts.hero} {facts.feeling}?", f"Because {facts.why}."
    ('Why was Nora proud?', 'Because she had kept a promise.')
    """

    text: str
    plot: str
    slots: dict[str, str]
    facts: Facts


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
        """Like `say`, one time in three; otherwise nothing."""
        if self.flip(1, 3):
            self.say(*variants)

    def flip(self, times: int = 1, out_of: int = 2) -> bool:
        """True in `times` cases out of `out_of`."""
        return self.dice.flip(times, out_of)

    def paragraph(self) -> None:
        """End the paragraph, if anything stands in it."""
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
        self.say("it was [warm|quiet|lovely|nice] {back_home}.")
        if self.flip(1, 8):
            self.say(
                "{he} loved to {hobby}.",
                "{he} liked to {hobby} and to {hobby2}.",
                "[every day|every morning|in the summer], {he} liked to {hobby}.",
            )

    def sense(self) -> None:
        """Every second time, a sentence about the day at the place of the tale."""
        if self.flip():
            self.say(*("{at_place}, " + seen for seen in words.DAYS[self._weather][1]))

    def remember(self, first: str, then: str, feeling: str, why: str) -> None:
        """Begin the last paragraph: what happened first, what then, and why the hero is glad."""
        told = {"first": first, "then": then, "feeling": feeling, "why": why}
        self.slots.update({name: template.format_map(self.slots) for name, template in told.items()})
        self.paragraph()
        self.say("[so |]first {first}, and then {then}.", "[so |]first {first}. then {then}.")
        self.say(
            "back {back_home}, {hero} the {kind} was {feeling} because {why}.",
        )

    def good_night(self) -> None:
        """Now and then, a last sentence after the moral."""
        if self.flip(1, 5):
            self.say(
                "{hero} fell asleep with a smile.",
                "{hero} slept very well {back_home}.",
                "{hero} had the sweetest dreams of all.",
                "the moon came up, and {hero} went to bed [with a smile|full of joy].",
                "and the little {kind} was happy [all day long|for a long, long time].",
                "the end.",
            )

    def text(self) -> str:
        """The title and the paragraphs, an empty line between them."""
        paragraphs = [" ".join(sentences) for sentences in self._paragraphs if sentences]
        return "\n\n".join(["{hero} the {kind} and the {thing} {at_place}".format_map(self.slots), *paragraphs])

    def facts(self) -> Facts:
        """What can be asked about the tale, and stands in it."""
        text, slots = self.text(), self.slots
        told = {field.name: slots.get(field.name) for field in dataclasses.fields(Facts)}
        told |= {"pronoun": slots["he"], "friend": slots["fkind"], "where": slots["at_place"]}
        for name in ("food", "elder"):  # cast for every tale, and used by some
            if not re.search(rf"\b{slots[name]}\b", text):
                told[name] = None
        return Facts(**told)  # type: ignore[arg-type]

    # -- casting
    # -------------------------------------------------------------------------------------------------

    def _cast_characters(self) -> None:
        dice, slots = self.dice, self.slots
        gender = "he" if dice.flip() else "she"
        slots["hero"] = dice.choice(words.HE_NAMES if gender == "he" else words.SHE_NAMES)
        slots["he"], slots["him"], slots["his"], slots["himself"] = words.PRONOUNS[gender]
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
        size, near = dice.choice(words.SIZES), dice.choice(words.NEAR)
        dwelling = dice.choice(words.DWELLINGS)
        slots["home"] = f"in a {size} {dwelling} {near} the {home_place}"
        slots["back_home"] = f"in the {dwelling} {near} the {home_place}"
        self._weather = dice.choice(list(words.DAYS))
        slots["one_day"] = dice.choice(words.DAYS[self._weather][0])
        slots["a_food"], slots["food"] = dice.choice(words.FOODS)
        first = dice.below(len(words.HOBBIES))
        slots["hobby"] = words.HOBBIES[first]
        slots["hobby2"] = words.HOBBIES[(first + 1 + dice.below(len(words.HOBBIES) - 1)) % len(words.HOBBIES)]
