"""Chapter 23 exercises: a few numbers beside a matrix that stays as it is.

Matrices are stored (inputs, outputs), so that a layer is x @ W: A is (inputs, r) and B is (r, outputs). float32 goes
in, float32 comes out, and no array that was handed in is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="easy",
    minutes=15,
    hints={
        "by_hand: the scale is missing": "The branch counts alpha / r times, where r is the number of columns of A.",
        "by_hand: the branch is scaled by alpha alone": "Divide by the rank: alpha / r.",
        "stabilised: the scale is alpha / r": "With stabilized=True the scale is alpha over the square root of r.",
        "by_hand: the matrix itself is missing": "The layer stays: x @ W, and the branch is added to it.",
        "keeps_float32: must have dtype float32, got float64": (
            "np.sqrt(r) is a float64 scalar, and makes everything it touches float64: take r ** 0.5."
        ),
    },
    why="""The product A B is never made: x @ A has r columns, and then B makes outputs of them. For a matrix of
    576 × 576 and r = 8 that is 9,216 multiplications a token beside the matrix's 331,776. B begins as zeros, so that
    training starts from the model as it is; A must not, or no gradient would reach either of them.""",
)
def lora(
    x: np.ndarray, weight: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float, stabilized: bool = False
) -> np.ndarray:
    """A linear layer with a low-rank branch beside it.

    x: (..., inputs); weight: (inputs, outputs); A: (inputs, r); B: (r, outputs)
    alpha: the branch is multiplied by alpha / r, or by alpha / sqrt(r) if stabilized
    returns: (..., outputs), of the dtype of x

    >>> x, weight = np.array([[1.0, 2.0]]), np.eye(2)
    >>> lora(x, weight, np.array([[1.0], [1.0]]), np.array([[10.0, 0.0]]), alpha=0.5)       # x A = 3
    array([[16.,  2.]])
    """
    rank = A.shape[1]
    scale = alpha / rank**0.5 if stabilized else alpha / rank
    return x @ weight + (x @ A) @ B * scale


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_merged: the adapter was taken away": "Merging adds the scaled product to the matrix.",
        "by_hand_merged: the product is scaled by alpha alone": "The same scale as beside the matrix: alpha / r.",
        "same_outputs: B A instead of A B": "A is (inputs, r), B is (r, outputs): A @ B has the shape of the matrix.",
        "ValueError: matmul": "A is (inputs, r), B is (r, outputs): A @ B has the shape of the matrix.",
    },
    why="""A merged model is a plain model: nothing of the adapter is left but other numbers, and it costs what the
    base costs. The way back is another matter. (W + D) - D is not W: rounding has eaten the last digits, and where W is
    kept in four bits it has eaten D. Who wants the base back keeps the base.""",
)
def merge_lora(weight: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float, stabilized: bool = False) -> np.ndarray:
    """The matrix that does what matrix and branch did; a new array, of the dtype of the weight.

    weight: (inputs, outputs); A: (inputs, r); B: (r, outputs); the scale as in `lora`

    >>> merge_lora(np.zeros((2, 2)), np.array([[1.0], [2.0]]), np.array([[3.0, 0.0]]), alpha=2)
    array([[ 6.,  0.],
           [12.,  0.]])
    """
    rank = A.shape[1]
    scale = alpha / rank**0.5 if stabilized else alpha / rank
    return weight + (A @ B) * scale


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "outputs_by_hand: the bias is not multiplied": "Factors of outputs act on the bias, too.",
        "inputs_by_hand: the bias is multiplied": "Factors of inputs act before the matrix: the bias comes after it.",
        "outputs_by_hand: rows instead of columns": "An output is a column of the matrix.",
        "inputs_by_hand: columns instead of rows": "An input is a row of the matrix: factors[:, None].",
        "ValueError: operands could not be broadcast": (
            "As factors of inputs they need a second axis, (inputs, 1), to run along the columns."
        ),
    },
    why="""(IA)³ has one number for each key, each value and each inner entry of the feed-forward part: a few hundredths
    of a percent of a model. Because it multiplies, it can switch a channel off, or turn its sign, but never add a
    direction that the matrix does not have.""",
)
def merge_ia3(
    weight: np.ndarray, bias: np.ndarray | None, factors: np.ndarray, side: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Write (IA)³'s factors into a linear layer x @ weight + bias: a new weight and a new bias.

    weight: (inputs, outputs); bias: (outputs,) or None
    side: "outputs", the layer's outputs are multiplied by factors (outputs,); "inputs", its inputs by factors (inputs,)
    returns: weight and bias; None where there was no bias

    >>> weight, bias = merge_ia3(np.ones((2, 2)), np.array([1.0, 1.0]), np.array([2.0, 5.0]), "outputs")
    >>> weight.tolist(), bias.tolist()
    ([[2.0, 5.0], [2.0, 5.0]], [2.0, 5.0])
    """
    if side == "inputs":
        return weight * factors[:, None], None if bias is None else bias.copy()
    return weight * factors, None if bias is None else bias * factors


