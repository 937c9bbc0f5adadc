"""One token at a time: choosing experts, sending tokens to them, and adding up what they say.

Glossary: N tokens, E experts, k of them chosen for each token.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rows import softmax

Array = np.ndarray


def top_k(scores: Array, k: int) -> Array:
    """The k columns with the largest scores of each row, best first: (N, E) -> (N, k).

    >>> top_k(np.array([[0.1, 0.7, 0.2]]), 2)
    array([[1, 2]])
    """
    return np.array([sorted(range(len(row)), key=lambda e: -row[e])[:k] for row in scores]).reshape(-1, k)


def routing_weights(logits: Array, experts: Array) -> Array:
    """softmax of all logits, of which the chosen are kept and divided by their sum: (N, E), (N, k) -> (N, k).

    >>> routing_weights(np.log(np.array([[1.0, 6.0, 2.0]])), np.array([[1, 2]]))
    array([[0.75, 0.25]])

    Source: Jiang et al. 2024, arXiv:2401.04088, section 2.1.
    """
    weights = np.empty(experts.shape, logits.dtype)
    for n, chosen in enumerate(experts):
        probabilities = softmax(logits[n])
        weights[n] = [probabilities[e] / sum(probabilities[other] for other in chosen) for e in chosen]
    return weights


def dispatch(x: Array, *, plan: Any) -> tuple[Array, ...]:
    """The rows x[n] of the tokens that chose each expert, in the order of the tokens: (N, D) -> E arrays (·, D).

    >>> from llm_from_scratch.functional.routing import Assignment
    >>> dispatch(np.array([[1.0], [2.0], [3.0]]), plan=Assignment.of(np.array([[1], [0], [1]]), 2))[1].ravel()
    array([1., 3.])
    """
    chosen = _chosen(plan)
    return tuple(
        np.array([x[n] for n in range(len(x)) if e in chosen[n]], x.dtype).reshape(-1, x.shape[1])
        for e in range(len(plan.counts))
    )


def combine(weights: Array, *outputs: Array, plan: Any) -> Array:
    """y[n] = Σ_j weights[n, j] · (what token n's j-th expert said of it): (N, k), E arrays (·, D) -> (N, D).

    >>> from llm_from_scratch.functional.routing import Assignment
    >>> plan = Assignment.of(np.array([[1, 0], [0, 1]]), 2)
    >>> said = np.array([[10.0], [20.0]]), np.array([[1.0], [2.0]])
    >>> combine(np.array([[0.75, 0.25], [0.5, 0.5]]), *said, plan=plan).ravel()
    array([ 3.25, 11.  ])
    """
    chosen = _chosen(plan)
    y = np.zeros((len(weights), outputs[0].shape[1]), weights.dtype)
    for n, row in enumerate(chosen):
        for j, e in enumerate(row):
            place = sum(e in chosen[earlier] for earlier in range(n))  # of token n among those of this expert
            y[n] += weights[n, j] * outputs[e][place]
    return y


def load_balancing_loss(logits: Array, experts: Array, mask: Array | None = None) -> Array:
    """E · Σ_e f_e P_e over the tokens that count: f_e chosen how often a token, P_e its mean probability.

    >>> load_balancing_loss(np.log(np.array([[3.0, 1.0], [3.0, 1.0]])), np.array([[0], [0]])).round(4)
    np.float64(1.5)

    Source: Fedus et al. 2021, arXiv:2101.03961, eq. 4 to 6.
    """
    counted = [n for n in range(len(logits)) if mask is None or mask[n]]
    total = 0.0
    for e in range(logits.shape[1]):
        share = sum(e in experts[n] for n in counted) / len(counted)
        total += share * sum(softmax(logits[n])[e] for n in counted) / len(counted)
    return logits.dtype.type(logits.shape[1] * total)


def _chosen(plan: Any) -> list[list[int]]:
    """The experts of each token, in its order of choice, from the row of work of each choice."""
    ends = np.cumsum(plan.counts)
    return [[int(np.searchsorted(ends, slot, side="right")) for slot in row] for row in plan.slots]
