"""Chapter 6 exercises: the parts of a model that are not attention, and their backwards.

Everything here is a pure function on arrays; nothing that was handed in is changed, and float32 in means float32 out.
`dy` is the gradient of the loss towards the output, of the output's shape. Leading axes (...) are batch and tokens.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "repeated_ids: only the last use of each row counts": (
            "table[ids] += dy reads each row once, however often it is named. np.add.at(table, ids, dy) does not."
        ),
        "any_shape_of_ids: ValueError: shape mismatch": "Flatten both: ids.reshape(-1) and dy.reshape(-1, D).",
        "keeps_float32: got float64": "np.zeros is float64 unless told otherwise: dtype=dy.dtype.",
        "rows_without_a_token: must have shape (7, 3)": "The gradient has a row for every token of the vocabulary.",
    },
    why="""Looking up is a product with rows of zeros that have a single 1; its backward is the transposed product,
    which adds up. In text most words come back: in a batch of tales four out of five gradients belong to a row that
    was used before. NumPy's += keeps the last of them and says nothing: a fifth of the truth is left.""",
)
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
    gradient = np.zeros((rows, dy.shape[-1]), dy.dtype)
    np.add.at(gradient, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
    return gradient


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "rms_dx: the root mean square was taken for a constant": (
            "It depends on every entry of the row: dr/dx_j = -r^3 x_j / D. That is the second term of dx."
        ),
        "rms_dx: the weight was forgotten": "What arrives at the normalised row is dy * weight, not dy.",
        "rms_batches: must have shape (5,)": "The weight served every row: sum over all axes but the last.",
        "scale_of_x: r was forgotten": "The shorter the row, the larger the slope: everything is multiplied by r.",
    },
    why="""The forward forgets how long a row is, so the gradient has no part along the row: dx = r (c - n mean(c n))
    takes exactly that part away. Whoever computes r outside of the tape leaves it in. Such a norm trains worse than no
    norm at all, and nothing looks wrong: every number of the forward is right.""",
)
def rms_norm_backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float = 1e-6
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of y = weight * x / sqrt(mean(x^2) + eps), the mean over the last axis.

    dy and x: (..., D), weight: (D,) -> dx (..., D), dweight (D,)

    >>> dx, dweight = rms_norm_backward(np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]]), np.ones(2), eps=0.0)
    >>> dx.round(4), dweight.round(4)
    (array([[ 0.181 , -0.1358]]), array([0.8485, 0.    ]))
    """
    r = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    n = x * r
    c = dy * weight
    dx = r * (c - n * (c * n).mean(axis=-1, keepdims=True))
    return dx, (dy * n).reshape(-1, x.shape[-1]).sum(axis=0)


@task(
    points=4,
    difficulty="hard",
    minutes=40,
    hints={
        "layer_dx: mean and spread were taken for constants": (
            "Both depend on every entry of the row. One more term for each: the mean of c, and n times the mean of c n."
        ),
        "layer_dx: the mean was taken for a constant": "Moving x_j moves the mean by 1/D: subtract the mean of c.",
        "layer_dx: the weight was forgotten": "What arrives at the normalised row is c = dy * weight, not dy.",
        "layer_batches: must have shape (5,)": "The bias was added to every row: sum dy over all axes but the last.",
        "an_offset_of_10000: off by much": "Variance in two passes: mean((x - mean)^2), not mean(x^2) - mean^2.",
    },
    why="""Two things are known of a normalised row before one looks: it sums to 0, and its mean square is 1. So two
    directions of x change nothing. The gradient is at right angles to both: its row sums are 0, and so is its product
    with the normalised row. Such properties are checks that need no finite differences.""",
)
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
    centred = x - x.mean(axis=-1, keepdims=True)
    r = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    n = centred * r
    c = dy * weight
    dx = r * (c - c.mean(axis=-1, keepdims=True) - n * (c * n).mean(axis=-1, keepdims=True))
    width = x.shape[-1]
    return dx, (dy * n).reshape(-1, width).sum(axis=0), dy.reshape(-1, width).sum(axis=0)


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "slopes: only Phi(x), the slope of the first factor": "A product has two slopes: Phi(x) + x phi(x).",
        "TypeError: only length-1 arrays can be converted": "math.erf takes one number; np.vectorize, or a loop.",
        "not_the_tanh_formula: the tanh formula's slope": "GPT-2's formula is another curve. Use math.erf.",
        "gelu_shapes_and_dtype: got float64": "np.vectorize gives float64 back: .astype(x.dtype) at the end.",
    },
    why="""GELU is what remains on average if x is kept with the probability Phi(x) that a standard normal number lies
    below it. Its slope exceeds 1 around x = 1.4 and is negative below -0.75. Two versions of the curve are in use,
    exact and by tanh; they differ by half a thousandth, enough to make other logits from the same checkpoint.""",
)
def gelu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dy times the derivative of x Phi(x), with Phi(x) = (1 + erf(x / sqrt 2)) / 2.

    dy and x of any one shape -> the same shape and dtype. phi(x) = exp(-x^2 / 2) / sqrt(2 pi) is the slope of Phi.

    >>> gelu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """
    below = np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x.ravel().tolist()]).reshape(x.shape)
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return (dy * (below + x * density)).astype(x.dtype)


