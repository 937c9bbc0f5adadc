"""Chapter 25 exercises: fewer bits a weight, chosen by what a layer reads.

Matrices stand as they are published, (outputs, inputs): a layer is x @ weight.T, and a column belongs to one input.
float32 goes in, float32 comes out, and no array that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch25              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch25 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


# Task 1 of 5: easy, about 20 minutes, 3 points
def round_groups(weight: np.ndarray, bits: int, group_size: int) -> np.ndarray:
    """Round every weight to the nearest number of its group's grid; the rounded weights.

    weight: (outputs, inputs); groups of group_size neighbours run along a row and divide it
    a group's range goes from its smallest to its largest weight, or to zero where that lies outside:
        scale = (largest - smallest) / (2^bits - 1);   zero = round(-smallest / scale)
        code = round(weight / scale) + zero, limited to 0 … 2^bits - 1;   the rounded weight is (code - zero) · scale
    round is np.rint. A group of zeros stays zero.

    >>> round_groups(np.array([[-1.0, 0.0, 0.4, 2.0]]), bits=2, group_size=4)
    array([[-1.,  0.,  0.,  2.]])
    """
    raise NotImplementedError("round_groups")


# Task 2 of 5: easy, about 10 minutes, 2 points
def hessian(inputs: np.ndarray) -> np.ndarray:
    """The Hessian of a linear layer's squared error: 2/N times the sum of x xᵀ over the N rows x.

    inputs: (N, inputs) or (..., inputs), every token a row
    returns: (inputs, inputs), of the same dtype

    >>> hessian(np.array([[1.0, 0.0], [1.0, 2.0]]))
    array([[2., 2.],
           [2., 4.]])
    """
    raise NotImplementedError("hessian")


# Task 3 of 5: medium, about 30 minutes, 4 points
def gptq_step(
    weight: np.ndarray, upper: np.ndarray, i: int, scale: np.ndarray, zero: np.ndarray, bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Round the weights of input i, and let those of later inputs make up for it.

    weight: (outputs, inputs), columns before i are rounded already
    upper: (inputs, inputs), upper triangular, upper.T @ upper is the inverse of the Hessian
    scale, zero: (outputs,), each row's grid; code = round(w / scale) + zero, limited to 0 … 2^bits - 1
    returns: the codes (outputs,) as uint8, and a new weight: column i rounded, and with
        error = (w - rounded) / upper[i, i]
    column j > i less error · upper[i, j]

    >>> upper = np.array([[1.0, -0.5], [0.0, 0.5]])
    >>> codes, weight = gptq_step(np.array([[0.5, 2.0]]), upper, 0, np.array([1.0]), np.array([1.0]), bits=2)
    >>> codes, weight
    (array([1], dtype=uint8), array([[0.  , 2.25]]))
    """
    raise NotImplementedError("gptq_step")


# Task 4 of 5: medium, about 30 minutes, 4 points
def awq_scale(
    weight: np.ndarray, inputs: np.ndarray, rounded: Callable[[np.ndarray], np.ndarray], steps: int = 20
) -> tuple[float, np.ndarray]:
    """Search the scale of a layer's inputs with which rounding changes its output least: alpha and the scale.

    weight: (outputs, inputs); inputs: (N, inputs); rounded(weight) gives a matrix rounded
    for alpha in 0, 1/steps … 1 - 1/steps:
        scale = (mean of |x| of each input) ^ alpha, at least 1e-4, then divided by sqrt(its largest · its smallest)
        the error is the mean square of the change in the outputs x @ weight.T
        when rounded(weight * scale) / scale stands in the place of weight
    returns: the alpha with the smallest error, of equal ones the first, and its scale (inputs,)

    >>> weight, inputs = np.array([[1.0, 0.3]]), np.array([[0.1, 6.4], [0.1, -6.4]])
    >>> alpha, scale = awq_scale(weight, inputs, np.rint, steps=2)                    # 0.3 · 2.83 is rounded to 1
    >>> alpha, scale.round(2)
    (0.5, array([0.35, 2.83]))
    """
    raise NotImplementedError("awq_scale")


# Task 5 of 5: easy, about 15 minutes, 3 points
def fold_scale(
    norm_weight: np.ndarray, norm_bias: np.ndarray | None, matrices: Sequence[np.ndarray], scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, list[np.ndarray]]:
    """Move a scale from what a norm gives into the matrices that read it, without changing what they give.

    norm_weight: (inputs,); norm_bias: (inputs,) or None: the norm gives x̂ · norm_weight + norm_bias
    matrices: of (outputs, inputs) each; scale: (inputs,), above zero
    returns: the norm's weight and bias so that it gives 1/scale of what it gave (None stays None), and a list of the
    matrices, each multiplied by scale so that they give what they gave; new arrays

    >>> fold_scale(np.array([1.0, 1.0]), None, [np.array([[3.0, 4.0]])], np.array([2.0, 0.5]))
    (array([0.5, 2. ]), None, [array([[6., 2.]])])
    """
    raise NotImplementedError("fold_scale")
