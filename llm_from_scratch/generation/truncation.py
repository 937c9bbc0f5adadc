"""Which tokens may be drawn at all: four rules that cut off what the model thinks little of.

Top-k keeps a fixed number, top-p a fixed share of the probability, min-p whatever is not much less probable than the
most probable token, typical sampling what is about as surprising as the model expects to be surprised. Every function
takes one row of logits (V,) and returns a new one; a token that may not be chosen gets -inf. One is always left.
"""

from __future__ import annotations

import numpy as np


def limit_to_top_k(logits: np.ndarray, k: int) -> np.ndarray:
    """Keep the k largest logits and whatever equals the k-th; all others become -inf.

    >>> limit_to_top_k(np.array([1.0, 3.0, 2.0]), 2)
    array([-inf,   3.,   2.])

    Source: Fan, Lewis & Dauphin 2018, arXiv:1805.04833, section 5.1.
    """
    if k >= logits.size:
        return logits.copy()
    kth = np.partition(logits, logits.size - k)[logits.size - k]
    return _only(logits, logits >= kth)


def limit_to_top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Keep the fewest most probable tokens whose probabilities add up to at least p, and always one.

    >>> limit_to_top_p(np.log(np.array([0.5, 0.3, 0.2])), 0.6).round(2)     # 0.5 is not enough, 0.5 + 0.3 is
    array([-0.69, -1.2 ,  -inf])

    Source: Holtzman et al. 2019, arXiv:1904.09751, section 3.1.
    """
    if p >= 1:
        return logits.copy()
    possible = np.flatnonzero(logits > -np.inf)  # after top-k only a few are left to sort
    order = possible[np.argsort(-logits[possible], kind="stable")]
    probability = softmax(logits[order])
    before = np.cumsum(probability) - probability  # what the more probable ones hold together
    return _only(logits, order[(before < p) | (np.arange(order.size) == 0)])


def limit_to_min_p(logits: np.ndarray, p: float) -> np.ndarray:
    """Keep the tokens that have at least p times the probability of the most probable one.

    Where the model is sure, few are left; where it is not, many: that is what top-k lacks, and the sum of a long tail
    does not count, as it does in top-p.

    >>> limit_to_min_p(np.log(np.array([0.5, 0.3, 0.2])), 0.5).round(2)     # at least 0.25
    array([-0.69, -1.2 ,  -inf])

    Source: Nguyen et al. 2024, arXiv:2407.01082, section 3, of a sampler that llama.cpp had in November 2023.
    """
    probability = softmax(logits)
    return _only(logits, probability >= p * probability.max())


def limit_to_typical(logits: np.ndarray, p: float) -> np.ndarray:
    """Keep the tokens whose surprise is nearest to the expected one, as few as add up to a probability of at least p.

    The surprise of a token is -log of its probability, its expectation the entropy. The most probable token is not
    always among them. Whatever is as near as the last one kept stays too.

    >>> limit_to_typical(np.log(np.array([0.5, 0.3, 0.2])), 0.2).round(2)   # entropy 1.03; surprises 0.69, 1.2, 1.61
    array([-inf, -1.2, -inf])

    Source: Meister et al. 2022, arXiv:2202.00666, section 3.2, eq. 6.
    """
    if p >= 1:
        return logits.copy()
    probability = softmax(logits)
    with np.errstate(divide="ignore", invalid="ignore"):  # an impossible token is infinitely surprising …
        surprise = -np.log(probability)
        entropy = np.sum(probability * surprise, where=probability > 0)  # … and never met
    distance = np.abs(surprise - entropy)
    order = np.argsort(distance, kind="stable")
    last = order[min(int((np.cumsum(probability[order]) < p).sum()), order.size - 1)]
    return _only(logits, distance <= distance[last])


def softmax(logits: np.ndarray) -> np.ndarray:
    """In float64: a sum of many small float32 probabilities would not reach 1."""
    wide = logits.astype(np.float64)
    exponentials = np.exp(wide - wide.max())
    return exponentials / exponentials.sum()


def _only(logits: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """-inf but for these tokens, which are numbers or flags."""
    result = np.full_like(logits, -np.inf)
    result[kept] = logits[kept]
    return result
