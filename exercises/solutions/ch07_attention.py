"""Chapter 7 exercises: scaled dot-product attention, its backward, behind a cache, and one block of keys at a time.

Everything here is a pure function on arrays; nothing that was handed in is changed. T queries, S keys, D the width of
queries and keys, E that of values. Leading axes (...) are batch and heads. Scores are always q·k / sqrt(D). They may be
of any size, in each row another: nothing overflows, and a hidden key stays hidden, however large its score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "by_hand: keys of the future are seen": "Set scores with j > t to -inf before the softmax; np.tri says where.",
        "by_hand: scores are not divided by sqrt(D)": "D is q.shape[-1], the width of one head.",
        "any_batch_axes: ValueError: matmul": "k.T reverses all axes; k.swapaxes(-1, -2) exchanges the last two only.",
        "the_future_is_hidden: masked after the softmax": (
            "The forbidden keys are already in the sum by which everything was divided. Mask the scores instead."
        ),
        "large_scores: got nan": "Subtract each row's maximum before taking exp.",
        "rows_far_apart: got nan, an overflow": "Each row has its own maximum: scores.max(axis=-1, keepdims=True).",
        "rows_far_apart: keys of the future are seen": "-10,000 is a score like others. -np.inf is below all of them.",
    },
    why="""A dictionary lookup that can be differentiated: keys are compared by a product instead of by equality, and
    all values are averaged instead of one returned. Dividing by sqrt(D) keeps the spread of the scores independent of
    the width, without which a wide head would begin by staring at one key and learn nothing from the others.""",
)
def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Causal attention: query t averages the values 0 .. t, weighted by the softmax of its scores.

    q: (..., T, D), k: (..., T, D), v: (..., T, E)
    returns: (..., T, E), of q's dtype

    >>> q = np.zeros((2, 1))                                         # equal scores: each query averages what it sees
    >>> attention(q, q, np.array([[1.0], [3.0]]))
    array([[1.],
           [2.]])
    """
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    scores = np.where(np.tri(q.shape[-2], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (weights @ v / weights.sum(axis=-1, keepdims=True)).astype(q.dtype)


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "one_token_at_a_time: each new token sees the first key only": (
            "np.tri(1, 5) has a single 1 in its first column. The new query stands behind the remembered keys: "
            "np.tri(1, 5, k=4)."
        ),
        "in_pieces: new tokens see each other's future": "A piece of several tokens is causal within itself, too.",
        "an_empty_cache: TypeError: 'NoneType'": "Without a past, the keys are the new ones alone.",
        "far_apart_in_pieces: got nan, an overflow": "Subtract each row's own maximum before taking exp.",
        "two_texts_in_turns": "What is remembered comes in as `past` and goes out again: keep nothing in the function.",
        "the_cache_grows: keys after 5 tokens": "Return all keys and values, old and new, in their order.",
    },
    why="""While a model writes, the keys and values of everything so far are kept, and only new tokens bring queries.
    Then T < S and the causal triangle belongs in the lower right corner: query t stands at position `remembered + t`.
    In the upper left corner nothing fails, shapes fit and weights add up to 1, but a new token sees the first word of
    the text and nothing else. FlashAttention moved its triangle from one corner to the other in August 2023.""",
)
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
    if past is not None:
        k = np.concatenate([past[0], k], axis=-2)
        v = np.concatenate([past[1], v], axis=-2)
    queries, keys = q.shape[-2], k.shape[-2]
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    scores = np.where(np.tri(queries, keys, k=keys - queries, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights @ v / weights.sum(axis=-1, keepdims=True), (k, v)


@task(
    points=4,
    difficulty="hard",
    minutes=40,
    hints={
        "values: P is not transposed": "y = P v is a matrix product. Its second factor gets P transposed times dy.",
        "values: the mask is missing in the weights": (
            "P of the forward is masked, so P computed again in the backward must be, too. No other mask is needed."
        ),
        "queries_and_keys: each weight was treated on its own": (
            "The weights of a row share one sum: dS = P * (dP - (P * dP).sum(axis=-1, keepdims=True))."
        ),
        "queries_and_keys: the scale is missing in the backward": (
            "S = scale * (q @ k.T), so the scale stands before dS @ k and before dS.T @ q as well."
        ),
        "heads: ValueError: matmul": "Use swapaxes(-1, -2); .T would turn the batch axes round, too.",
    },
    why="""Two matrix products with a softmax between them: dv = P^T dy, dP = dy v^T, dS = P * (dP - delta), and
    dq, dk from the product before. The mask needs no line of its own, because P is 0 there. delta, the sum over keys
    of P dP, equals the sum over the width of y dy. FlashAttention's backward lives on this: it needs no row of P.""",
)
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
    scale = 1 / math.sqrt(q.shape[-1])
    scores = np.where(np.tri(q.shape[-2], dtype=bool), q @ k.swapaxes(-1, -2) * scale, -np.inf)
    P = np.exp(scores - scores.max(axis=-1, keepdims=True))
    P /= P.sum(axis=-1, keepdims=True)
    dv = P.swapaxes(-1, -2) @ dy
    dP = dy @ v.swapaxes(-1, -2)
    delta = (dy * (P @ v)).sum(axis=-1, keepdims=True)
    dS = P * (dP - delta) * scale
    return dS @ k, dS.swapaxes(-1, -2) @ q, dv


@task(
    points=3,
    difficulty="hard",
    minutes=30,
    hints={
        "two_blocks: what came before a new maximum was not rescaled": (
            "When the largest score grows from m to m', multiply the sum and the unfinished answer by exp(m - m')."
        ),
        "large_scores_in_blocks: got nan": "The running maximum must never fall: it is max(m, the block's maximum).",
        "queries_far_apart: got nan, an overflow": "Each query has its own maximum: scores.max(axis=1, keepdims=True).",
        "RuntimeWarning: invalid value encountered in subtract": (
            "Begin with m = -inf: exp(-inf - m') is 0, as it should be. Only -inf - (-inf) is not a number."
        ),
        "two_blocks: only the last block counts": (
            "Each block lies in the same memory as the one before. Use it at once; do not collect."
        ),
    },
    why="""To divide by a sum one seems to need the whole row. But a maximum, a sum and an unfinished average can be
    carried along, and corrected by one factor whenever a larger score arrives. That is FlashAttention's forward: keys
    and values pass through a small fast memory in blocks, and the T x T matrix never exists. The log-sum-exp is kept,
    one number a query, because from it any weight can be computed again: exp(score - log_sum_exp).""",
)
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
    largest = np.full((len(q), 1), -np.inf)
    total: np.ndarray | float = 0.0
    answer: np.ndarray | float = 0.0
    for keys, values in blocks:
        scores = q @ keys.T / math.sqrt(q.shape[1])
        new = np.maximum(largest, scores.max(axis=1, keepdims=True))
        factor, share = np.exp(largest - new), np.exp(scores - new)
        total = total * factor + share.sum(axis=1, keepdims=True)
        answer = answer * factor + share @ values
        largest = new
    return answer / total, (largest + np.log(total))[:, 0]


@task(
    points=2,
    difficulty="medium",
    minutes=15,
    hints={
        "two_halves: the answers were averaged": "The half with the larger log-sum-exp has seen more of the weight.",
        "far_apart: overflow encountered in exp": "Subtract the larger of the two log-sum-exps before taking exp.",
        "nothing_seen: got nan": "-inf - (-inf) is not a number: where both halves saw nothing, subtract 0 instead.",
    },
    why="""Partial answers over different keys join by one rule, in any order and any grouping, much as sums do. So the
    keys of one long text can lie on several devices (ring attention), or be looked at by many small processors at once
    while a single new token waits (flash-decoding, October 2023).""",
)
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
    largest = np.maximum(log_sum_exp1, log_sum_exp2)
    safe = np.where(np.isneginf(largest), 0.0, largest)
    share1, share2 = np.exp(log_sum_exp1 - safe), np.exp(log_sum_exp2 - safe)
    total = share1 + share2
    divisor = np.where(total > 0, total, 1.0)
    y = (share1 / divisor)[..., None] * y1 + (share2 / divisor)[..., None] * y2
    return y, np.where(total > 0, safe + np.log(divisor), -np.inf)
