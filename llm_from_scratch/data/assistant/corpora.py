"""What is learned from: dialogues for supervised tuning, and judgements of answers in the shapes that methods take.

All is computed from the true reward; `noise` says which share of the judgements is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict

from ..tales.dice import Dice
from .task import KINDS, QUESTION_KINDS, STYLES, Message, Task, follow_up, tasks

# How often the supervised set answers in which style: always right, seldom as the true reward likes it best.
STYLE_SHARES: Mapping[str, int] = {"full": 3, "plain": 5, "bare": 5, "polite": 4, "gushing": 3}
SYSTEMS: Mapping[str, str] = {
    "full": "Answer in a sentence, and say what the tale tells of it.",
    "plain": "Answer in one sentence.",
    "bare": "Answer in as few words as you can.",
    "polite": "Be very polite.",
}
# A tempting feature of an answer that is not its worth: what a hasty judge goes by.
BIASES: Mapping[str, Callable[[str], float]] = {
    "length": lambda text: len(text.split()),
    "praise": lambda text: text.count("!"),
}
PARTS = 1000  # shares are drawn in thousandths


class Preference(TypedDict):
    """Two answers to a prompt, of which one is preferred."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]


class Ranking(TypedDict):
    """Answers to a prompt; rank 1 is the best."""

    prompt: list[Message]
    answers: list[str]
    ranks: list[int]


class Classed(TypedDict):
    """A dialogue, and the class of whoever answered: "expert" or "other"."""

    messages: list[Message]
    quality: str


def talks(
    seed: int,
    start: int = 0,
    kinds: Sequence[str] | None = None,
    *,
    turns: int = 1,
    system: float = 0.0,
    styles: Mapping[str, int] = STYLE_SHARES,
) -> Iterator[list[tuple[Task, str]]]:
    """Dialogues as `dialogues` gives them, turn by turn: the task, whose messages are all that came before, and the
    style of its answer, which is `task.variants[style]`.
    """
    _share("system", system)
    if turns < 1:
        raise ValueError(f"a dialogue has at least 1 turn, got turns={turns}")
    if not styles or set(styles) - set(STYLES) or min(styles.values()) < 0 or not sum(styles.values()):
        raise ValueError(f"styles gives a share from 0 on to some of {', '.join(STYLES)}, got {dict(styles)}")
    drawn = [style for style, share in styles.items() for _ in range(share)]
    for number, task in enumerate(tasks(seed, start, kinds), start):
        dice = Dice(seed ^ 0xD1A7, number)
        always = dice.choice(list(SYSTEMS)) if dice.flip(round(system * PARTS), PARTS) else None
        if always is not None:
            task = dataclasses.replace(task, messages=({"role": "system", "content": SYSTEMS[always]}, *task.messages))
        talk: list[tuple[Task, str]] = []
        for turn in range(turns):
            if turn:
                before = (*task.messages, _says(task.variants[talk[-1][1]]))
                task = follow_up(seed, number, turn, before, dice.choice(tuple(kinds or KINDS)))
            talk.append((task, always or dice.choice(drawn)))
        yield talk


def dialogues(
    seed: int,
    start: int = 0,
    kinds: Sequence[str] | None = None,
    *,
    turns: int = 1,
    system: float = 0.0,
    styles: Mapping[str, int] = STYLE_SHARES,
) -> Iterator[list[Message]]:
    """Dialogues `start`, `start` + 1, … of a seed, without end: each is about one tale, in so many turns.

    system: this share of them begins with a system prompt, one of SYSTEMS, to which all answers keep; the others draw
    a style for each answer, as often as `styles` says. kinds: those of the first turn take turns, later ones are drawn.
    """
    for talk in talks(seed, start, kinds, turns=turns, system=system, styles=styles):
        task, style = talk[-1]
        yield [*task.messages, _says(task.variants[style])]


