"""Other right answers of chapter 22.

One row at a time with logaddexp, sigmoids by tanh, and counting with sign.
"""

from __future__ import annotations

import numpy as np


def sequence_log_probability(logits, targets):
    sums = []
    for places, wanted in zip(logits, targets):
        rows = np.flatnonzero(wanted >= 0)
        norms = np.logaddexp.reduce(places[rows], axis=-1)
        sums.append((places[rows, wanted[rows]] - norms).sum())
    return np.array(sums, logits.dtype)


def dpo(chosen, rejected, reference_chosen, reference_rejected, beta):
    z = beta * (chosen + reference_rejected - rejected - reference_chosen)
    loss = float(np.mean(np.maximum(-z, 0) + np.log1p(np.exp(-abs(z)))))
    down = (1 - np.tanh(z / 2)) / 2 * beta / z.size
    return loss, np.negative(down), down


def ipo(chosen, rejected, reference_chosen, reference_rejected, tau, lengths=None):
    a, b = chosen - reference_chosen, rejected - reference_rejected
    p = q = np.ones_like(a)
    if lengths is not None:
        p, q = (np.reciprocal(n.astype(a.dtype)) for n in lengths)
    gap = p * a - q * b - 0.5 / tau
    return float(gap @ gap / gap.size), gap * p * (2 / gap.size), gap * q * (-2 / gap.size)


def reward_accuracy(chosen, rejected, reference_chosen, reference_rejected):
    wins = np.sign((chosen - reference_chosen) - (rejected - reference_rejected))
    return float(np.mean((wins + 1) / 2))
