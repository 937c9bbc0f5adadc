"""How far two distributions of tokens lie apart: the Kullback-Leibler divergences, and what lies between them."""

from __future__ import annotations

import math

import numpy as np

from ..autograd import primitive
from ..checks import floating, shapes
from ..kernels import divergences as kernels


@primitive
def skew_divergence(student, teacher, counts=None, /, *, beta, temperature=1.0):
    """KL(T | M) / (1 - beta) + KL(S | M) / beta with the mixture M = beta T + (1 - beta) S.

    student, teacher (..., V): logits, whose softmax at the temperature is S and T. counts (...): booleans, False gives
    0; default all -> (...)

    beta: in [0, 1]. The limits are taken at its ends: KL(T | S) ("forward") at 0, KL(S | T) ("reverse") at 1. Times
    beta (1 - beta) it is the generalised Jensen-Shannon divergence.

    An entry of -inf in both is no choice for either and costs nothing. Raises ValueError for rows that hold no finite
    logit or NaN, where they count.

    >>> student, teacher = np.log([0.5, 0.5]), np.log([0.25, 0.75])
    >>> skew_divergence(student, teacher, beta=0.0)              # 3/4 log 3 - log 2
    Tensor(0.1308)
    >>> skew_divergence(student, teacher, beta=1.0)              # log 2 - 1/2 log 3
    Tensor(0.1438)

    Source: Agarwal et al. 2023, arXiv:2306.13649, eq. 1, which has the product; the quotient is ours.
    """
    counts = _checked(student, teacher, counts, beta, temperature)
    rows = (student.reshape(-1, student.shape[-1]), teacher.reshape(-1, student.shape[-1]), counts.reshape(-1))
    divergence, *saved = kernels.skew_divergence(*rows, temperature, beta)
    for name, sums in zip(("student", "teacher"), saved[1:]):
        if not np.isfinite(sums).all():
            place = np.unravel_index(int(np.flatnonzero(~np.isfinite(sums))[0]), counts.shape)
            raise ValueError(
                f"skew_divergence: the {name}'s logits at {tuple(map(int, place))} are no distribution: "
                "they hold NaN or +inf, or nothing but -inf"
            )
    return divergence.reshape(counts.shape), (student.shape, rows, saved, temperature, beta)


@skew_divergence.backward
def _(dy, saved, needs):
    shape, (student, teacher, counts), about, temperature, beta = saved
    dy, dstudent, dteacher = dy.reshape(-1), None, None
    if needs[0]:
        dstudent = kernels.skew_divergence_backward(dy, student, teacher, counts, *about, temperature, beta)
    if needs[1]:  # seen from the other side it is the divergence at 1 - beta
        _, *about = kernels.skew_divergence(teacher, student, counts, temperature, 1 - beta)
        dteacher = kernels.skew_divergence_backward(dy, teacher, student, counts, *about, temperature, 1 - beta)
    return tuple(None if d is None else d.reshape(shape) for d in (dstudent, dteacher, None))


for _beta in (0.0, 0.1, 0.5, 0.9, 1.0):

    @skew_divergence.example
    def _(rng, beta=_beta):
        counts = np.array([[True, False, True]] * 2)
        return (rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 3, 5)), counts), {"beta": beta, "temperature": 1.5}


skew_divergence.example(lambda rng: ((rng.normal(size=5), rng.normal(size=5)), {"beta": 0.3}))


def _checked(student, teacher, counts, beta, temperature):
    """Which rows count; an error unless all arguments fit each other."""
    floating("skew_divergence", student, teacher)
    if student.ndim == 0 or student.shape != teacher.shape:
        raise ValueError(f"skew_divergence: logits {student.shape} and {teacher.shape} must be equal, (..., V)")
    if not 0 <= beta <= 1:
        raise ValueError(f"skew_divergence: beta must lie in [0, 1], got {beta}")
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"skew_divergence: the temperature must be finite and above 0, got {temperature}")
    counts = np.ones(student.shape[:-1], bool) if counts is None else counts
    if counts.dtype != bool:
        raise TypeError(f"skew_divergence: counts are booleans, got {counts.dtype}")
    shapes("skew_divergence", counts=(counts, student.shape[:-1]))
    return counts
