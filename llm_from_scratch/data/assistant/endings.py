"""The end of a tale: nobody knows its words beforehand, but who has to come in it, and what may not."""

from __future__ import annotations

import dataclasses

from ..tales import vocabulary, words
from ..tales.dice import Dice
from .marking import FEELINGS, WORLD, Measures, sentences, tells
from .passages import Passage
from .questions import Question
from .rouge import words_of

LONGEST = 40  # words; the rest is padding


@dataclasses.dataclass(frozen=True)
class EndMark:
    """A good end says how the hero feels and why, and comes back to the thing; its pronouns are the hero's."""

    passage: Passage

    def measure(self, text: str) -> Measures:
        """Read an end; TypeError for what is no text."""
        if not isinstance(text, str):
            raise TypeError(f"an answer is a text, got {type(text).__name__}")
        facts = self.passage.facts
        finished = text.rstrip().endswith((".", "!", "?", '"'))
        told = [words_of(sentence) for name, sentence in self.passage.sentences.items() if name != "end"]
        idle, read = 0, list[str]()
        for sentence in sentences(text):
            said = words_of(sentence)
            if said in told or not tells(said) or len(read) + len(said) > LONGEST:
                idle += len(said)
            else:
                read += said
                told.append(said)
        other = words.PRONOUNS["she" if facts.pronoun == "he" else "he"]
        lexicon = vocabulary()
        strange = len({w for w in read if (w in WORLD and w not in self.passage.known) or w in other
                       or (w.isalpha() and w not in lexicon and w.capitalize() not in lexicon)})  # fmt: skip
        hero = facts.hero.lower() in read
        feels = (facts.kind in read) + any(w in FEELINGS for w in read) + ("because" in read)
        return Measures(
            float(hero), feels / 3, float(facts.noun in read and facts.colour in read), idle, strange, finished
        )


def ending(p: Passage, dice: Dice) -> Question:
    """The tale without its last sentence."""
    f = p.facts
    end = p.sentences["end"]
    thing = "" if f.thing in end else f" {f.hero} dreamed of the {f.thing}."
    other = dice.choice([name for name in (*words.HE_NAMES, *words.SHE_NAMES) if name != f.hero])
    return Question("How does the tale end?", f"{f.hero} was {f.feeling}.", end, end + thing,
                    end.replace(f.hero, other), EndMark(p))  # fmt: skip
