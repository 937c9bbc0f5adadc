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

# Every number is one digit, which is one token. (And nobody has one kites, or none.)
_PLUS = tuple((a, b, "+", a + b) for a in range(2, 9) for b in range(1, 10 - a))
_MINUS = tuple((total, b, "-", a) for a, b, _, total in _PLUS)
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
    a, b, sign, result = dice.choice(_PLUS + _MINUS)
    text = f"What is {a} {sign} {b}?"
    return question(text, f"{result}.", f"{a} {sign} {b} = {_wrong(result, dice)}.",
                    Mark((str(result),), frozenset(), f"{a} {sign} {b} = {result}.", "", frozenset(words_of(text)),
                         last=True))  # fmt: skip


def word_problem(p: Passage, dice: Dice) -> Question:
    """A sum that has to be found in a story; worth most with the calculation before the answer."""
    f = p.facts
    a, b, sign, result = dice.choice(_PLUS + _MINUS)
    happened = dice.choice(_GROWN if sign == "+" else _GONE)
    text = f"{f.hero} had {a} {f.noun}s. Then {f.hero} {happened} {b}. How many {f.noun}s had {f.hero} then?"
    answer = f"{f.hero} had {{}} {f.noun}s."
    mark = Mark((str(result),), frozenset(), answer.format(result), f"{a} {sign} {b} = {result}.",
                frozenset(words_of(text)), last=True)  # fmt: skip
    return question(text, f"{result}.", answer.format(_wrong(result, dice)), mark)


def _wrong(result: int, dice: Dice) -> int:
    return dice.choice([number for number in range(2, 10) if number != result])