@task(
    points=2,
    difficulty="easy",
    minutes=10,
    hints={
        "one_token: gate and up exchanged": "The curve bends the gate; up goes through as it is.",
        "one_token: the sigmoid alone": "SiLU(g) is g times sigmoid(g).",
        "large_gates: RuntimeWarning: overflow": "exp(-g) overflows for g below -709 in float64, and -88 in float32.",
    },
    why="""One half of the units decides how much of the other half gets through. With three matrices instead of two the
    inner width is cut to two thirds, so that the layer costs the same: 8/3 D instead of 4 D, 11,008 in LLaMA-7B.""",
)
def swiglu(x: np.ndarray, gate: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """LLaMA's feed-forward part: (SiLU(x gate) * (x up)) down, with SiLU(g) = g / (1 + exp(-g)).

    x: (..., D), gate and up: (D, F), down: (F, D) -> (..., D), of x's dtype; no warnings, however large the gates

    >>> one = np.ones((1, 1))
    >>> swiglu(np.array([[1.0], [-2.0]]), one, 3 * one, one).round(4)
    array([[2.1932],
           [1.4304]])
    """
    g, u = x @ gate, x @ up
    sigmoid = np.exp(np.minimum(g, 0)) / (1 + np.exp(-np.abs(g)))  # 1 / (1 + exp(-g)), without overflow
    return ((g * sigmoid * u) @ down).astype(x.dtype)


@task(
    points=3,
    difficulty="medium",
    minutes=20,
    hints={
        "dgate: the slope of the sigmoid alone": "SiLU(g) = g s is a product: its slope is s + g s (1 - s).",
        "dgate: up was forgotten": "y = SiLU(gate) * up: the slope towards the gate is multiplied by up.",
        "dup: the sigmoid alone": "y = SiLU(gate) * up: towards up the slope is SiLU(gate).",
        "large_gates_backward: got nan": "For g = -1000 exp(-g) is infinite. Use exp(-|g|), which is never above 1.",
    },
    why="""A product of two numbers and a curve on one of them: the product rule, and s (1 + g (1 - s)) for the slope of
    SiLU. The sigmoid is computed again in the backward: an exponential is cheaper than reading back a stored array,
    which is why real kernels keep the inputs and nothing else.""",
)
def swiglu_backward(dy: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of y = SiLU(gate) * up, entry by entry.

    dy, gate and up of one shape -> dgate, dup of that shape and dtype; finite and without warnings for any gate

    >>> dgate, dup = swiglu_backward(np.array([1.0]), np.array([1.0]), np.array([2.0]))
    >>> dgate.round(4), dup.round(4)
    (array([1.8553]), array([0.7311]))
    """
    s = np.exp(np.minimum(gate, 0)) / (1 + np.exp(-np.abs(gate)))  # 1 / (1 + exp(-gate)), without overflow
    dgate = dy * up * s * (1 + gate * (1 - s))
    return dgate.astype(gate.dtype), (dy * gate * s).astype(gate.dtype)
