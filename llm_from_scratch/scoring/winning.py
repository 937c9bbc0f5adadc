"""How often one system's answers win against another's, by a judge who sees each pair in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Estimate, bootstrap
from .judge import Judge, Prompt, Verdict, position_bias, verdicts


@dataclass(frozen=True)
class WinRate(Estimate):
    """value: wins and half the ties, over all; `ties` include pairs on which the two orders disagree."""

    wins: int
    ties: int
    losses: int
    contradictions: int  # pairs on which the judge chose the same place twice
    position_bias: float
    verdicts: tuple[Verdict, ...]


def win_rate(
    judge: Judge, prompts: Sequence[Prompt], answers: Sequence[str], others: Sequence[str], *, seed: int = 0
) -> WinRate:
    """The share of prompts on which `answers` beat `others`; ties count one half.

    A pair is won if neither order prefers the other answer and one prefers this; where the orders contradict each
    other, or both see no difference, it is a tie: a judge who only looks at the place calls every pair one. Answers
    that are equal are a tie without being asked about. Raises ValueError for unequal numbers, and for a judge who
    chooses neither.

    >>> prefers_length = lambda prompt, first, second: float(len(first) > len(second))
    >>> result = win_rate(prefers_length, [[], [], []], ["long", "a", "same"], ["no", "bcd", "same"])
    >>> result.value, (result.wins, result.ties, result.losses)
    (0.5, (1, 1, 1))
    """
    if not len(prompts) == len(answers) == len(others):
        raise ValueError(f"{len(prompts)} prompts, {len(answers)} answers and {len(others)} others: one of each a pair")
    pairs = list(zip(prompts, answers, others))
    asked = iter(verdicts(judge, [pair for pair in pairs if pair[1] != pair[2]]))
    found = tuple(Verdict(0.5, 0.5) if a == b else next(asked) for _, a, b in pairs)
    scores = np.array([verdict.score for verdict in found])
    mean = bootstrap(scores, seed)
    return WinRate(
        mean.value, mean.interval, mean.count,
        int((scores == 1).sum()), int((scores == 0.5).sum()), int((scores == 0).sum()),
        sum((v.in_front - 0.5) * (v.behind - 0.5) < 0 for v in found), position_bias(found).value, found,
    )  # fmt: skip