def preferences(
    seed: int, start: int = 0, kinds: Sequence[str] | None = None, *, noise: float = 0.0, bias: str | None = None
) -> Iterator[Preference]:
    """Pairs of answers, the better one chosen, without end.

    noise: in this share of the pairs the worse one is chosen; with bias, the one that has more of it, be it worse or
    better. bias: of BIASES: a judge who goes by length, or by praise.
    """
    _share("noise", noise)
    if bias is not None and bias not in BIASES:
        raise ValueError(f"bias is one of {', '.join(BIASES)}, or None; got {bias!r}")
    for number, task in enumerate(tasks(seed, start, kinds), start):
        dice = Dice(seed ^ 0xFA18, number)
        scores = {answer: task.score(answer) for answer in task.answers}
        better = dice.choice([answer for answer in scores if scores[answer] > min(scores.values())])
        worse = dice.choice([answer for answer in scores if scores[answer] < scores[better]])
        if dice.flip(round(noise * PARTS), PARTS):
            worth = {answer: BIASES[bias](answer) if bias else -scores[answer] for answer in (better, worse)}
            better, worse = sorted(worth, key=worth.__getitem__, reverse=True)
        yield {"prompt": list(task.messages), "chosen": [_says(better)], "rejected": [_says(worse)]}


def rankings(
    seed: int, k: int = 4, start: int = 0, kinds: Sequence[str] | None = QUESTION_KINDS, *, noise: float = 0.0
) -> Iterator[Ranking]:
    """`k` different answers each, in any order, and their ranks; in a share `noise` of them the ranks are any."""
    _share("noise", noise)
    if k < 2:
        raise ValueError(f"a ranking takes at least 2 answers, got k={k}")
    for number, task in enumerate(tasks(seed, start, kinds), start):
        dice, answers = Dice(seed ^ 0x4A4B, number), list(task.answers)
        if len(answers) < k:
            raise ValueError(f"a task of kind {task.kind!r} has {len(answers)} different answers, and k is {k}")
        chosen = [answers.pop(dice.below(len(answers))) for _ in range(k)]
        order = sorted(chosen, key=task.score, reverse=True)
        if dice.flip(round(noise * PARTS), PARTS):
            order = [order.pop(dice.below(len(order))) for _ in range(k)]
        yield {"prompt": list(task.messages), "answers": chosen, "ranks": [order.index(a) + 1 for a in chosen]}


def ratings(
    seed: int, start: int = 0, kinds: Sequence[str] | None = None, *, noise: float = 0.0
) -> Iterator[dict[str, list[Message] | str | int]]:
    """HelpSteer's rows: "prompt", "response" and five attributes from 0 to 4; a share `noise` of these is one off."""
    _share("noise", noise)
    for number, task in enumerate(tasks(seed, start, kinds), start):
        dice = Dice(seed ^ 0x5734, number)
        response = _spoilt(dice.choice(task.answers), dice)
        rated = {
            name: _moved(value, dice) if dice.flip(round(noise * PARTS), PARTS) else value
            for name, value in task.ratings(response).items()
        }
        yield {"prompt": list(task.messages), "response": response, **rated}


def classes(seed: int, start: int = 0, kinds: Sequence[str] | None = None, *, noise: float = 0.0) -> Iterator[Classed]:
    """OpenChat's classes: every second answer is an expert's, the best there is; a share `noise` is said wrongly."""
    _share("noise", noise)
    for number, task in enumerate(tasks(seed, start, kinds), start):
        dice = Dice(seed ^ 0xC1A5, number)
        best, *rest = task.answers
        expert = dice.flip()
        answer = best if expert else dice.choice(rest)
        said = expert != dice.flip(round(noise * PARTS), PARTS)
        yield {"messages": [*task.messages, _says(answer)], "quality": "expert" if said else "other"}


def _spoilt(answer: str, dice: Dice) -> str:
    """One answer in four is cut off or said twice, so that coherence differs too."""
    if not dice.flip(1, 4):
        return answer
    words = answer.split()
    return f"{answer} {answer}" if dice.flip() else " ".join(words[: 1 + dice.below(len(words))])


def _says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _moved(value: int, dice: Dice) -> int:
    return value + (1 if value == 0 or (value < 4 and dice.flip()) else -1)


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a share from 0 to 1, got {value}")
