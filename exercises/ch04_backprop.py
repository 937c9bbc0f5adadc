"""Chapter 4 exercises: what the backward pass of an array program is made of.

`gradient` always means dL/dy: the gradient of some scalar loss L with respect to the output y of the
operation in question, of the same shape as y. A function called `..._vjp` (vector-Jacobian product) turns it
into the gradients of the operation's inputs. float32 goes in, float32 comes out.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch04              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch04 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np


# Task 1 of 5: medium, about 20 minutes, 2 points
def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo broadcasting: from the gradient of the stretched array to that of the original one.

    gradient (any shape that `shape` broadcasts to) -> (*shape), same dtype

    NumPy stretches an array by putting new axes in front and by repeating axes of length 1. Every original
    number receives the sum of the gradients of its copies. If nothing was stretched the gradient stays as it
    is.

    >>> unbroadcast(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (3,))
    array([11., 22., 33.])
    >>> unbroadcast(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]), (2, 1))
    array([[ 6.],
           [60.]])
    """
    raise NotImplementedError("unbroadcast")


# Task 2 of 5: medium, about 25 minutes, 3 points
def matmul_vjp(gradient: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of both factors of y = a @ b.

    a (..., n, k), b (..., k, m), gradient (..., n, m) -> da, db with the shapes and the dtype of a and b

    The leading axes are batch axes; they broadcast against each other, and may be missing on one side.

    >>> da, db = matmul_vjp(np.array([[1.0, 10.0]]), np.array([[2.0]]), np.array([[3.0, 4.0]]))
    >>> da, db
    (array([[43.]]), array([[ 2., 20.]]))
    """
    raise NotImplementedError("matmul_vjp")


# Task 3 of 5: medium, about 25 minutes, 2 points
def softmax_vjp(gradient: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The gradient of the logits, for probabilities = softmax(logits) along the last axis.

    gradient (..., n), probabilities (..., n) -> (..., n), same dtype

    >>> softmax_vjp(np.array([1.0, 0.0]), np.array([0.75, 0.25]))
    array([ 0.1875, -0.1875])
    """
    raise NotImplementedError("softmax_vjp")


# Task 4 of 5: hard, about 35 minutes, 3 points
def topological_order(root: Hashable, inputs: dict[Hashable, tuple[Hashable, ...]]) -> list[Hashable]:
    """All nodes that `root` depends on, each after all of its inputs; `root` comes last.

    inputs: for every node the nodes that it was computed from, () for a leaf; the same input may occur twice
        (a + a)
    returns: each node that can be reached from `root`, once; any order with the property above will do

    Works for chains 10,000 nodes deep, and in time proportional to the number of edges.

    >>> topological_order("c", {"a": (), "b": ("a", "a"), "c": ("b", "a"), "unused": ("c",)})
    ['a', 'b', 'c']
    """
    raise NotImplementedError("topological_order")


# Task 5 of 5: easy, about 20 minutes, 2 points
def central_difference(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient of a scalar function: (f(x + step) - f(x - step)) / (2 step) for one coordinate at a time.

    f: takes an array like x and returns a number; it may keep the array it gets, so hand it a new one each
        time
    x: any shape and dtype; it stays as it is
    returns: float64 array of the shape of x; f is called with float64 arrays

    >>> central_difference(lambda x: x[0] ** 2 + 3 * x[1], np.array([2.0, 5.0])).round(6)
    array([4., 3.])
    """
    raise NotImplementedError("central_difference")
