"""Chapter 23 exercises: a few numbers beside a matrix that stays as it is.

Matrices are stored (inputs, outputs), so that a layer is x @ W: A is (inputs, r) and B is (r, outputs). float32 goes
in, float32 comes out, and no array that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch23              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch23 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


# Task 1 of 5: easy, about 15 minutes, 3 points
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
    raise NotImplementedError("lora")


# Task 2 of 5: easy, about 10 minutes, 2 points
def merge_lora(weight: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float, stabilized: bool = False) -> np.ndarray:
    """The matrix that does what matrix and branch did; a new array, of the dtype of the weight.

    weight: (inputs, outputs); A: (inputs, r); B: (r, outputs); the scale as in `lora`

    >>> merge_lora(np.zeros((2, 2)), np.array([[1.0], [2.0]]), np.array([[3.0, 0.0]]), alpha=2)
    array([[ 6.,  0.],
           [12.,  0.]])
    """
    raise NotImplementedError("merge_lora")


# Task 3 of 5: medium, about 20 minutes, 3 points
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
    raise NotImplementedError("merge_ia3")


# Task 4 of 5: hard, about 35 minutes, 4 points
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
    raise NotImplementedError("prefix_attention")


# Task 5 of 5: hard, about 30 minutes, 4 points
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
    raise NotImplementedError("combine_lora")
