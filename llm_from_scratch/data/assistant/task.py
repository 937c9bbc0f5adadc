"""A task: what is asked, and a judge that gives any answer its true reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypedDict

from ..tales.dice import Dice
from . import endings, harm, questions, requests
from .harm import HarmMark, is_safe, refuses
from .marking import sentences as split
from .passages import Passage, passage
from .questions import Question
from .rouge import words_of


class Message(TypedDict):
    """One turn of a dialogue: its role is "system", "user" or "assistant"."""

    role: str
    content: str


QUESTION_KINDS = tuple(questions.QUESTIONS)  # about a tale that the prompt tells
OTHER_KINDS = ("rewriting", "continuing", "arithmetic", "problem")
SAFETY_KINDS = ("harm", "harmless")
KINDS = (*QUESTION_KINDS, *OTHER_KINDS, *SAFETY_KINDS)
# What the tales model learns within minutes, and how often each comes; sums take it longer.
TAUGHT_KINDS = (*QUESTION_KINDS, *QUESTION_KINDS, "rewriting", "continuing", *SAFETY_KINDS)
_MAKERS = {
    **questions.QUESTIONS,
    "rewriting": (requests.rewriting,),
    "continuing": (endings.ending,),
    "arithmetic": (requests.arithmetic,),
    "problem": (requests.word_problem,),
    "harm": (harm.harm,),
    "harmless": (harm.harmless,),
}
_ALONE = ("rewriting", "arithmetic", "problem", *SAFETY_KINDS)  # asked without the tale
_IDLE_TALK = 4  # so many idle words are a style, fewer a slip
_ATTEMPTS = 20  # to find a question that was not asked; there are eleven about a tale
_STREAM = 0x7A5C  # keeps these choices apart from those of the tales

# Talk that says nothing: no word of it is one of the tales' people, things, places or feelings.
OPENINGS = ("What a good thing to ask!", "Oh, how well you asked that!", "You are so clever to ask!")
CLOSINGS = ("You can ask me again!", "It was so nice to help!", "I love to tell you that!")
STYLES = ("full", "plain", "gushing", "bare", "polite", "polite but wrong", "wrong")


@dataclasses.dataclass(frozen=True)
class Task:
    """`messages` ask, `answer` is right and plain, `answers` are graded by their score, the best first.

    >>> task = next(tasks(2023, start=5, kinds=["what"]))
    >>> task.messages[-1]["content"].splitlines()[-1], task.answer
    ('What colour was the scarf?', 'The scarf was golden.')
    >>> for answer in task.answers[:2]:
    ...     print(task.score(answer), answer)
    1.0 The scarf was golden. First Nora took the golden scarf to the garden.
    0.65 The scarf was golden.
    """

    kind: str
    messages: tuple[Message, ...]
    question: Question
    variants: dict[str, str]

    @property
    def answer(self) -> str:
        """The plain right answer."""
        return self.question.plain

    @property
    def answers(self) -> tuple[str, ...]:
        """Every variant once, the best first."""
        different = dict.fromkeys(self.variants.values())
        return tuple(sorted(different, key=self.score, reverse=True))

    def score(self, text: str) -> float:
        """The true reward, 0 to 1; 1 is reached. TypeError for what is no text."""
        return self.question.judge.measure(text).score

    def right(self, text: str) -> bool:
        """It says what was asked for, and nothing that is wrong; how it says it does not matter."""
        return self.question.judge.measure(text).right

    def safe(self, text: str) -> bool:
        """Nobody comes to harm in it."""
        return is_safe(text)

    def refuses(self, text: str) -> bool:
        """It says that it does not tell: right where harm is asked for, a false refusal elsewhere."""
        return refuses(text)

    def helpfulness(self, text: str) -> float:
        """What it is worth to somebody who wants what they asked for, be it harm: 0 to 1."""
        judge = self.question.judge
        return (judge.compliance if isinstance(judge, HarmMark) else judge).measure(text).score

    def style(self, text: str) -> str:
        """Which of STYLES it is most like, by what it has: "wrong" or "polite but wrong" if it is not right."""
        measured = self.question.judge.measure(text)
        talks = measured.idle >= _IDLE_TALK
        if not measured.right:
            return "polite but wrong" if talks else "wrong"
        if talks:
            return "gushing" if measured.detail > 0.5 else "polite"
        return "full" if measured.detail > 0.5 else "plain" if measured.sentence > 0.8 else "bare"

    def ratings(self, text: str) -> dict[str, int]:
        """HelpSteer's five attributes (Wang et al. 2023), each 0 to 4."""
        measured, said = self.question.judge.measure(text), words_of(text)
        sentences = split(text)
        repeated = len(sentences) - len(set(sentences))
        return {
            "helpfulness": round(4 * measured.score),
            "correctness": round(4 * measured.correct * 0.5**measured.strange),
            "coherence": max(0, 4 * bool(said) - 2 * (not measured.finished) - repeated - measured.idle // 10),
            "complexity": min(4, len(set(said)) // 5),
            "verbosity": sum(len(said) >= least for least in (4, 10, 18, 30)),
        }


def make_task(seed: int, number: int, kind: str) -> Task:
    """Task `number` of a seed, of a kind. ValueError for a kind that there is not, or a negative number."""
    if kind not in _MAKERS:
        raise ValueError(f"there are no tasks of kind {kind!r}; the kinds are {', '.join(KINDS)}")
    told, dice = passage(seed, number), Dice(seed ^ _STREAM, number)
    asked = dice.choice(_MAKERS[kind])(told, dice)
    return _task(kind, ({"role": "user", "content": _with_tale(kind, told, asked)},), asked, dice)


def _with_tale(kind: str, told: Passage, asked: Question) -> str:
    if kind in _ALONE:
        return asked.text
    return f"{told.text(without='end' if kind == 'continuing' else None)}\n\n{asked.text}"


def _task(kind: str, messages: tuple[Message, ...], asked: Question, dice: Dice) -> Task:
    opening, closing = dice.choice(OPENINGS), dice.choice(CLOSINGS)
    full, polite = asked.full, f"{opening} {asked.plain} {closing}"
    variants = (full, asked.plain, f"{opening} {full} {closing}", asked.bare, polite,
                f"{opening} {asked.wrong} {closing}", asked.wrong)  # fmt: skip
    return Task(kind, messages, asked, dict(zip(STYLES, variants)))


def follow_up(seed: int, number: int, turn: int, before: tuple[Message, ...], kind: str) -> Task:
    """A further question of a dialogue: about the same tale, which is told if it was not yet, and not asked before."""
    told, dice = passage(seed, number), Dice(seed ^ _STREAM ^ turn << 32, number)
    known = any(told.title in message["content"] for message in before)
    if known and kind == "continuing":
        kind = "who"  # its end was told
    for _ in range(_ATTEMPTS):
        asked = dice.choice(_MAKERS[kind])(told, dice)
        if not any(message["content"].endswith(asked.text) for message in before):
            break
        kind = dice.choice(QUESTION_KINDS)
    text = asked.text if known else _with_tale(kind, told, asked)
    return _task(kind, (*before, {"role": "user", "content": text}), asked, dice)


def tasks(seed: int, start: int = 0, kinds: Sequence[str] | None = None) -> Iterator[Task]:
    """Task `start`, `start` + 1, … of a seed, without end: the kinds take turns, each task is about a tale of its own.

    kinds: of KINDS; None is all. Different seeds have different tales; of sums there are only so many.
    """
    if isinstance(kinds, str):
        raise TypeError(f"kinds is a list of kinds, got one str; write kinds=[{kinds!r}]")
    chosen = KINDS if kinds is None else tuple(kinds)
    if not chosen:
        raise ValueError(f"kinds is empty; take some of {', '.join(KINDS)}")
    number = start
    while True:
        yield make_task(seed, number, chosen[number % len(chosen)])
        number += 1
