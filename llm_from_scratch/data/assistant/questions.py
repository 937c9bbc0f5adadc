"""Questions about a tale, each with what its answer has to say: who, what, where, when and why.

A question is made of the facts alone, so its right answer, what is wrong for certain, and the sentence of the tale that
goes with it are known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from ..tales import words
from ..tales.dice import Dice
from .marking import COLOURS, FEELINGS, KINDS, NAMES, PLACES, THINGS, Mark, Measures
from .passages import Passage, sentence_case, with_article
from .rouge import words_of


class Judge(Protocol):
    """What knows a right answer when it reads it."""

    def measure(self, text: str) -> Measures:
        """What stands in an answer: see `marking.measure`."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked, right answers (in a word, in a sentence, in full), a wrong one, and the judge of any other."""

    text: str
    bare: str
    plain: str
    full: str
    wrong: str
    judge: Judge


def question(text: str, bare: str, wrong: str, mark: Mark) -> Question:
    """A question whose sentence and full answer are those of its mark; a calculation comes before its result."""
    parts = [mark.detail, mark.sentence] if mark.last else [mark.sentence, mark.detail]
    return Question(text, bare, mark.sentence, " ".join(part for part in parts if part), wrong, mark)


def _ask(
    p: Passage,
    text: str,
    right: str,
    template: str,
    other: str,
    detail: str,
    key: str,
    rivals: frozenset[str],
    spared: Sequence[str] = (),
    *,
    bare: str = "",
) -> Question:
    """`template` is the sentence around {}: what is right, or wrong (`other`); `detail` names a sentence; words of
    `spared` are no rivals; `bare` is said where what is right alone, with a capital, would be.
    """
    said = tuple(words_of(key))
    rivals = rivals - {*said, *(word.lower() for word in spared)}
    mark = Mark(said, rivals, template.format(right), p.sentences[detail], p.known)
    return question(text, bare or sentence_case(right), template.format(other), mark)


def _other(dice: Dice, options: Sequence[str], *taken: str) -> str:
    return dice.choice([option for option in options if option not in taken])


def who(p: Passage, dice: Dice) -> Question:
    """The hero."""
    f = p.facts
    name = _other(dice, words.HE_NAMES if f.pronoun == "he" else words.SHE_NAMES, f.hero)
    other = dice.choice((name, f"the {f.friend}"))
    return _ask(p, "Who is the tale about?", f.hero, "The tale is about {}.", other, "hero", f.hero, NAMES | KINDS,
                (f.kind,))  # fmt: skip


def friend(p: Passage, dice: Dice) -> Question:
    """The other animal."""
    f = p.facts
    return _ask(p, f"Who did {f.hero} meet?", f"the {f.friend}", f"{f.hero} met {{}}.",
                f"the {_other(dice, words.ANIMALS, f.friend)}",
                "first" if f.friend in f.first else "then", f.friend, NAMES | KINDS, (f.hero,))  # fmt: skip


def kind(p: Passage, dice: Dice) -> Question:
    """What animal the hero is."""
    f = p.facts
    other = dice.choice((f.friend, _other(dice, words.HERO_ANIMALS, f.kind)))
    return _ask(p, f"What is {f.hero}?", with_article(f.kind), f"{f.hero} is {{}}.", with_article(other), "hero",
                f.kind, KINDS)  # fmt: skip


def thing(p: Passage, dice: Dice) -> Question:
    """The thing of the tale, with its colour."""
    f = p.facts
    other = f"the {f.colour} {_other(dice, words.THINGS, f.noun)}"
    return _ask(p, f"What did {f.hero} see?", f"the {f.thing}", f"{f.hero} saw {{}}.", other, _with_thing(p), f.thing,
                THINGS | COLOURS)  # fmt: skip


def colour(p: Passage, dice: Dice) -> Question:
    """Not "Red.": that is no token of the tales, and nothing that could be copied from one."""
    f = p.facts
    return _ask(p, f"What colour was the {f.noun}?", f.colour, f"The {f.noun} was {{}}.",
                _other(dice, words.COLOURS, f.colour), _with_thing(p), f.colour, COLOURS,
                bare=f"It was {f.colour}.")  # fmt: skip


def feeling(p: Passage, dice: Dice) -> Question:
    """How the hero felt at the end."""
    f = p.facts
    return _ask(p, f"How did {f.hero} feel?", f.feeling, f"{f.hero} was {{}}.",
                _other(dice, sorted(FEELINGS), f.feeling), "end", f.feeling, FEELINGS,
                bare=f"{f.pronoun.capitalize()} was {f.feeling}.")  # fmt: skip


def where(p: Passage, dice: Dice) -> Question:
    """Where the hero went."""
    f = p.facts
    place = _other(dice, list(words.PLACES), f.place)
    return _ask(p, f"Where did {f.hero} go?", f.where, f"{f.hero} was {{}}.", f"{words.PLACES[place][0]} the {place}",
                "then" if f.place in f.then and f.place not in f.first else "first", f.where, PLACES)  # fmt: skip


def home(p: Passage, dice: Dice) -> Question:
    """Where the hero lived."""
    f = p.facts
    own = p.home.split()[-1]
    other = p.home.removesuffix(own) + _other(dice, words.HOME_PLACES, own)
    return _ask(p, f"Where did {f.hero} live?", p.home, f"{f.hero} lived {{}}.", dice.choice((other, f.where)), "hero",
                p.home, PLACES)  # fmt: skip


def first(p: Passage, dice: Dice) -> Question:
    """What happened first, and not then."""
    f = p.facts
    return _ask(p, "What happened first?", f.first, "First {}.", f.then, "then", f.first, frozenset(("then",)))


def then(p: Passage, dice: Dice) -> Question:
    """What happened then, and not first."""
    f = p.facts
    return _ask(p, "What happened then?", f.then, "Then {}.", f.first, "end", f.then, frozenset(("first",)))


def why(p: Passage, dice: Dice) -> Question:
    """Why the hero felt as the end says."""
    f = p.facts
    return _ask(p, f"Why was {f.hero} {f.feeling}?", f"because {f.why}", f"{f.hero} was {f.feeling} {{}}.",
                f"because {dice.choice((f.first, f.then))}", "then", f.why, frozenset())  # fmt: skip


def _with_thing(p: Passage) -> str:
    return next(name for name in ("first", "then", "end") if p.facts.thing in p.sentences[name])


# Kind of a task -> its questions.
QUESTIONS: dict[str, tuple[Callable[[Passage, Dice], Question], ...]] = {
    "who": (who, friend),
    "what": (kind, thing, colour, feeling),
    "where": (where, home),
    "when": (first, then),
    "why": (why,),
}
