"""The share of answers that are word for word what was expected, once spelling that does not matter is taken away."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .intervals import Estimate, bootstrap


@dataclass(frozen=True)
class ExactMatch(Estimate):
    """value: the share that matches; matches (N,): which."""

    matches: np.ndarray


def normalized(text: str) -> str:
    """Lower case, without punctuation, without "a", "an" and "the", single spaces: as SQuAD compares answers.

    >>> normalized("  The scarf was – golden!")
    'scarf was golden'
    """
    folded = unicodedata.normalize("NFKC", text).lower()
    bare = "".join(c for c in folded if not unicodedata.category(c).startswith("P"))
    return " ".join(word for word in bare.split() if word not in ("a", "an", "the"))


def exact_match(
    answers: Sequence[str],
    references: Sequence[str | Sequence[str]],
    *,
    normalize: Callable[[str], str] = normalized,
    seed: int = 0,
) -> ExactMatch:
    """How many answers equal their reference, or one of their references, after `normalize` (`str` compares as is).

    Raises ValueError for unequal numbers, no items, or an item without a reference.

    >>> result = exact_match(["It was golden.", "red"], ["it was golden", ["blue", "the green"]])
    >>> result.value, result.matches.tolist()
    (0.5, [True, False])
    """
    if isinstance(answers, str) or isinstance(references, str):
        raise TypeError("answers and references are lists of texts, got a single text")
    if len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers cannot be compared with {len(references)} references")
    matches = np.zeros(len(answers), bool)
    for number, (answer, accepted) in enumerate(zip(answers, references)):
        accepted = [accepted] if isinstance(accepted, str) else list(accepted)
        if not accepted or not all(isinstance(text, str) for text in [answer, *accepted]):
            raise ValueError(f"item {number}: an answer and at least one reference, all texts, were expected")
        matches[number] = normalize(answer) in {normalize(text) for text in accepted}
    mean = bootstrap(matches, seed)
    return ExactMatch(mean.value, mean.interval, mean.count, matches)
