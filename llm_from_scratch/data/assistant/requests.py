"""What else is asked for: to say a sentence another way, to end a tale, to calculate.

As with `questions`, all of it is made of facts, so that what is right is known.
"""

from __future__ import annotations

import re

from ..tales import words
from ..tales.dice import Dice
from .marking import Mark
from .passages import Passage
from .questions import Question, question
from .rouge import words_of

_GROWN = ("found", "made", "got")
_GONE = ("lost", "broke", "gave away")


def rewriting(p: Passage, dice: Dice) -> Question:
    """A sentence of the tale with another colour, thing or name."""
    f = p.facts
    sentence = p.sentences["first" if f.thing in f.first else "then" if f.thing in f.then else "end"]
    old, options = dice.choice(((f.colour, words.COLOURS), (f.noun, words.THINGS)))
    new = dice.choice([option for option in options if option != old])
    text = f"Say it with {new}, not {old}: {sentence}"
    return _exactly(text, re.sub(rf"\b{old}\b", new, sentence), sentence, frozenset((old,)))


def _exactly(text: str, target: str, wrong: str, rivals: frozenset[str]) -> Question:
    return question(text, target, wrong, Mark(tuple(words_of(target)), rivals, target, "", frozenset(words_of(text))))


def arithmetic(p: Passage | None, dice: Dice) -> Question:
    """A sum or a difference of two digits."""
    a, b, sign, result = _numbers(dice)
    text = f"What is {a} {sign} {b}?"
    return question(text, f"{result}.", f"{a} {sign} {b} = {result + dice.choice((1, 2, 10))}.",
                    Mark((str(result),), frozenset(), f"{a} {sign} {b} = {result}.", "", frozenset(words_of(text)),
                         last=True))  # fmt: skip


def word_problem(p: Passage, dice: Dice) -> Question:
    """A sum that has to be found in a story; worth most with the calculation before the answer."""
    f = p.facts
    a, b, sign, result = _numbers(dice)
    happened = dice.choice(_GROWN if sign == "+" else _GONE)
    text = f"{f.hero} had {a} {f.noun}s. Then {f.hero} {happened} {b}. How many {f.noun}s had {f.hero} then?"
    answer = f"{f.hero} had {{}} {f.noun}s."
    mark = Mark((str(result),), frozenset(), answer.format(result), f"{a} {sign} {b} = {result}.",
                frozenset(words_of(text)), last=True)  # fmt: skip
    return question(text, f"{result}.", answer.format(result + dice.choice((1, 2, 10))), mark)


def _numbers(dice: Dice) -> tuple[int, int, str, int]:
    a, b = 1 + dice.below(9), 1 + dice.below(9)
    if dice.flip():
        return a, b, "+", a + b
    return max(a, b), min(a, b), "-", abs(a - b)
