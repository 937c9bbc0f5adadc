"""From logits to the next token: what may be asked for, in which order it is done, and the draw itself.

`Sampling` does it in the order of the transformers library: repetition (penalty, n-grams), temperature, truncation
(top-k, top-p, min-p, typical). The order matters: top-p after a low temperature keeps fewer tokens than before it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .repetition import forbid_repeated_ngrams, penalise_repetition
from .truncation import limit_to_min_p, limit_to_top_k, limit_to_top_p, limit_to_typical, softmax


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to choose: settings, checked when made, and the chain of steps they stand for.

    temperature: 0 is greedy (no chance at all), 1 the model's own distribution, above 1 flatter.
    top_k: choose among the k most probable tokens only. top_p: among the fewest whose probabilities reach p.
    min_p: among those at least p times as probable as the most probable one. typical_p: among those nearest to the
    expected surprise, as few as reach p. A greedy choice needs none of the four.
    repetition_penalty: above 1 makes tokens that were seen before less probable. no_repeat_ngram_size: no n tokens in
    a row come twice. Both look at the prompt too, and also when greedy.

    >>> rng = np.random.default_rng(0)
    >>> Sampling(temperature=0.0).choose(np.array([0.1, 2.0, 0.3]), [], rng)
    1
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    min_p: float | None = None
    typical_p: float | None = None
    no_repeat_ngram_size: int | None = None

    def __post_init__(self) -> None:
        _number("temperature", self.temperature)
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be finite and at least 0 (0 is greedy), got {self.temperature}")
        for name in ("top_k", "no_repeat_ngram_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
                raise TypeError(f"{name} must be a whole number or None, got {value!r}")
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 (None switches it off), got {value}")
        for name in ("top_p", "min_p", "typical_p"):
            value = getattr(self, name)
            if value is not None:
                _number(name, value)
                if not (0 < value <= 1 or (name == "min_p" and value == 0)):
                    low = "[" if name == "min_p" else "("
                    raise ValueError(f"{name} must lie in {low}0, 1] (None switches it off), got {value}")
        _number("repetition_penalty", self.repetition_penalty)
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ValueError(
                f"repetition_penalty must be finite and above 0 (1 switches it off), got {self.repetition_penalty}"
            )

    @property
    def drawing(self) -> list[str]:
        """Those settings, as "name=value", that say how to draw, and would do nothing where nothing is drawn."""
        off = {"temperature": (0, 1), "top_k": (None,), "top_p": (None, 1), "min_p": (None, 0), "typical_p": (None, 1)}
        return [f"{name}={getattr(self, name)}" for name, values in off.items() if getattr(self, name) not in values]

    def choose(self, logits: np.ndarray, seen: Sequence[int], rng: np.random.Generator) -> int:
        """The next token for one row: logits (V,), `seen` the tokens so far (prompt included)."""
        logits = self.adjust(logits, seen)
        return greedy(logits) if self.temperature == 0 else sample(logits, rng)

    def adjust(self, logits: np.ndarray, seen: Sequence[int]) -> np.ndarray:
        """The logits (V,) that the token is drawn from, after all steps; when greedy after those on repetition only.

        NoTokenLeft, a ValueError, if there is none.
        """
        logits = self.discourage(check_logits(logits), seen)
        if logits.max() == -np.inf:
            raise NoTokenLeft(
                f"a repetition_penalty of {self.repetition_penalty} makes every token impossible: take one nearer to 1"
                if self.no_repeat_ngram_size is None
                else f"after {len(seen)} tokens every next one would repeat {self.no_repeat_ngram_size} in a row: ask "
                "for fewer tokens, or for a larger no_repeat_ngram_size"
            )
        if self.temperature == 0:
            return logits
        logits = scale_by_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = limit_to_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = limit_to_top_p(logits, self.top_p)
        if self.min_p is not None:
            logits = limit_to_min_p(logits, self.min_p)
        if self.typical_p is not None:
            logits = limit_to_typical(logits, self.typical_p)
        return logits

    def discourage(self, scores: np.ndarray, seen: Sequence[int]) -> np.ndarray:
        """The first part of the chain, on repetition; of scores (V,) that are logits or log-probabilities."""
        if self.repetition_penalty != 1.0:
            scores = penalise_repetition(scores, seen, self.repetition_penalty)
            if not scores.max() < np.inf:
                raise ValueError(
                    f"a repetition_penalty of {self.repetition_penalty} makes scores infinite: take one nearer to 1"
                )
        if self.no_repeat_ngram_size is not None:
            scores = forbid_repeated_ngrams(scores, seen, self.no_repeat_ngram_size)
        return scores


class NoTokenLeft(ValueError):
    """Settings forbid every next token."""


def greedy(logits: np.ndarray) -> int:
    """The most probable token; of several equal ones the first.

    >>> greedy(np.array([1.0, 3.0, 3.0]))
    1
    """
    return int(np.argmax(logits))


def scale_by_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Divide by the temperature (above 0).

    >>> scale_by_temperature(np.array([1.0, 2.0]), 0.5)
    array([2., 4.])
    """
    if 1e-3 <= temperature <= 1e3:
        return logits / temperature
    with np.errstate(over="ignore"):
        # What overflows is measured from the largest, so that only -inf can come of it; and float32 has no 1e-50.
        return ((logits - logits.max()).astype(np.float64) / temperature).astype(logits.dtype)


def sample(logits: np.ndarray, rng: np.random.Generator) -> int:
    """Draw a token from softmax(logits), with exactly one number taken from the generator.

    >>> sample(np.array([0.0, 100.0, 0.0]), np.random.default_rng(0))
    1
    """
    possible = np.flatnonzero(logits > -np.inf)
    return int(possible[draw(softmax(logits[possible]), rng)])


def draw(weights: np.ndarray, rng: np.random.Generator) -> int:
    """A token with a probability in proportion to its weight (V,), 0 or more.

    >>> draw(np.array([0.0, 2.0, 0.0]), np.random.default_rng(0))
    1
    """
    possible = np.flatnonzero(weights)
    cumulative = np.cumsum(weights[possible])
    position = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(possible[min(int(position), possible.size - 1)])


def check_logits(logits: np.ndarray) -> np.ndarray:
    """The row as an array of float32 or float64, the latter for all other numbers.

    ValueError if it is empty, holds NaN or +inf, or allows no token at all.
    """
    logits = np.asarray(logits)
    if logits.dtype not in (np.float32, np.float64):
        logits = logits.astype(np.float64)
    if logits.ndim != 1 or logits.size == 0:
        raise ValueError(f"expected one row of logits (V,), got shape {logits.shape}")
    top = logits.max()
    if not np.isfinite(top):
        raise ValueError(
            f"the logits cannot be sampled from: their maximum is {top}; the model's weights or input are not finite"
        )
    return logits


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
