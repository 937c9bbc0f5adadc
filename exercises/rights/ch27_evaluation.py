"""Other right answers of chapter 27.

Token by token in loops, indicator sums, and logarithms of factorials.
"""

from __future__ import annotations

import math

import numpy as np


def bits_per_byte(log_probabilities, token_bytes, scored):
    bits = size = 0.0
    for value, count, flag in zip(log_probabilities.tolist(), token_bytes.tolist(), scored.tolist()):
        if flag:
            bits -= value * math.log2(math.e)
            size += count
    return bits / size


def scored_tokens(pieces, context):
    left = len(bytes(context, "utf-8"))
    marks = []
    for piece in pieces:
        left -= len(piece)
        marks.append(left < 0)
    return np.array(marks, dtype=bool)


def choose(log_probabilities, choices, normalize):
    scores = []
    for values, choice in zip(log_probabilities, choices):
        total = math.fsum(values.tolist())
        if normalize == "tokens":
            total /= values.size
        elif normalize == "characters":
            total /= len(list(choice))
        elif normalize == "bytes":
            total /= len(bytearray(choice, "utf-8"))
        scores.append(total)
    return np.array(scores), scores.index(max(scores))


def paired_bootstrap(a, b, draws):
    d = np.mean(a - b)
    means = np.stack([np.mean(a[row] - b[row]) for row in draws])
    far = sum(1 for m in means if abs(m - d) >= abs(d))
    ends = np.percentile(means, 2.5), np.percentile(means, 97.5)
    return float(d), (float(ends[0]), float(ends[1])), float((far + 1) / (len(draws) + 1))


def pass_at_k(n, c, k):
    if c > n - k:
        return 1.0
    lost = math.fsum(math.log1p(-c / (n - i)) for i in range(k)) if c else 0.0
    return -math.expm1(lost)
