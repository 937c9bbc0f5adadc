"""Chapter 25 exercises: fewer bits a weight, chosen by what a layer reads.

Matrices stand as they are published, (outputs, inputs): a layer is x @ weight.T, and a column belongs to one input.
float32 goes in, float32 comes out, and no array that was handed in is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=3,
    difficulty="easy",
    minutes=20,
    hints={
        "by_hand: the codes are not limited": "There are codes 0 … 2^bits - 1 and no others: np.clip.",
        "by_hand: one scale for the whole row": "weight.reshape(outputs, -1, group_size): groups on the last axis.",
        "one_sided_groups: zero is not in the range": (
            "The range must hold zero: np.minimum(smallest, 0) and np.maximum(largest, 0)."
        ),
        "groups_of_zeros: RuntimeWarning": "A group of zeros has a range of 0: give it any scale, such as 1.",
        "keeps_float32: must have dtype float32, got float64": "Some constant of yours is a float64 array or scalar.",
    },
    why="""This is the baseline of the chapter, and what GPTQ and AWQ end with. Zero is on every grid, because weights
    of zero are common, and what was switched off should stay so. One scale and one zero point for each 64 weights cost
    a quarter of a bit to half a bit a weight: small groups are not free.""",
)
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
    last = 2**bits - 1
    groups = weight.reshape(len(weight), -1, group_size)
    low = np.minimum(groups.min(axis=-1, keepdims=True), 0)
    high = np.maximum(groups.max(axis=-1, keepdims=True), 0)
    scale = (high - low) / last
    scale = np.where(scale > 0, scale, 1)
    zero = np.rint(-low / scale)
    codes = np.clip(np.rint(groups / scale) + zero, 0, last)
    return ((codes - zero) * scale).reshape(weight.shape)


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "by_hand_hessian: a sum, not a mean": "Divide by the number of rows.",
        "by_hand_hessian: the 2 is missing": "It is the second derivative of a square: 2/N.",
        "batches: divided by the number of texts": "Every token is a row: reshape(-1, inputs) first, then count.",
        "ValueError: matmul": "x xᵀ of a row is (inputs, inputs): rows.T @ rows.",
    },
    why="""One matrix for all outputs: how much an error of two weights of a row costs together does not depend on the
    row. That is why GPTQ can factorise once and then treat a thousand rows alike. The factor 2/N changes nothing in
    what GPTQ chooses; it makes the numbers of different texts comparable.""",
)
def hessian(inputs: np.ndarray) -> np.ndarray:
    """The Hessian of a linear layer's squared error: 2/N times the sum of x xᵀ over the N rows x.

    inputs: (N, inputs) or (..., inputs), every token a row
    returns: (inputs, inputs), of the same dtype

    >>> hessian(np.array([[1.0, 0.0], [1.0, 2.0]]))
    array([[2., 2.],
           [2., 4.]])
    """
    rows = inputs.reshape(-1, inputs.shape[-1])
    return rows.T @ rows * (2 / len(rows))


@task(
    points=4,
    difficulty="medium",
    minutes=30,
    hints={
        "by_hand_step: the error goes the wrong way": "What was lost is w - rounded; the others lose error · upper.",
        "by_hand_step: the error is not divided by upper[i, i]": "error = (w - rounded) / upper[i, i].",
        "by_hand_step: nothing is passed on": "weight[:, i + 1:] -= np.outer(error, upper[i, i + 1:])",
        "the_best_that_later_weights_can_do: a column of upper instead of its row": "upper[i, i + 1:] is the row.",
        "the_best_that_later_weights_can_do: earlier columns have moved": "Those before i are settled.",
        "far_out: the codes are not limited": "A weight that others' errors have pushed out of the range gets an end.",
    },
    why="""The later weights end up exactly where the layer's error is smallest, given that this one is settled: they
    minimise ½ δ H δᵀ with one entry of δ fixed. Row i of U has that answer ready. Everything else in GPTQ, blocks and
    order and groups, is about doing this step fast and in a good order.""",
)
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
    new = weight.copy()
    codes = np.clip(np.rint(weight[:, i] / scale) + zero, 0, 2**bits - 1)
    new[:, i] = (codes - zero) * scale
    error = (weight[:, i] - new[:, i]) / upper[i, i]
    new[:, i + 1 :] -= np.outer(error, upper[i, i + 1 :])
    return codes.astype(np.uint8), new


@task(
    points=4,
    difficulty="medium",
    minutes=30,
    hints={
        "the_mean_counts: the largest instead of the mean": "np.abs(inputs).mean(axis=0): one spike says little.",
        "by_hand_search: the weights are not scaled back": "rounded(weight * scale) / scale is what meets the inputs.",
        "by_hand_search: the scale is not normalised": "Divide it by the root of its largest times its smallest entry.",
        "nothing_to_gain": "Where two α are equally good the smaller one stays: compare with <.",
        "dead_inputs": "An input that is always zero would get a scale of 0: np.maximum(…, 1e-4).",
    },
    why="""The whole search has one number, α. At 0 nothing is scaled, and the answer is plain rounding: so AWQ cannot
    be worse than it on the text it has read. At 1 an input ten times as large gets steps ten times as fine, at the
    price of all others in its group, whose largest weight now sets a coarser grid. The best is mostly in between.""",
)
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
    magnitude = np.abs(inputs).mean(axis=0)
    wanted = inputs @ weight.T
    best_error, best_alpha, best_scale = np.inf, 0.0, magnitude
    for step in range(steps):
        alpha = step / steps
        scale = np.maximum(magnitude**alpha, 1e-4)
        scale = scale / (scale.max() * scale.min()) ** 0.5
        found = inputs @ (rounded(weight * scale) / scale).T
        error = ((found - wanted) ** 2).mean()
        if error < best_error:
            best_error, best_alpha, best_scale = error, alpha, scale
    return best_alpha, best_scale


@task(
    points=3,
    difficulty="easy",
    minutes=15,
    hints={
        "by_hand_fold: the bias is left as it is": "What the norm gives is x̂ · weight + bias: both are divided.",
        "by_hand_fold: rows are scaled instead of columns": "A column of (outputs, inputs) belongs to an input.",
        "same_function: the norm is multiplied and the matrices divided": "The other way round: weights grow by scale.",
        "keeps_float32_of_fold": "New arrays of the dtype that came in.",
    },
    why="""After folding, nothing is left of AWQ but other numbers: the same norm, the same matrices, no additional
    operation. It works wherever what makes the input can be divided for nothing. Behind a GELU it cannot: gelu(x / s)
    is not gelu(x) / s.""",
)
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
    bias = None if norm_bias is None else norm_bias / scale
    return norm_weight / scale, bias, [matrix * scale for matrix in matrices]
