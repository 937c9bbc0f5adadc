"""What a linear layer's inputs say about its weights: the Hessian of the layer's error.

Replacing the weights W of y = W x by W + Δ changes the outputs by Δ x. The mean over N inputs of the squared change of
one output is ½ δ H δᵀ, with δ the row of Δ and H = 2/N Σ x xᵀ, (inputs, inputs): the same H for every row. Inputs that
are large make their weights count, inputs that move together let one weight answer for another's error.

Source: Frantar & Alistarh 2022 (Optimal Brain Compression), arXiv:2208.11580; Frantar et al. 2022, arXiv:2210.17323.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..quantization.grid import check_weight


def hessian(inputs: Any) -> np.ndarray:
    """2/N times the sum of x xᵀ: what a layer read, (N, inputs) or (..., inputs) -> (inputs, inputs).

    Raises TypeError for anything but floating-point numbers, ValueError for no inputs, or such as are not finite or too
    large for their square to be.

    >>> hessian(np.array([[1.0, 0.0], [1.0, 2.0]]))
    array([[2., 2.],
           [2., 4.]])
    """
    rows = _rows(inputs)
    return _square(rows) * rows.dtype.type(2 / len(rows))


class RunningHessian:
    """The Hessian of inputs that come piece by piece: as `hessian` of all of them, in the memory of one.

    >>> running = RunningHessian(2)
    >>> for piece in ([[1.0, 0.0]], [[1.0, 2.0]]):
    ...     running.add(np.array(piece))
    >>> running.count, running.hessian().tolist()
    (2, [[2.0, 2.0], [2.0, 4.0]])
    """

    def __init__(self, inputs: int, dtype: Any = np.float32) -> None:
        self.count = 0
        self._sum = np.zeros((inputs, inputs), dtype)

    def add(self, inputs: Any) -> None:
        """Count in (..., inputs) more. Raises as `hessian`, and ValueError for another width."""
        rows = _rows(inputs)
        if rows.shape[1] != len(self._sum):
            raise ValueError(f"the layer reads {len(self._sum)} inputs, got {np.shape(inputs)}")
        self._sum += _square(rows)
        self.count += len(rows)

    def hessian(self) -> np.ndarray:
        """The Hessian of what was counted in, (inputs, inputs). ValueError if nothing was."""
        if not self.count:
            raise ValueError("no inputs have come yet: run calibration text through the layer first")
        return _finite(self._sum * self._sum.dtype.type(2 / self.count))


def output_error(weight: Any, replaced: Any, hessian: Any) -> float:
    """How much of the layer's output is lost: mean square of the change over mean square of the output itself.

    weight, replaced (outputs, inputs), hessian (inputs, inputs). 0 is no change, 1 as bad as an output of zeros; a
    layer whose output is zero has an error of 0 or infinity.

    >>> output_error(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]), np.diag([1.0, 0.25]))
    0.5
    """
    weight, replaced = check_weight(weight), check_weight(replaced, "replacement")
    curvature = check_hessian(hessian, weight.shape[1])
    if replaced.shape != weight.shape:
        raise ValueError(f"the replacement is {replaced.shape}, the weight {weight.shape}")
    change = replaced.astype(np.float64) - weight
    lost, whole = (float(((matrix @ curvature) * matrix).sum()) for matrix in (change, weight))
    return lost / whole if whole > 0 else float("inf") if lost > 0 else 0.0


def check_hessian(hessian: Any, inputs: int) -> np.ndarray:
    """The Hessian in float64; TypeError or ValueError unless it may be one of a layer with so many inputs."""
    matrix = np.asarray(hessian)
    if matrix.dtype.kind != "f":
        raise TypeError(f"a Hessian is a matrix of floats, got {matrix.dtype}")
    if matrix.shape != (inputs, inputs):
        raise ValueError(f"a layer that reads {inputs} inputs has a Hessian ({inputs}, {inputs}), got {matrix.shape}")
    matrix = matrix.astype(np.float64)
    diagonal = np.diagonal(_finite(matrix))
    if (diagonal < 0).any():
        place = int(np.argmax(diagonal < 0))
        raise ValueError(f"entry ({place}, {place}) of the Hessian is {diagonal[place]:.3g}: sums of squares are none")
    if np.abs(matrix - matrix.T).max() > 1e-3 * diagonal.max():
        raise ValueError("the Hessian is not symmetric: it is 2/N times the sum of x xᵀ, see compression.hessian")
    return matrix


def inverse_factor(hessian: np.ndarray) -> np.ndarray:
    """U (inputs, inputs), upper triangular, with Uᵀ U the inverse of a Hessian in float64.

    Row i of U holds what rounding input i asks of those after it, given that those before it are settled: the inverse
    itself would have to be updated after each, and loses its precision on the way. Neither is formed here. From the
    last row up, H = R Rᵀ with R upper triangular is an ordinary Cholesky factorisation; U is R's inverse.
    Raises np.linalg.LinAlgError where H is not positive definite.

    >>> upper = inverse_factor(np.array([[2.0, 2.0], [2.0, 4.0]]))
    >>> (upper.T @ upper).round(12)                                     # 1/4 of [[4, -2], [-2, 2]]
    array([[ 1. , -0.5],
           [-0.5,  0.5]])
    """
    root = np.linalg.cholesky(hessian[::-1, ::-1])[::-1, ::-1]
    return np.triu(np.linalg.inv(root))


def _rows(inputs: Any) -> np.ndarray:
    array = np.asarray(inputs)
    if array.ndim < 2:
        raise ValueError(f"inputs are (N, inputs), got the shape {array.shape}")
    if not array.size:
        raise ValueError(f"a layer's inputs are needed, got none: {array.shape}")
    return check_weight(array.reshape(-1, array.shape[-1]), "input")


def _square(rows: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite(rows.T @ rows)


def _finite(matrix: np.ndarray) -> np.ndarray:
    if not np.isfinite(matrix).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(matrix))[0])
        raise ValueError(f"entry {place} of the Hessian is {matrix[place]}: are the layer's inputs finite and sound?")
    return matrix
