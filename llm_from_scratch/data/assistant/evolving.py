"""Evolved instructions (Evol-Instruct, Xu et al. 2023): a model makes a task harder, or makes another one of it.

In each round every task is rewritten in a way that is drawn: deeper (one more condition, a more special question, a
reason asked for) or broader (a new task of the same world). What did not evolve is dropped and stays as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ..tales.dice import Dice
from .asking import Ask, counted, put, without_number
from .growing import LONGEST, SHORTEST
from .rouge import rouge_l, words_of

WAYS: Mapping[str, str] = {
    "condition": "Rewrite the task so that its answer has to meet one more condition.",
    "special": "Rewrite the task so that it asks for something more special.",
    "reason": "Rewrite the task so that its answer has to give a reason.",
    "steps": "Rewrite the task so that more steps of thinking are needed.",
    "broader": "Write a new task of the same kind that is asked less often.",
}
SAME = 0.95  # ROUGE-L from which nothing has changed


@dataclasses.dataclass(frozen=True)
class Evolved:
    """Round by round the instructions, the given ones first, and what was dropped for what."""

    rounds: tuple[tuple[str, ...], ...]
    dropped: dict[str, int]


def evolve(instructions: Sequence[str], ask: Ask, *, rounds: int = 1, seed: int = 0) -> Evolved:
    """Rewrite each instruction `rounds` times.

    Dropped is what is unchanged, too short or long, or speaks of the request instead of following it. Raises ValueError
    for no instruction, no round, and where nothing evolved at all; TypeError for an answer that is no text.

    >>> evolve(["Where did Tom live?"], lambda messages: "Where did Tom live, and with whom?").rounds[-1]
    ('Where did Tom live, and with whom?',)
    """
    if isinstance(instructions, str) or not instructions:
        raise ValueError("instructions is a list of at least one instruction to begin with")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    told, dice = [tuple(instructions)], Dice(seed, len(instructions))
    dropped = {"unchanged": 0, "too short or too long": 0, "about the request": 0}
    for _ in range(rounds):
        current = []
        for instruction in told[-1]:
            way = WAYS[dice.choice(list(WAYS))]
            answer = put(ask, f"{way}\nThe task: {instruction}\nYour task:")
            changed = without_number(" ".join(answer.split()))
            reason = _unfit(changed, instruction)
            if reason:
                dropped[reason] += 1
            current.append(instruction if reason else changed)
        told.append(tuple(current))
    if sum(dropped.values()) == rounds * len(instructions):
        raise ValueError(
            f"none of {rounds * len(instructions)} answers is an evolved task (dropped: {counted(dropped)})"
        )
    return Evolved(tuple(told), dropped)


def _unfit(changed: str, instruction: str) -> str | None:
    if not SHORTEST <= len(words_of(changed)) <= LONGEST:
        return "too short or too long"
    if rouge_l(changed, instruction) >= SAME:
        return "unchanged"
    if any(phrase in changed.lower() for phrase in ("rewrite the task", "the task:", "your task", "new task")):
        return "about the request"
    return None
