"""Chapter 7 exercises: scaled dot-product attention, its backward, behind a cache, and one block of keys at a time.

Everything here is a pure function on arrays; nothing that was handed in is changed. T queries, S keys, D the width of
queries and keys, E that of values. Leading axes (...) are batch and heads. Scores are always q·k / sqrt(D). They may be
of any size, in each row another: nothing overflows, and a hidden key stays hidden, however large its score.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch07              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch07 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401
from collections.abc import Iterable

import numpy as np


# Task 1 of 5: easy, about 15 minutes, 2 points
def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal attention: query t averages the values 0 .. t, weighted by the softmax of its scores.

    q: (..., T, D), k: (..., T, D), v: (..., T, E)
    returns: (..., T, E), of q's dtype

    >>> q = np.zeros((2, 1))                                         # equal scores: each query averages what it sees
    >>> attention(q, q, np.array([[1.0], [3.0]]))
    array([[1.],
           [2.]])
    """
    raise NotImplementedError("attention")


# Task 2 of 5: medium, about 20 minutes, 3 points
def cached_attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, past: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Causal attention of T new tokens behind those that `past` remembers.

    q: (..., T, D), k: (..., T, D), v: (..., T, E) of the new tokens
    past: None at the beginning of a text, or the (keys (..., S, D), values (..., S, E)) of the S tokens before
    returns: y (..., T, E), and the new past: (keys (..., S + T, D), values (..., S + T, E))

    Cutting a text into pieces, of one token or of many, must not change what comes out.

    >>> zero = np.zeros((1, 1))
    >>> y, past = cached_attention(zero, zero, np.array([[1.0]]), None)
    >>> y, past = cached_attention(zero, zero, np.array([[3.0]]), past)
    >>> y, past[1].ravel()
    (array([[2.]]), array([1., 3.]))
    """
    raise NotImplementedError("cached_attention")


# Task 3 of 5: hard, about 40 minutes, 4 points
def attention_backward(
    dy: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of causal attention, y = softmax(q k^T / sqrt(D), masked) v.

    dy: (..., T, E), the gradient of y; q and k: (..., T, D), v: (..., T, E)
    returns: dq, dk, dv, with the shapes of q, k and v

    >>> one, two = np.ones((2, 1)), np.array([[1.0], [3.0]])          # weights: 1 | 1/2, 1/2
    >>> dq, dk, dv = attention_backward(np.array([[0.0], [1.0]]), one, one, two)
    >>> dk.ravel(), dv.ravel()
    (array([-0.5,  0.5]), array([0.5, 0.5]))
    """
    raise NotImplementedError("attention_backward")


# Task 4 of 5: hard, about 30 minutes, 3 points
def online_attention(q: np.ndarray, blocks: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Attention of T queries over keys and values that come in blocks, each seen once and then gone.

    q: (T, D); blocks: yields (keys (n, D), values (n, E)), n >= 1 may vary; all queries see all keys (no mask).
    Every block is written over the memory of the one before, so what is needed of it must be used at once.
    returns: y (T, E), and the log-sum-exp (T,) of each query's scores, natural logarithm

    >>> two = [(np.zeros((1, 1)), np.array([[1.0]])), (np.zeros((1, 1)), np.array([[3.0]]))]
    >>> y, log_sum_exp = online_attention(np.zeros((1, 1)), iter(two))
    >>> y, log_sum_exp.round(4)                                       # the mean of 1 and 3; log 2
    (array([[2.]]), array([0.6931]))
    """
    raise NotImplementedError("online_attention")


# Task 5 of 5: medium, about 15 minutes, 2 points
def merge(
    y1: np.ndarray, log_sum_exp1: np.ndarray, y2: np.ndarray, log_sum_exp2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Join the attention of the same queries over two sets of keys.

    y1, y2: (..., E), the answers over each set alone; log_sum_exp1, log_sum_exp2: (...)
    returns: y (..., E) and log_sum_exp (...) over both sets together

    A query that saw none of a set's keys has y = 0 and log_sum_exp = -inf there; if it saw nothing in either, then also
    in the result.

    >>> one, two = np.array([[1.0]]), np.array([[4.0]])
    >>> y, log_sum_exp = merge(one, np.log([1.0]), two, np.log([2.0]))
    >>> y, log_sum_exp.round(4)                                       # weights 1/3 and 2/3; log 3
    (array([[3.]]), array([1.0986]))
    """
    raise NotImplementedError("merge")
