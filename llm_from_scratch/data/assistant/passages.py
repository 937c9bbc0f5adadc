"""A tale in five sentences, made of its `Facts`: short enough to be read before every question.

Its words are those of the tales, so that a model trained on tales knows them; everything that is asked stands in it.
"""

from __future__ import annotations

import dataclasses
import functools

from ..tales import Facts, tell
from .rouge import words_of


@dataclasses.dataclass(frozen=True)
class Passage:
    """A short tale: its facts, and the sentences after the title."""

    facts: Facts

    @property
    def home(self) -> str:
        """Where the hero lives, without the size of the house, which tales say only once: "in the hut by the sea"."""
        _, _, _, rest = self.facts.home.split(" ", 3)
        return f"in the {rest}"

    @property
    def title(self) -> str:
        """Who, what and where: "Mia the fox and the lost key in the wood"."""
        facts = self.facts
        return f"{facts.hero} the {facts.kind} and the {facts.thing} {facts.where}"

    @property
    def sentences(self) -> dict[str, str]:
        """Name of a sentence -> the sentence, in order."""
        facts = self.facts
        return {
            "hero": f"There was once {with_article(facts.kind)} named {facts.hero}.",
            "home": f"{facts.hero} lived {self.home}.",
            "first": f"First {facts.first}.",
            "then": f"Then {facts.then}.",
            "end": f"{facts.hero} the {facts.kind} was {facts.feeling} because {facts.why}.",
        }

    def text(self, *, without: str | None = None) -> str:
        """Title, blank line, sentences; one of them may be left out."""
        told = " ".join(sentence for name, sentence in self.sentences.items() if name != without)
        return f"{self.title}\n\n{told}"

    @property
    def known(self) -> frozenset[str]:
        """Every word of it, in small letters."""
        return frozenset(words_of(self.text()))


@functools.lru_cache(maxsize=64)  # the turns of a dialogue ask for the same one
def passage(seed: int, number: int) -> Passage:
    """The tale `number` of a seed, told shortly.

    >>> print(passage(2023, 5).text()[:120])
    Nora the girl and the golden scarf in the garden
    <BLANKLINE>
    There was once a girl named Nora. Nora lived in the cottage close to t
    """
    return Passage(tell(seed, number).facts)


def with_article(noun: str) -> str:
    """ "a fox", "an owl": in the tales' lexicon the letter decides.

    >>> with_article("orange kite")
    'an orange kite'
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def sentence_case(text: str) -> str:
    """A capital letter in front and a full stop at the end."""
    return text[0].upper() + text[1:] + "."