@task(
    points=4,
    difficulty="hard",
    minutes=35,
    hints={
        "every_query_sees_the_prefix: the prefix was masked as if it came later": (
            "Query t sees all P keys of the prefix and the keys 0 … t of the text: P + t + 1 of them."
        ),
        "by_hand_attention: the prefix is missing": "Put the prefix's keys and values in front of the text's.",
        "by_hand_attention: the scores are not divided by the root of the width": "Divide q k by sqrt(width).",
        "no_future: a later key is seen": "Of the text itself a query sees no key that stands behind it.",
        "without_a_prefix: IndexError": "A prefix of no keys is plain causal attention: nothing special is needed.",
        "large_scores: RuntimeWarning: overflow": "Subtract each row's largest score before np.exp.",
    },
    why="""A prefix is what a cache would hold after P tokens that were never written. The keys are learned as they are
    used, so no rotation is applied to them, and the text begins at position P. In the softmax the prefix competes with
    the text: it can take attention away from it, and add a mixture of its own values, and nothing else.""",
)
def prefix_attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, prefix_keys: np.ndarray, prefix_values: np.ndarray
) -> np.ndarray:
    """Causal attention of one head, with a learned prefix in front of the text's keys and values.

    q, k, v: (T, width); prefix_keys, prefix_values: (P, width), P may be 0
    returns: (T, width); query t sees the whole prefix and the text's keys 0 … t; scores are divided by sqrt(width)

    >>> one = np.ones((1, 1))
    >>> prefix_attention(one, one, np.array([[4.0]]), one, np.array([[2.0]]))   # equal scores: the mean of 2 and 4
    array([[3.]])
    """
    tokens, held = len(q), len(prefix_keys)
    keys, values = np.concatenate([prefix_keys, k]), np.concatenate([prefix_values, v])
    scores = q @ keys.T / q.shape[1] ** 0.5
    seen = np.arange(held + tokens)[None] <= held + np.arange(tokens)[:, None]
    scores = np.where(seen, scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True) @ values


@task(
    points=4,
    difficulty="hard",
    minutes=30,
    hints={
        "sum_of_two: A and B are added, not put beside each other": (
            "(A1 + A2)(B1 + B2) has two products too many: put the A side by side, and the B one below the other."
        ),
        "sum_of_two: the weights went to the second power": "Multiply one of the two matrices by the weight, not both.",
        "different_scales: the scales are missing": "Each pair counts with its own scale, alpha / r.",
        "a_negative_weight: RuntimeWarning: invalid value": (
            "The root of a negative weight is no number: give the whole weight to B."
        ),
    },
    why="""What adapters change adds up in the matrices, not in their factors. Adding A to A and B to B, with the roots
    of the weights, is what peft's "linear" does; the cross terms A1 B2 and A2 B1 make it another matrix. Side by side
    costs rank, and is exact.""",
)
def combine_lora(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, float]], weights: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """One pair (A, B) whose product A @ B is the weighted sum of what several adapters add to a matrix.

    pairs: (A (inputs, r), B (r, outputs), scale) of each adapter, ranks may differ; it adds scale * A @ B
    weights: one number each, which may be negative
    returns: A (inputs, sum of the ranks), B (sum of the ranks, outputs); the scale of the new pair is 1

    >>> one, two = (np.array([[1.0]]), np.array([[3.0]]), 2.0), (np.array([[1.0]]), np.array([[5.0]]), 1.0)
    >>> A, B = combine_lora([one, two], [0.5, 1.0])                                 # 0.5 · 2 · 3 + 5
    >>> A @ B
    array([[8.]])
    """
    A = np.concatenate([A for A, _, _ in pairs], axis=1)
    B = np.concatenate([B * (weight * scale) for (_, B, scale), weight in zip(pairs, weights)])
    return A, B
