"""Other right answers of chapter 21.

Logarithms of sums, loops over answers, the sum over δ written out, cases of the clip by hand.
"""

from __future__ import annotations

import math

import numpy as np


def pair_loss(chosen, rejected, margin=0.0):
    lead = (chosen - rejected - margin).astype(np.float64)
    small = np.exp(-np.abs(lead))
    losses = np.maximum(-lead, 0) + np.log1p(small)
    wrong = np.where(lead > 0, small / (1 + small), 1 / (1 + small))
    slope = (wrong / lead.size).astype(chosen.dtype)
    return float(np.average(losses)), -slope, slope


def token_rewards(log_p, log_p_ref, scores, mask, beta):
    out = np.zeros_like(log_p)
    for n, real in enumerate(mask):
        places = np.flatnonzero(real)
        out[n, places] = beta * (log_p_ref[n, places] - log_p[n, places])
        out[n, places[-1]] += scores[n]
    return out


def advantages(rewards, values, mask, gamma, lam, last_values=None):
    out = np.zeros_like(rewards)
    for n in range(len(mask)):
        places = np.nonzero(mask[n])[0]
        if not len(places):
            continue
        after = 0.0 if last_values is None else last_values[n]
        v = np.append(values[n, places], after)
        delta = rewards[n, places] + gamma * v[1:] - v[:-1]
        powers = (gamma * lam) ** np.arange(len(places))
        out[n, places] = [delta[k:] @ powers[: len(places) - k] for k in range(len(places))]
    return out


def clipped_loss(log_p, old_log_p, advantages, mask, clip=0.2):
    slope = np.zeros_like(log_p)
    total, count = 0.0, int(mask.sum())
    for place in zip(*np.nonzero(mask)):
        ratio, a = math.exp(log_p[place] - old_log_p[place]), float(advantages[place])
        if (a > 0 and ratio > 1 + clip) or (a < 0 and ratio < 1 - clip):
            total += (1 + math.copysign(clip, a)) * a
        else:
            total += ratio * a
            slope[place] = -ratio * a / count
    return -total / count, slope


def debiased_preference(judge, prompts, a, b):
    out = np.empty(len(prompts))
    for k in range(len(prompts)):
        first, second = judge(prompts[k], a[k], b[k])
        back, forth = judge(prompts[k], b[k], a[k])
        out[k] = 0.5 * math.exp(-np.logaddexp(0, second - first)) + 0.5 * math.exp(-np.logaddexp(0, back - forth))
    return out
