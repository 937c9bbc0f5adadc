"""Who sees whom, what is added to a score, and the softmax of a row: parts of the loops over attention's scores.

Causality and a window allow one run of neighbouring keys a query, so that loops go over that run alone.
"""

from __future__ import annotations

import math

import numpy as np

from ..dispatch import compiled
from . import elementary


@compiled
def visible(i, key, count, causal, window, prefix):
    """The run low … high - 1 of `count` keys, from `key` on, that query i may see; some of them may still be hidden."""
    low, high = 0, count
    if causal:
        high = min(count, max(i + 1, prefix) - key)
    elif window:
        high = min(count, i + window - key)
    if window:
        low = min(count, max(0, i - window + 1 - key))
    return low, max(low, high)


@compiled
def bias_of(key_bias, b, h):
    """The row of a key_bias (B or 1, H or 1, S) that belongs to a head; of size 0 where there is none."""
    if key_bias.size == 0:
        return key_bias.reshape(-1)
    return key_bias[b if key_bias.shape[0] > 1 else 0, h if key_bias.shape[1] > 1 else 0]


@compiled
def documents_of(segments, b):
    """The row of segments (B, S); of size 0 where there are none."""
    return segments[b] if segments.size else segments.reshape(-1)


@compiled
def biased(run, i, first, slope, bias, mine, segments):
    """Add to the scaled products of query i with the keys from `first` on what is added to them; -inf hides a key."""
    kind = run.dtype.type
    if slope != kind(0.0):
        for n in range(run.size):
            run[n] -= slope * kind(abs(i - first - n))
    for n in range(bias.size):
        run[n] += bias[n]
    for n in range(segments.size):
        run[n] = run[n] if segments[n] == mine else kind(-np.inf)


@compiled
def _hidden(j, bias, mine, segments):
    return (bias.size > 0 and bias[j] == -np.inf) or (segments.size > 0 and segments[j] != mine)


@compiled
def seen(i, key, count, causal, window, prefix, bias, mine, segments):
    """The run of `visible`, without what bias or segments, whole rows of them, hide at its ends."""
    low, high = visible(i, key, count, causal, window, prefix)
    while low < high and _hidden(key + low, bias, mine, segments):
        low += 1
    while low < high and _hidden(key + high - 1, bias, mine, segments):
        high -= 1
    return low, high


@compiled
def to_probabilities(run, i, first, slope, bias, mine, segments):
    """Scaled products to exp(score - the largest), in place; the log-sum-exp, and 1 / sum, or 0 if nothing is seen."""
    kind = run.dtype.type
    zero, tiny = kind(0.0), kind(1.1754943508222875e-38)
    biased(run, i, first, slope, bias, mine, segments)
    largest = elementary.maximum(run)
    if largest == -np.inf:
        run[:] = zero
        return kind(-np.inf), zero
    hidden = 0
    for n in range(run.size if bias.size or segments.size else 0):
        hidden += run[n] == -np.inf
    scores = run if hidden == 0 else run[run != -np.inf]  # so that the sum goes over what is seen, wherever it stands
    total = zero
    for n in range(scores.size):
        e = elementary.exp(scores[n] - largest)
        e = zero if e < tiny else e
        total += e
        scores[n] = e
    if hidden:
        seen_before = 0
        for n in range(run.size):
            if run[n] == -np.inf:
                run[n] = zero
            else:
                run[n] = scores[seen_before]
                seen_before += 1
    return kind(math.log(total)) + largest, kind(1.0) / total
