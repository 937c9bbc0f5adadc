"""What a draft is worth: from how often it guesses right and what guessing and reading cost, how much faster it makes.

The theory takes each guess to be right with one probability, whatever stands before it. Then a pass over k guesses
brings (1 - a^(k+1)) / (1 - a) tokens, and costs k guesses and one reading of k + 1 tokens.

Source: Leviathan, Kalman & Matias 2023, arXiv:2211.17192, eq. 1 and theorem 3.8, where a reading costs a token.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .continuation import generate

MOST = 16  # guesses at once that are thought about


def expected_tokens(acceptance: float, guesses: int) -> float:
    """Tokens that a pass is expected to bring, if a guess is kept with probability `acceptance`.

    >>> round(expected_tokens(0.8, 4), 3), expected_tokens(1.0, 4), expected_tokens(0.0, 4)
    (3.362, 5.0, 1.0)
    """
    if not 0 <= acceptance <= 1:
        raise ValueError(f"acceptance is a probability, between 0 and 1; got {acceptance}")
    return float(sum(acceptance**k for k in range(guesses + 1)))


@dataclass(frozen=True)
class DraftSpeed:
    """Seconds that things take.

    token: the model's own next token, without a draft. guess: one of the draft's. reading: one reading of `guesses`
    guesses by the model, with what is done about them.

    >>> speed = DraftSpeed(token=5.0, guess=0.5, reading=6.0, guesses=4)
    >>> round(speed.speed_up(0.8), 2), speed.best(0.8), round(speed.speed_up(0.0, 1), 2)
    (2.1, 5, 0.87)
    """

    token: float
    guess: float
    reading: float
    guesses: int

    def speed_up(self, acceptance: float, guesses: int | None = None) -> float:
        """How many times as fast as without a draft, by the theory; above 1 it pays.

        A reading of more or fewer guesses than were measured is taken to cost in proportion more than a token.
        """
        guesses = self.guesses if guesses is None else guesses
        reading = self.token + (self.reading - self.token) * guesses / self.guesses
        return expected_tokens(acceptance, guesses) * self.token / (guesses * self.guess + reading)

    def best(self, acceptance: float) -> int:
        """The number of guesses, up to 16, with which it goes fastest."""
        return max(range(1, MOST + 1), key=lambda guesses: self.speed_up(acceptance, guesses))


def seconds_per_token(model: Any, ids: Sequence[int], tokens: int = 24, **settings: Any) -> float:
    """Measured: how long each of so many tokens after ids takes, without the prompt and the first, which reads it.

    settings: as for `generate`. ValueError for fewer than 2 tokens.
    """
    if tokens < 2:
        raise ValueError(f"tokens must be at least 2, since the first is not measured; got {tokens}")
    times: list[float] = []
    settings |= {"stop_tokens": (), "stream": lambda token: times.append(time.perf_counter())}
    generate(model, [list(ids)], max_new_tokens=tokens, **settings)
    return (times[-1] - times[0]) / (len(times) - 1)
