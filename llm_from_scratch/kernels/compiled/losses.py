"""Compiled versions of `kernels.losses`."""

from __future__ import annotations

import math

import numpy as np

from ..dispatch import compiled
from . import elementary

IGNORED = -100


def _check(logits, targets):
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ValueError(f"logits (N, V) and targets (N,) are needed, got {logits.shape} and {targets.shape}")
    return targets.astype(np.int64, copy=False)


def _wrong_target(targets, n, columns):
    return ValueError(f"targets[{n}] is {int(targets[n])}: expected 0 to {columns - 1}, or {IGNORED} to ignore")


def cross_entropy(logits, targets):
    targets = _check(logits, targets)
    losses, log_sum_exp = np.zeros(len(logits), logits.dtype), np.zeros(len(logits), logits.dtype)
    wrong = _cross_entropy(logits, targets, losses, log_sum_exp)
    if wrong >= 0:
        raise _wrong_target(targets, wrong, logits.shape[1])
    return losses, log_sum_exp


def cross_entropy_backward(dlosses, logits, targets, log_sum_exp, out=None):
    targets = _check(logits, targets)
    if out is None:
        out = np.empty_like(logits)
    if dlosses.shape != targets.shape or log_sum_exp.shape != targets.shape or out.shape != logits.shape:
        raise ValueError(
            f"dlosses {dlosses.shape}, log_sum_exp {log_sum_exp.shape} or out {out.shape} "
            f"does not fit logits {logits.shape}"
        )
    wrong = _find_wrong(targets, logits.shape[1])  # before anything is overwritten
    if wrong >= 0:
        raise _wrong_target(targets, wrong, logits.shape[1])
    _cross_entropy_backward(dlosses, logits, targets, log_sum_exp, out, out is logits)
    return out


@compiled
def _find_wrong(targets, columns):
    """The index of the first target that is neither a column nor ignored, or -1."""
    for n in range(targets.size):
        if (targets[n] < 0 or targets[n] >= columns) and targets[n] != IGNORED:
            return n
    return -1


@compiled
def _cross_entropy(logits, targets, losses, log_sum_exp):
    kind = logits.dtype.type
    wrong = _find_wrong(targets, logits.shape[1])
    if wrong >= 0:
        return wrong
    for n in range(targets.size):
        if targets[n] == IGNORED:
            continue
        row = logits[n]
        largest = elementary.maximum(row)
        if largest == -np.inf:
            largest = kind(0.0)
        total = kind(0.0)
        for i in range(row.size):
            total += elementary.exp(row[i] - largest)
        logarithm = kind(math.log(total))
        losses[n] = (largest - row[targets[n]]) + logarithm
        log_sum_exp[n] = largest + logarithm
    return -1


@compiled
def _cross_entropy_backward(dlosses, logits, targets, log_sum_exp, out, in_place):
    kind = logits.dtype.type
    for n in range(targets.size):
        row = out[n]
        if targets[n] == IGNORED:
            for i in range(row.size):
                row[i] = kind(0.0)
            continue
        if not in_place:
            source = logits[n]
            for i in range(row.size):
                row[i] = source[i]
        # One array, read and written: with two that overlap, LLVM's check would choose the loop that is not
        # vectorised.
        scale, shift = dlosses[n], log_sum_exp[n]
        for i in range(row.size):
            row[i] = scale * elementary.exp(row[i] - shift)
        row[targets[n]] -= scale
