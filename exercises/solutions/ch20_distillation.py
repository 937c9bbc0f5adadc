"""Chapter 20 exercises: what a student minimises, and what it is given to read.

The first two are pure functions of arrays: float32 goes in, float32 comes out, and no array that was handed in is
changed. The third builds a data set from what a teacher says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "two_words_by_hand: this is KL(S | T): the teacher's probabilities weigh": (
            "The forward divergence asks what the student costs on what the teacher says: the weights are the "
            "teacher's probabilities, Σ T (log T - log S)."
        ),
        "two_words_by_hand: this is a cross-entropy": (
            "Take off what the teacher cannot help: Σ T log T. Then a student that is the teacher has loss 0."
        ),
        "loss_at_a_temperature: the square of the temperature is missing": (
            "Multiply by the temperature twice: the divergence shrinks with its square."
        ),
        "gradient_at_a_temperature: the gradient has 1/temperature": (
            "Of the two factors of the loss one is taken back by the chain rule: temperature²/temperature."
        ),
        "far_logits: RuntimeWarning: overflow": (
            "Subtract each row's maximum before np.exp, and take logarithms of sums, not of probabilities."
        ),
    },
    why="""With softmax inside, the gradient is as simple as that of cross-entropy: what the student believes minus what
    it should. Only that the target is no longer a single word. At a high temperature both distributions are nearly flat
    and their difference is about 1/T of that of the logits; the chain rule takes another 1/T. The factor T² puts back
    what flattening took, so that the same learning rate serves at any temperature, and a sum with a cross-entropy keeps
    its proportions.""",
)
def softened_divergence(student: np.ndarray, teacher: np.ndarray, temperature: float) -> tuple[float, np.ndarray]:
    """Hinton's loss and its gradient: temperature² times the mean over rows of KL(T | S).

    student, teacher: (N, V) logits; T and S are the softmax of the logits divided by the temperature
    returns: the loss, a number, and its derivative with respect to `student`, (N, V); must not overflow

    >>> student, teacher = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    >>> loss, gradient = softened_divergence(student, teacher, 1.0)
    >>> round(float(loss), 4), gradient.round(2).tolist()
    (0.1308, [[0.25, -0.25]])
    """
    s = student / temperature
    s = s - s.max(axis=-1, keepdims=True)
    log_s = s - np.log(np.exp(s).sum(axis=-1, keepdims=True))
    t = teacher / temperature
    t = t - t.max(axis=-1, keepdims=True)
    log_t = t - np.log(np.exp(t).sum(axis=-1, keepdims=True))
    divergence = (np.exp(log_t) * (log_t - log_s)).sum(axis=-1)
    gradient = temperature * (np.exp(log_s) - np.exp(log_t)) / len(student)
    return temperature**2 * divergence.mean(), gradient


@task(
    points=3,
    difficulty="hard",
    minutes=30,
    hints={
        "beta_is_the_teachers_share: beta is the student's share in the mixture here": (
            "M = beta T + (1 - beta) S. At a small beta M is nearly the student."
        ),
        "beta_is_the_teachers_share: the weights of the two divergences are exchanged": (
            "beta weighs KL(T | M), and 1 - beta weighs KL(S | M)."
        ),
        "opposite_beliefs: the logarithms were mixed": (
            "beta log T + (1 - beta) log S is the logarithm of no distribution. Mix probabilities: "
            "np.logaddexp(log beta + log T, log(1 - beta) + log S)."
        ),
        "what_nobody_says: not a number": (
            "0 times -inf. Where a probability is 0 its term is 0, whatever the logarithm: let np.subtract leave such "
            "places out with where=."
        ),
    },
    why="""Forward divergence punishes a student for every word that it leaves out, reverse divergence for every word
    that the teacher would not say. The mixture M stands between them, and nothing is ever infinite: M has whatever
    either has. Libraries have mixed logarithms here, and have had beta the wrong way round; both train, neither
    crashes.""",
)
def generalised_jensen_shannon(student: np.ndarray, teacher: np.ndarray, beta: float) -> np.ndarray:
    """beta KL(T | M) + (1 - beta) KL(S | M) with the mixture M = beta T + (1 - beta) S, row by row.

    student, teacher: (N, V) logits, of which some may be -inf, but no whole row; 0 < beta < 1
    returns: (N,); terms of words with probability 0 are 0; must not overflow

    >>> certain = np.array([[0.0, -np.inf]])
    >>> generalised_jensen_shannon(certain, certain[:, ::-1], 0.5).round(4)         # log 2, the most there is
    array([0.6931])
    """
    logs = []
    for logits in (student, teacher):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        logs.append(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
    log_s, log_t = logs
    log_m = np.logaddexp(math.log(beta) + log_t, math.log1p(-beta) + log_s)
    total = np.zeros_like(student[:, 0])
    for weight, log_p in ((beta, log_t), (1 - beta, log_s)):
        p = np.exp(log_p)
        ratio = np.subtract(log_p, log_m, out=np.zeros_like(p), where=p > 0)
        total = total + weight * (p * ratio).sum(axis=-1)
    return total


@task(
    points=2,
    difficulty="easy",
    minutes=20,
    hints={
        "answers_are_wanted_once: the same answer stands there several times": (
            "Keep the answers of a prompt in a set, and leave out what is in it."
        ),
        "every_try_is_its_own: the teacher was asked for the same try each time": (
            "teach(prompt, k) gives the k-th sample: k runs from 0 to tries - 1."
        ),
        "what_is_not_kept: silence was kept": "An answer of nothing but white space is none: strip it first.",
    },
    why="""Alpaca, Vicuna and Orca are this loop around a larger model: ask, look at the answer, keep or drop, train.
    The student never sees a probability of its teacher, so the two may have different tokenizers; in exchange, one text
    says much less than the distributions behind it. What is kept decides what is learned: a filter for right answers
    makes the student better than a copy of its teacher's average.""",
)
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
    kept = []
    for prompt in prompts:
        seen: set[str] = set()
        for k in range(tries):
            text = teach(prompt, k).strip()
            if text and text not in seen and keep(prompt, text):
                kept.append({"prompt": prompt, "answer": text})
            seen.add(text)
    return kept
