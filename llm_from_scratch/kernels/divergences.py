"""How far two distributions lie apart, given by their logits, one number a row, and its derivative.

Nothing as large as the logits is stored: forward keeps three numbers a row, and backward computes the rest again.

Glossary: S and T the two distributions, M = beta T + (1 - beta) S their mixture, delta = log T - log S.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel
from .softmax import shift


@kernel
def skew_divergence(
    student: np.ndarray, teacher: np.ndarray, counts: np.ndarray, temperature: float, beta: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """KL(T | M) / (1 - beta) + KL(S | M) / beta, row by row; at beta = 0 its limit KL(T | S), at 1 KL(S | T).

    student, teacher (N, V): S and T are their softmax at the temperature. counts (N,): booleans; other rows give zeros.
    -> divergence (N,), and what backward wants: the mean slope, and the log_sum_exp of student and teacher, (N,) each.

    >>> student, teacher = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    >>> found = [skew_divergence(student, teacher, np.array([True]), 1.0, beta)[0] for beta in (0.0, 0.5, 1.0)]
    >>> np.concatenate(found).round(4)         # 3/4 log 3 - log 2 at 0, log 2 - 1/2 log 3 at 1
    array([0.1308, 0.1353, 0.1438])
    """
    check(student, teacher, counts)
    divergence, mean_slope, student_sums, teacher_sums = np.zeros((4, len(student)), student.dtype)
    rows = np.flatnonzero(counts)
    log_s, student_sums[rows] = _log_softmax(student[rows], temperature)
    log_t, teacher_sums[rows] = _log_softmax(teacher[rows], temperature)
    s, t = np.exp(log_s), np.exp(log_t)
    with np.errstate(invalid="ignore"):  # -inf - (-inf), where neither has any probability
        if beta == 0:  # s - t adds up to 0, and makes every entry positive: errors of the sums above cancel
            entries = _weighed(t, log_t - log_s) + (s - t)
        elif beta == 1:
            slopes = _weighed(s, log_s - log_t)
            entries = slopes + (t - s)
        else:
            towards_s, towards_t = mixture(log_s, log_t, beta)
            slopes = _weighed(s, towards_s) / -beta
            entries = slopes - _weighed(t, towards_t) / (1 - beta)
    divergence[rows] = entries.sum(-1)
    mean_slope[rows] = 0 if beta == 0 else slopes.sum(-1)
    return divergence, mean_slope, student_sums, teacher_sums


@kernel
def skew_divergence_backward(
    ddivergence: np.ndarray,
    student: np.ndarray,
    teacher: np.ndarray,
    counts: np.ndarray,
    mean_slope: np.ndarray,
    student_sums: np.ndarray,
    teacher_sums: np.ndarray,
    temperature: float,
    beta: float,
) -> np.ndarray:
    """The gradient for the student's logits, (N, V): S (slope - mean slope) / temperature, zero where nothing counts.

    The slope of an entry is log(S / M) / beta. At beta = 1 that is log(S / T); at 0 its limit is 1 - T / S, whose mean
    is 0, so that the gradient is S - T.
    """
    check(student, teacher, counts, ddivergence, mean_slope, student_sums, teacher_sums)
    gradient, rows = np.zeros_like(student), np.flatnonzero(counts)
    log_s = student[rows] / student.dtype.type(temperature) - student_sums[rows, None]
    log_t = teacher[rows] / student.dtype.type(temperature) - teacher_sums[rows, None]
    s = np.exp(log_s)
    with np.errstate(invalid="ignore"):
        if beta == 0:
            pull = s - np.exp(log_t)
        elif beta == 1:
            pull = _weighed(s, log_s - log_t) - s * mean_slope[rows, None]
        else:
            pull = _weighed(s, mixture(log_s, log_t, beta)[0]) / -beta - s * mean_slope[rows, None]
    gradient[rows] = pull * (ddivergence[rows, None] / student.dtype.type(temperature))
    return gradient


def _log_softmax(logits: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms of the probabilities, and what was taken from logits / temperature to get them."""
    with np.errstate(divide="ignore", invalid="ignore"):  # rows that are no distribution: who calls sees it in the sums
        scaled = logits / logits.dtype.type(temperature)
        largest = shift(scaled)
        sums = largest + np.log(np.exp(scaled - largest).sum(-1, keepdims=True))
        return scaled - sums, sums[:, 0]


def _weighed(probability: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Their product, 0 where nothing is likely, be the value infinite."""
    return np.where(probability > 0, probability, 0) * np.where(probability > 0, value, 0)


def mixture(log_s: np.ndarray, log_t: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """log(M / S) and log(M / T), 0 < beta < 1, without adding two logarithms.

    log1p(beta (e^delta - 1)) keeps its digits however small beta is; the other one is only wanted to some digits, and
    is that minus delta. Where beta > 1/2 the two change places.
    """
    if beta > 0.5:
        towards_t, towards_s = mixture(log_t, log_s, 1 - beta)
        return towards_s, towards_t
    delta = log_t - log_s
    near = np.minimum(delta, furthest(delta.dtype))
    first = np.log1p(delta.dtype.type(beta) * (np.exp(near) - 1))
    return first + np.maximum(delta - furthest(delta.dtype), 0), first - near


def furthest(dtype: np.dtype) -> float:
    """Up to where e^delta stays finite; where it is that large, S is nothing beside beta T."""
    return 80.0 if dtype == np.float32 else 700.0


def check(student: np.ndarray, teacher: np.ndarray, counts: np.ndarray, *others: np.ndarray) -> None:
    """Raise ValueError unless the shapes fit together."""
    if student.ndim != 2 or teacher.shape != student.shape:
        raise ValueError(f"student and teacher must be (N, V) alike, got {student.shape} and {teacher.shape}")
    for other in (counts, *others):
        if other.shape != student.shape[:1]:
            raise ValueError(f"an array of shape {other.shape} does not fit logits {student.shape}")


@skew_divergence.example
def _(rng):
    for beta in (0.0, 0.01, 0.3, 0.5, 0.8, 0.99, 1.0):
        student, teacher = rng.normal(size=(2, 6, 70)) * 3
        counts = np.arange(6) % 3 != 1
        teacher[5] = student[5] + 2.0
        if 0 < beta < 1:
            student[0, :2] = teacher[0, 1:3] = -np.inf
            teacher[2, 4] += 300.0
        yield (student, teacher, counts, 1.7, beta), {}
    yield (rng.normal(size=(0, 4)), rng.normal(size=(0, 4)), np.zeros(0, bool), 1.0, 0.5), {}


@skew_divergence_backward.example
def _(rng):
    for (student, teacher, counts, temperature, beta), _ in skew_divergence.examples(rng):
        _, *saved = skew_divergence.__wrapped__(student, teacher, counts, temperature, beta)
        yield (rng.normal(size=len(student)), student, teacher, counts, *saved, temperature, beta), {}
