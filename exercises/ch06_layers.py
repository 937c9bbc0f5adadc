"""Chapter 6 exercises: the parts of a model that are not attention, and their backwards.

Everything here is a pure function on arrays; nothing that was handed in is changed, and float32 in means float32 out.
`dy` is the gradient of the loss towards the output, of the output's shape. Leading axes (...) are batch and tokens.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch06              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch06 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401

import numpy as np


# Task 1 of 6: easy, about 15 minutes, 2 points
def embedding_backward(dy: np.ndarray, ids: np.ndarray, rows: int) -> np.ndarray:
    """The gradient of the table E for y = E[ids].

    dy: (..., D), ids: (...) integers in 0 .. rows - 1 -> (rows, D), of dy's dtype

    A row that was used several times gets the sum of its gradients, one that was not used gets zeros.

    >>> embedding_backward(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([2, 0, 2]), 4)
    array([[3., 4.],
           [0., 0.],
           [6., 8.],
           [0., 0.]])
    """
    raise NotImplementedError("embedding_backward")


# Task 2 of 6: medium, about 30 minutes, 3 points
def rms_norm_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of y = weight * x / sqrt(mean(x^2) + eps), the mean over the last axis.

    dy and x: (..., D), weight: (D,) -> dx (..., D), dweight (D,)

    >>> dx, dweight = rms_norm_backward(np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]]), np.ones(2), eps=0.0)
    >>> dx.round(4), dweight.round(4)
    (array([[ 0.181 , -0.1358]]), array([0.8485, 0.    ]))
    """
    raise NotImplementedError("rms_norm_backward")


# Task 3 of 6: hard, about 40 minutes, 4 points
def layer_norm_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of y = weight * (x - mean) / sqrt(variance + eps) + bias, mean and variance over the last axis.

    dy and x: (..., D), weight: (D,) -> dx (..., D), dweight (D,), dbias (D,)

    The variance is the mean of the squared distances from the mean (divided by D, not by D - 1).

    >>> x, dy = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 0.0, 0.0]])
    >>> dx, dweight, dbias = layer_norm_backward(dy, x, np.ones(3), eps=0.0)
    >>> dx.round(4), dweight.round(4), dbias
    (array([[ 0.2041, -0.4082,  0.2041]]), array([-1.2247,  0.    ,  0.    ]), array([1., 0., 0.]))
    """
    raise NotImplementedError("layer_norm_backward")


# Task 4 of 6: medium, about 20 minutes, 2 points
def gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy times the derivative of x Phi(x), with Phi(x) = (1 + erf(x / sqrt 2)) / 2.

    dy and x of any one shape -> the same shape and dtype. phi(x) = exp(-x^2 / 2) / sqrt(2 pi) is the slope of Phi.

    >>> gelu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """
    raise NotImplementedError("gelu_backward")


# Task 5 of 6: easy, about 10 minutes, 2 points
def swiglu(x: np.ndarray, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """LLaMA's feed-forward part: (SiLU(x gate) * (x up)) down, with SiLU(g) = g / (1 + exp(-g)).

    x: (..., D), gate and up: (D, F), down: (F, D) -> (..., D), of x's dtype; no warnings, however large the gates

    >>> one = np.ones((1, 1))
    >>> swiglu(np.array([[1.0], [-2.0]]), one, 3 * one, one).round(4)
    array([[2.1932],
           [1.4304]])
    """
    raise NotImplementedError("swiglu")


# Task 6 of 6: medium, about 20 minutes, 3 points
def swiglu_backward(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of y = SiLU(gate) * up, entry by entry.

    dy, gate and up of one shape -> dgate, dup of that shape and dtype; finite and without warnings for any gate

    >>> dgate, dup = swiglu_backward(np.array([1.0]), np.array([1.0]), np.array([2.0]))
    >>> dgate.round(4), dup.round(4)
    (array([1.8553]), array([0.7311]))
    """
    raise NotImplementedError("swiglu_backward")
