"""Other right answers of chapter 14.

A list of matrices, math.ceil on fractions, a loop over what is held, one side from the other, a loop over runs with
logaddexp, lines by hand.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, exp, log

import numpy as np


def training_flops(config, length):
    d, f, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    head_width = d / config["num_attention_heads"]
    shared = config["num_key_value_heads"] * head_width
    matrices = [(d, d), (d, shared), (d, shared), (d, d), (d, f), (d, f), (f, d)]
    per_token = sum(2 * a * b for a, b in matrices) + 2 * d * (length + 1)
    return 3 * length * (config["num_hidden_layers"] * per_token + 2 * d * vocabulary)


def load_bytes(parameters, bits, block=None):
    size = ceil(Fraction(parameters * bits, 8))
    if block:
        size += 2 * ceil(Fraction(parameters, block))
    return size


def training_bytes(parameters, precision, kept):
    width = {"float32": 4, "mixed": 4, "bfloat16": 2}.get(precision)
    if width is None:
        raise ValueError(precision)
    total = 0
    for _ in range(2 + kept):  # in mixed precision weight and gradient together are as large as one float32
        total += parameters * width
    return total


def optimal_allocation(flops, constants):
    E, A, B, alpha, beta = constants
    log_n = (beta * log(flops / 6) + log(alpha) + log(A) - log(beta) - log(B)) / (alpha + beta)
    n = exp(log_n)
    return n, flops / (6 * n)


def huber_objective(theta, log_sizes, log_tokens, log_losses, delta):
    a, b, e, alpha, beta = theta
    value, gradient = 0.0, np.zeros(5)
    for n, d, loss in zip(log_sizes, log_tokens, log_losses):
        terms = np.array([a - alpha * n, b - beta * d, e])
        whole = np.logaddexp(np.logaddexp(terms[0], terms[1]), terms[2])
        p, r = np.exp(terms - whole), whole - loss
        inside = abs(r) <= delta
        value += 0.5 * r**2 if inside else delta * (abs(r) - 0.5 * delta)
        gradient += (r if inside else delta * np.sign(r)) * np.array([*p, -p[0] * n, -p[1] * d])
    return value, gradient


def lowest_curve(budget, curves):
    best, place = np.inf, -1
    for k, (flops, loss) in enumerate(curves):
        for i in range(len(flops)):
            if flops[i] == budget:
                here = loss[i]
            elif i and flops[i - 1] < budget < flops[i]:
                share = (log(budget) - log(flops[i - 1])) / (log(flops[i]) - log(flops[i - 1]))
                here = loss[i - 1] + share * (loss[i] - loss[i - 1])
            else:
                continue
            if here < best:
                best, place = here, k
    return place
