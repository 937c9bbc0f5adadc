"""Compiled versions of `kernels.divergences`."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from ..dispatch import compiled
from . import elementary

PART_OF_A_LOOP = {"error_model": "numpy", "fastmath": {"reassoc", "contract"}}


def skew_divergence(student, teacher, counts, temperature, beta):
    _check(student, teacher, counts)
    results = np.zeros((4, len(student)), student.dtype)
    _forward(student, teacher, counts, *_constants(student.dtype, temperature, beta), results)
    return tuple(results)


def skew_divergence_backward(
    ddivergence, student, teacher, counts, mean_slope, student_sums, teacher_sums, temperature, beta
):
    _check(student, teacher, counts, ddivergence, mean_slope, student_sums, teacher_sums)
    gradient = np.empty_like(student)
    saved = (ddivergence, mean_slope, student_sums, teacher_sums)
    _backward(student, teacher, counts, *saved, *_constants(student.dtype, temperature, beta), gradient)
    return gradient


def _constants(dtype, temperature, beta):
    furthest = 80.0 if dtype == np.float32 else 700.0
    return [dtype.type(number) for number in (temperature, beta, 1 - beta, furthest)]


def _check(student, teacher, counts, *others):
    if student.ndim != 2 or teacher.shape != student.shape:
        raise ValueError(f"student and teacher must be (N, V) alike, got {student.shape} and {teacher.shape}")
    for other in (counts, *others):
        if other.shape != student.shape[:1]:
            raise ValueError(f"an array of shape {other.shape} does not fit logits {student.shape}")


@register_jitable(**PART_OF_A_LOOP)
def _log_sum_exp(row, temperature):
    kind = row.dtype.type
    largest = elementary.maximum(row) / temperature
    if largest == -np.inf:
        return largest
    total = kind(0.0)
    for i in range(row.size):
        total += elementary.exp(row[i] / temperature - largest)
    return largest + kind(math.log(total))


@register_jitable(**PART_OF_A_LOOP)
def _towards(log_s, log_t, beta, rest, furthest):
    """log(M / S) and log(M / T): see `mixture` of the twin. Without branches, so that loops around it vectorise."""
    zero, one = type(beta)(0.0), type(beta)(1.0)
    swapped = beta > rest
    delta = log_s - log_t if swapped else log_t - log_s
    near = delta if delta < furthest else furthest
    first = elementary.log1p((rest if swapped else beta) * (elementary.exp(near) - one))
    second = first - near
    first += delta - furthest if delta > furthest else zero
    return (second, first) if swapped else (first, second)


@compiled
def _forward(student, teacher, counts, temperature, beta, rest, furthest, results):
    kind = student.dtype.type
    zero = kind(0.0)
    for n in range(student.shape[0]):
        if not counts[n]:
            continue
        ours, theirs = student[n], teacher[n]
        sum_s, sum_t = _log_sum_exp(ours, temperature), _log_sum_exp(theirs, temperature)
        divergence, mean_slope = zero, zero
        if beta == zero:
            for i in range(ours.size):
                log_s, log_t = ours[i] / temperature - sum_s, theirs[i] / temperature - sum_t
                s, t = elementary.exp(log_s), elementary.exp(log_t)
                divergence += (t * (log_t - log_s) if t > zero else zero) + (s - t)
        elif rest == zero:
            for i in range(ours.size):
                log_s, log_t = ours[i] / temperature - sum_s, theirs[i] / temperature - sum_t
                s, t = elementary.exp(log_s), elementary.exp(log_t)
                slope = s * (log_s - log_t) if s > zero else zero
                mean_slope += slope
                divergence += slope + (t - s)
        else:
            for i in range(ours.size):
                log_s, log_t = ours[i] / temperature - sum_s, theirs[i] / temperature - sum_t
                s, t = elementary.exp(log_s), elementary.exp(log_t)
                towards_s, towards_t = _towards(log_s, log_t, beta, rest, furthest)
                slope = s * towards_s / -beta if s > zero else zero
                mean_slope += slope
                divergence += slope - (t * towards_t / rest if t > zero else zero)
        results[0, n], results[1, n], results[2, n], results[3, n] = divergence, mean_slope, sum_s, sum_t


@compiled
def _backward(
    student,
    teacher,
    counts,
    ddivergence,
    mean_slope,
    student_sums,
    teacher_sums,
    temperature,
    beta,
    rest,
    furthest,
    gradient,
):
    kind = student.dtype.type
    zero = kind(0.0)
    for n in range(student.shape[0]):
        ours, theirs, out = student[n], teacher[n], gradient[n]
        if not counts[n]:
            for i in range(out.size):
                out[i] = zero
            continue
        scale, mean, sum_s, sum_t = ddivergence[n] / temperature, mean_slope[n], student_sums[n], teacher_sums[n]
        if beta == zero:
            for i in range(out.size):
                s = elementary.exp(ours[i] / temperature - sum_s)
                out[i] = scale * (s - elementary.exp(theirs[i] / temperature - sum_t))
        elif rest == zero:
            for i in range(out.size):
                log_s = ours[i] / temperature - sum_s
                s = elementary.exp(log_s)
                out[i] = scale * s * ((log_s - (theirs[i] / temperature - sum_t)) - mean) if s > zero else zero
        else:
            for i in range(out.size):
                log_s, log_t = ours[i] / temperature - sum_s, theirs[i] / temperature - sum_t
                s = elementary.exp(log_s)
                towards_s, _ = _towards(log_s, log_t, beta, rest, furthest)
                out[i] = scale * s * (towards_s / -beta - mean) if s > zero else zero
