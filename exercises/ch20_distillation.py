"""Chapter 20 exercises: what a student minimises, and what it is given to read.

The first two are pure functions of arrays: float32 goes in, float32 comes out, and no array that was handed in is
changed. The third builds a data set from what a teacher says.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch20              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch20 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401
from collections.abc import Callable, Sequence

import numpy as np


# Task 1 of 3: medium, about 30 minutes, 3 points
def softened_divergence(student: np.ndarray, teacher: np.ndarray, temperature: float) -> tuple[float, np.ndarray]:
    """Hinton's loss and its gradient: temperature² times the mean over rows of KL(T | S).

    student, teacher: (N, V) logits; T and S are the softmax of the logits divided by the temperature
    returns: the loss, a number, and its derivative with respect to `student`, (N, V); must not overflow

    >>> student, teacher = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    >>> loss, gradient = softened_divergence(student, teacher, 1.0)
    >>> round(float(loss), 4), gradient.round(2).tolist()
    (0.1308, [[0.25, -0.25]])
    """
    raise NotImplementedError("softened_divergence")


# Task 2 of 3: hard, about 30 minutes, 3 points
def generalised_jensen_shannon(student: np.ndarray, teacher: np.ndarray, beta: float) -> np.ndarray:
    """beta KL(T | M) + (1 - beta) KL(S | M) with the mixture M = beta T + (1 - beta) S, row by row.

    student, teacher: (N, V) logits, of which some may be -inf, but no whole row; 0 < beta < 1
    returns: (N,); terms of words with probability 0 are 0; must not overflow

    >>> certain = np.array([[0.0, -np.inf]])
    >>> generalised_jensen_shannon(certain, certain[:, ::-1], 0.5).round(4)         # log 2, the most there is
    array([0.6931])
    """
    raise NotImplementedError("generalised_jensen_shannon")


# Task 3 of 3: easy, about 20 minutes, 2 points
def sequence_set(
    prompts: Sequence[str], teach: Callable[[str, int], str], keep: Callable[[str, str], bool], tries: int
) -> list[dict[str, str]]:
    """What a teacher said that was worth keeping, as a data set: sequence-level distillation.

    prompts: what is asked; not changed
    teach: teach(prompt, k) is the teacher's k-th sampled answer; called exactly once for each k in 0 … tries - 1
    keep: keep(prompt, answer) says whether an answer, without white space around it, is good enough
    returns: {"prompt", "answer"} in the order in which things were asked. Of equal answers to one prompt only the first
        stays, and answers of nothing but white space are left out.

    >>> sequence_set(["1 + 1"], lambda prompt, k: [" 2", "3", "2 ", ""][k], lambda prompt, answer: answer == "2", 4)
    [{'prompt': '1 + 1', 'answer': '2'}]
    """
    raise NotImplementedError("sequence_set")
