"""From logits to the next token: greedy, temperature, top-k, top-p, repetition penalty.

Every function takes one row of logits (V,) and returns a new one; a token that may not be chosen gets -inf. `Sampling`
applies them in the order of the transformers library: penalty, temperature, top-k, top-p. The order matters: top-p
after a low temperature keeps fewer tokens than before it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to choose: settings, checked when made, and the chain of steps they stand for.

    temperature: 0 is greedy (no chance at all), 1 the model's own distribution, above 1 flatter.
    top_k: choose among the k most probable tokens only. top_p: among the fewest whose probabilities reach p.
    repetition_penalty: above 1 makes tokens that were seen before less probable.

    >>> rng = np.random.default_rng(0)
    >>> Sampling(temperature=0.0).choose(np.array([0.1, 2.0, 0.3]), [], rng)
    1
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        _number("temperature", self.temperature)
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ValueError(f"temperature must be finite and at least 0 (0 is greedy), got {self.temperature}")
        if self.top_k is not None:
            if isinstance(self.top_k, bool) or not isinstance(self.top_k, (int, np.integer)):
                raise TypeError(f"top_k must be a whole number or None, got {self.top_k!r}")
            if self.top_k < 1:
                raise ValueError(f"top_k must be at least 1 (None switches it off), got {self.top_k}")
        if self.top_p is not None:
            _number("top_p", self.top_p)
            if not 0 < self.top_p <= 1:
                raise ValueError(f"top_p must lie in (0, 1] (None switches it off), got {self.top_p}")
        _number("repetition_penalty", self.repetition_penalty)
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ValueError(
                f"repetition_penalty must be finite and above 0 (1 switches it off), got {self.repetition_penalty}"
            )

    def choose(self, logits: np.ndarray, seen: Iterable[int], rng: np.random.Generator) -> int:
        """The next token for one row: logits (V,), `seen` the tokens so far (prompt included)."""
        logits = self.adjust(logits, seen)
        return greedy(logits) if self.temperature == 0 else sample(logits, rng)

    def adjust(self, logits: np.ndarray, seen: Iterable[int]) -> np.ndarray:
        """The logits (V,) that the token is drawn from, after all steps; when greedy after the penalty only."""
        logits = check_logits(logits)
        if self.repetition_penalty != 1.0:
            logits = penalise_repetition(logits, seen, self.repetition_penalty)
        if self.temperature == 0:
            return logits
        logits = scale_by_temperature(logits, self.temperature)
        if self.top_k is not None:
            logits = limit_to_top_k(logits, self.top_k)
        if self.top_p is not None:
            logits = limit_to_top_p(logits, self.top_p)
        return logits


def greedy(logits: np.ndarray) -> int:
    """The most probable token; of several equal ones the first.

    >>> greedy(np.array([1.0, 3.0, 3.0]))
    1
    """
    return int(np.argmax(logits))


def penalise_repetition(logits: np.ndarray, seen: Iterable[int], penalty: float) -> np.ndarray:
    """Make every token in `seen` less probable: positive logits are divided by the penalty, negative ones multiplied.

    A token seen twice is penalised once.

    >>> penalise_repetition(np.array([2.0, -2.0, 1.0]), [0, 1, 1], 2.0)
    array([ 1., -4.,  1.])

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1, in the form of the transformers library.
    """
    tokens = np.unique(np.fromiter(seen, dtype=np.int64))
    if tokens.size and (tokens[0] < 0 or tokens[-1] >= logits.size):
        raise ValueError(f"seen tokens must be ids in 0..{logits.size - 1}, got {tokens[0]}..{tokens[-1]}")
    result = logits.copy()
    chosen = result[tokens]
    result[tokens] = np.where(chosen < 0, chosen * penalty, chosen / penalty)
    return result


def scale_by_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Divide by the temperature (above 0).

    >>> scale_by_temperature(np.array([1.0, 2.0]), 0.5)
    array([2., 4.])
    """
    with np.errstate(over="ignore"):
        # A tiny temperature may overflow; measured from the largest, only -inf can come of it.
        return (logits - logits.max()) / logits.dtype.type(temperature) if temperature < 1e-3 else logits / temperature


def limit_to_top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """Keep the k largest logits and whatever equals the k-th; all others become -inf.

    >>> limit_to_top_k(np.array([1.0, 3.0, 2.0]), 2)
    array([-inf,   3.,   2.])

    Source: Fan, Lewis & Dauphin 2018, arXiv:1805.04833, section 5.1.
    """
    if k >= logits.size:
        return logits.copy()
    kth = np.partition(logits, logits.size - k)[logits.size - k]
    return np.where(logits < kth, -np.inf, logits).astype(logits.dtype, copy=False)


def limit_to_top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Keep the fewest most probable tokens whose probabilities add up to at least p, and always one.

    >>> limit_to_top_p(np.log(np.array([0.5, 0.3, 0.2])), 0.6).round(2)     # 0.5 is not enough, 0.5 + 0.3 is
    array([-0.69, -1.2 ,  -inf])

    Source: Holtzman et al. 2019, arXiv:1904.09751, section 3.1.
    """
    if p >= 1:
        return logits.copy()
    possible = np.flatnonzero(logits > -np.inf)  # after top-k only a few are left to sort
    order = possible[np.argsort(-logits[possible], kind="stable")]
    probabilities = _softmax(logits[order])
    before = np.cumsum(probabilities) - probabilities  # what the more probable ones hold together
    result = np.full_like(logits, -np.inf)
    kept = order[(before < p) | (np.arange(order.size) == 0)]
    result[kept] = logits[kept]
    return result


def sample(logits: np.ndarray, rng: np.random.Generator) -> int:
    """Draw a token from softmax(logits), with exactly one number taken from the generator.

    >>> sample(np.array([0.0, 100.0, 0.0]), np.random.default_rng(0))
    1
    """
    possible = np.flatnonzero(logits > -np.inf)
    cumulative = np.cumsum(_softmax(logits[possible]))
    position = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(possible[min(int(position), possible.size - 1)])


def check_logits(logits: np.ndarray) -> np.ndarray:
    """The row as an array; ValueError if it is empty, holds NaN or +inf, or allows no token at all."""
    logits = np.asarray(logits)
    if logits.ndim != 1 or logits.size == 0:
        raise ValueError(f"expected one row of logits (V,), got shape {logits.shape}")
    top = logits.max()
    if not np.isfinite(top):
        raise ValueError(
            f"the logits cannot be sampled from: their maximum is {top}; the model's weights or input are not finite"
        )
    return logits


def _softmax(logits: np.ndarray) -> np.ndarray:
    """In float64: a sum of many small float32 probabilities would not reach 1."""
    wide = logits.astype(np.float64)
    exponentials = np.exp(wide - wide.max())
    return exponentials / exponentials.sum()


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {value!r}")
