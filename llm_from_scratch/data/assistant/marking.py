"""The true reward: what an answer is worth, computed from its words.

An answer is read as sentences. The first that says anything of the tales' world is the answer proper: it has to say the
key and none of its rivals. A whole sentence is worth more than the bare word, most with a fitting sentence of the tale
beside it; every other word is padding and costs, and so does whatever the prompt does not know.
"""

from __future__ import annotations

import dataclasses
import re

from ..tales import words
from .rouge import common_subsequence, words_of

NAMES = frozenset(name.lower() for name in (*words.HE_NAMES, *words.SHE_NAMES))
KINDS = frozenset((*words.KINDS, *words.ELDERS))
COLOURS, THINGS, FOODS = frozenset(words.COLOURS), frozenset(words.THINGS), frozenset(words.FOOD_NOUNS)
PLACES = frozenset((*words.PLACES, *words.HOME_PLACES))
FEELINGS = frozenset(("happy", "glad", "proud"))
WORLD = NAMES | KINDS | COLOURS | THINGS | FOODS | PLACES  # a prompt says which of them there are
_TELLING = WORLD | FEELINGS | frozenset(("he", "she", "not", "first", "then", "because", "seed", *words.DWELLINGS))
_SENTENCE = re.compile(r'[^.!?\n]*[^.!?\n\s][^.!?\n]*[.!?]*"?')
READ = 120  # so many words are read; the rest of a longer answer is padding
RAMBLING = 30  # so many idle words, and the answer is lost among them

SENTENCE, DETAIL = 0.3, 0.35  # what it costs to give no whole sentence, and no sentence of the tale beside it
BESIDE = 0.1  # of that for a wrong answer that is one of the possible ones
STRANGE = 0.6  # kept for each word that the prompt does not know
UNFINISHED = 0.8  # kept if the last sentence has no end
IDLE = 10.0  # so many idle words halve the worth


@dataclasses.dataclass(frozen=True)
class Measures:
    """What was found: three shares from 0 to 1, and how many words are idle or strange to the prompt."""

    correct: float
    sentence: float
    detail: float
    idle: int
    strange: int
    finished: bool

    @property
    def right(self) -> bool:
        """The answer is the key, nothing beside it is wrong, and it is not lost in talk."""
        return self.correct == 1 and self.strange == 0 and self.idle <= RAMBLING

    @property
    def score(self) -> float:
        """The true reward, 0 to 1."""
        worth = self.correct * (1 - SENTENCE * (1 - self.sentence) - DETAIL * (1 - self.detail))
        worth *= STRANGE**self.strange * IDLE / (IDLE + self.idle)
        return worth if self.finished else worth * UNFINISHED


@dataclasses.dataclass(frozen=True)
class Mark:
    """What is wanted: `key`, the words that answer, in order; `rivals`, of which none may stand in the same sentence;
    `sentence`, the answer as a whole sentence; `detail`, a sentence that goes with it ("": none); `known`, the words of
    the prompt. With `last` the key is the last number said, as in graded arithmetic.
    """

    key: tuple[str, ...]
    rivals: frozenset[str]
    sentence: str
    detail: str
    known: frozenset[str]
    last: bool = False

    def measure(self, text: str) -> Measures:
        """Read an answer; TypeError for what is no text."""
        return measure(text, self)


def sentences(text: str) -> list[str]:
    """Split after full stops, question and exclamation marks, and at line breaks.

    >>> sentences('Red. The kite was red! It')
    ['Red.', 'The kite was red!', 'It']
    """
    return [found.strip() for found in _SENTENCE.findall(text)]


def tells(said: list[str]) -> bool:
    """Whether the words of a sentence say anything of the tales' world, or a number; all else is talk."""
    return any(word in _TELLING or word.isdigit() for word in said)


def measure(text: str, mark: Mark) -> Measures:
    """Read an answer.

    >>> known = frozenset(("tom", "kite", "red", "blue"))
    >>> mark = Mark(("red",), COLOURS - {"red"}, "The kite was red.", "Tom lost the red kite.", known)
    >>> answers = ("The kite was red. Tom lost the red kite.", "The kite was red.", "Red.", "Well! Red!", "Blue.", "")
    >>> [round(measure(text, mark).score, 2) for text in answers]
    [1.0, 0.65, 0.43, 0.39, 0.03, 0.0]
    """
    if not isinstance(text, str):
        raise TypeError(f"an answer is a text, got {type(text).__name__}")
    said, length = [], 0
    for sentence in sentences(text):
        spoken = words_of(sentence)[: READ - length]
        length += len(spoken)
        said.append(spoken)
    idle = max(0, len(text.split()) - READ)
    telling = [spoken for spoken in said if tells(spoken)]
    strange = len({w for spoken in telling for w in spoken if w in WORLD and w not in mark.known})
    finished = text.rstrip().endswith((".", "!", "?", '"'))
    if not telling:
        return Measures(0.0, 0.0, 0.0, idle + length, 0, finished)
    answer = telling[-1 if mark.last else 0]
    correct = _correct(answer, mark)
    wanted = words_of(mark.sentence)
    agreeing = common_subsequence(answer, wanted)
    used = agreeing
    detail, fitting = 0.0, words_of(mark.detail)
    for spoken in telling:
        if fitting and spoken is not answer and spoken != answer:
            common = common_subsequence(spoken, fitting)
            share = max(0.0, 4 * common / (len(spoken) + len(fitting)) - 1)  # what is half another sentence fits not
            if share > detail:
                detail, used = share, agreeing + common
    whole = agreeing / len(wanted)
    return Measures(correct, whole, detail if fitting else whole, idle + length - used, strange, finished)


def _correct(answer: list[str], mark: Mark) -> float:
    if mark.last:
        numbers = [word for word in answer if word.isdigit()]
        return (1.0 if numbers[-1] == mark.key[0] else BESIDE) if numbers else 0.0
    found = common_subsequence(answer, mark.key) / len(mark.key)
    rival = any(word in mark.rivals for word in answer)
    if found == 1 and not rival:
        return 1.0
    # Half of a long key is easily said by chance; one word of several rivals is at least an answer to the question.
    partly = max(0.0, 2 * found - 1) * 0.5 if len(mark.key) > 2 and not rival else 0.0
    return max(partly, BESIDE if rival or found else 0.0)
