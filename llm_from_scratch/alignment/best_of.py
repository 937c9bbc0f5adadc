"""Best of n: sample several answers, keep the one that scores highest. And rejection sampling: train on those.

It is the plainest way to follow a reward: no gradient, only n times the sampling. How far it leaves the model is known
beforehand: the KL divergence from sampling once is at most ln n - (n - 1)/n nats an answer, and equal to it where all
answers differ in score. LLaMA-2 put what is gained so into the weights, by supervised tuning on the best of K.

Sources: Stiennon et al. 2020, arXiv:2009.01325 (the KL); Nakano et al. 2021, arXiv:2112.09332 (expectations from all
samples); Touvron et al. 2023 (LLaMA-2), arXiv:2307.09288; Beirami et al. 2024, arXiv:2401.01879 (why it is a bound).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checking import finite, whole

Prompt = Sequence[Mapping[str, Any]]
Sample = Callable[[Sequence[Prompt], int], Sequence[str]]
Score = Callable[[Sequence[Prompt], Sequence[str]], Sequence[float]]


def best_of_kl(n: int) -> float:
    """The most nats an answer by which the best of n can differ from a single sample: ln n - (n - 1)/n.

    >>> round(best_of_kl(1), 3), round(best_of_kl(16), 3)
    (0.0, 1.835)
    """
    return math.log(whole("n", n)) - (n - 1) / n


def expected_best(scores: Any, n: int, values: Any = None) -> float:
    """What the best of n is worth on average, from N prompts with K >= n answers each: scores (N, K) -> a number.

    All C(K, n) choices of n answers are counted, not n of the samples alone. values (N, K): what the chosen one is
    worth where that is something else than the score it is chosen by: a true reward, beside a reward model's. Answers
    that tie share their places.

    >>> expected_best([[1.0, 2.0, 3.0]], 2)                     # the best of {1, 2}, {1, 3} and {2, 3}
    2.6666666666666665
    """
    scores = _scores(scores)
    worth = scores if values is None else _scores(values, "values")
    if worth.shape != scores.shape:
        raise ValueError(f"values have the shape {worth.shape}, the scores {scores.shape}: they must be equal")
    k = scores.shape[1]
    if not whole("n", n) <= k:
        raise ValueError(f"the best of {n} cannot be told from {k} answers a prompt: sample more")
    # An answer with `below` others below it and `ties` beside it: the chance that the best of n is at most it, minus
    # the chance that it is less, shared among those that tie.
    below = (scores[:, :, None] > scores[:, None, :]).sum(axis=2)
    ties = (scores[:, :, None] == scores[:, None, :]).sum(axis=2)
    at_most = np.array([math.comb(m, n) / math.comb(k, n) for m in range(k + 1)])
    chances = (at_most[below + ties] - at_most[below]) / ties
    return float((chances * worth).sum(axis=1).mean())


@dataclass(frozen=True)
class BestOf:
    """For each of N prompts K answers, their scores (N, K), and which is best (N,); of several, the first."""

    prompts: tuple[Prompt, ...]
    answers: tuple[tuple[str, ...], ...]
    scores: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Which answer of each question scores highest, counted from 0."""
        return self.scores.argmax(axis=1)

    @property
    def texts(self) -> list[str]:
        """The best answers."""
        return [answers[k] for answers, k in zip(self.answers, self.best)]

    def dialogues(self, above: float = -math.inf) -> list[list[dict[str, Any]]]:
        """Prompts with their best answers, as supervised tuning takes them, where the score is above a threshold.

        A best answer that is empty is left out: there would be nothing to learn.
        """
        rows = zip(self.prompts, self.texts, self.scores.max(axis=1))
        return [
            [*(dict(message) for message in prompt), {"role": "assistant", "content": text}]
            for prompt, text, score in rows
            if score > above and text.strip()
        ]


def best_of_n(sample: Sample, score: Score, prompts: Sequence[Prompt], n: int, *, seed: int = 0) -> BestOf:
    """Sample n answers to each prompt and score them.

    sample: called n times with all prompts and a seed, gives a text for each, at a temperature above 0. score: called
    with as many prompts and answers, gives a number for each: a reward model's, or a true one.

    Raises ValueError for no prompts and, naming prompt and answer, for scores that are not finite.

    >>> def sample(prompts, seed):
    ...     return ["no" * (1 + seed % 3) for _ in prompts]
    >>> def longest(prompts, answers):
    ...     return [len(answer) for answer in answers]
    >>> best_of_n(sample, longest, [[{"role": "user", "content": "Is it?"}]], 3).texts
    ['nonono']
    """
    if not prompts:
        raise ValueError("there are no prompts to answer")
    seeds = np.random.default_rng(seed).integers(0, 2**31, whole("n", n)).tolist()
    rounds, scores = [], []
    for number, each in enumerate(seeds):
        texts = list(sample(prompts, each))
        if len(texts) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts were sampled from, {len(texts)} answers came back")
        given = np.asarray(score(prompts, texts), np.float64)
        if given.shape != (len(prompts),):
            raise ValueError(f"{len(prompts)} answers were scored, the scores have the shape {given.shape}")
        if not np.isfinite(given).all():
            at = int(np.flatnonzero(~np.isfinite(given))[0])
            raise ValueError(f"the score of answer {number} to prompt {at} is {given[at]}: a reward is a finite number")
        rounds.append(texts)
        scores.append(given)
    return BestOf(tuple(prompts), tuple(zip(*rounds)), np.stack(scores, axis=1))


def _scores(scores: Any, name: str = "scores") -> np.ndarray:
    array = np.asarray(scores, np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} are (prompts, answers), at least one of each; got {array.shape}")
    finite(name, array)
    return array
