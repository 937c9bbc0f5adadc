"""The Hessian of a layer's error, in one piece and in many; its factor; and that the error it predicts is the error."""

import ml_dtypes
import numpy as np
import pytest

from llm_from_scratch import compression as C
from llm_from_scratch.compression.curvature import inverse_factor

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(3, 10, 6)) * np.arange(1, 7)


def test_the_sum_of_squares_over_the_number_of_rows():
    rows = INPUTS.reshape(-1, 6)
    expected = 2 / 30 * sum(np.outer(row, row) for row in rows)
    np.testing.assert_allclose(C.hessian(rows), expected)
    np.testing.assert_allclose(C.hessian(INPUTS), expected)
    np.testing.assert_allclose(C.hessian(rows[:1]), 2 * np.outer(rows[0], rows[0]))


@pytest.mark.parametrize("dtype, result", [(np.float64, np.float64), (np.float32, np.float32), (np.float16, np.float32),
                                           (ml_dtypes.bfloat16, np.float32)])  # fmt: skip
def test_dtype(dtype, result):
    found = C.hessian(INPUTS.astype(dtype))
    assert found.dtype == result
    np.testing.assert_allclose(found, C.hessian(INPUTS), rtol=0.02, atol=0.3)


def test_pieces_make_the_whole():
    running = C.RunningHessian(6, np.float64)
    for piece in (INPUTS[:1], INPUTS[1, :3], INPUTS[1, 3:], INPUTS[2:]):  # of unequal length: no mean of means
        running.add(piece)
    np.testing.assert_allclose(running.hessian(), C.hessian(INPUTS))
    assert running.count == 30


def test_the_error_is_that_of_the_outputs():
    weight, replaced = RNG.normal(size=(2, 4, 6))
    rows = INPUTS.reshape(-1, 6)
    lost, whole = (np.square(rows @ matrix.T).mean() for matrix in (replaced - weight, weight))
    np.testing.assert_allclose(C.output_error(weight, replaced, C.hessian(rows)), lost / whole)
    assert C.output_error(weight, weight, C.hessian(rows)) == 0
    assert C.output_error(weight, 0 * weight, C.hessian(rows)) == pytest.approx(1)
    assert C.output_error(0 * weight, weight, C.hessian(rows)) == np.inf
    assert C.output_error(0 * weight, 0 * weight, C.hessian(rows)) == 0


def test_it_is_the_second_derivative_of_the_outputs_error():
    rows, weight = INPUTS.reshape(-1, 6), RNG.normal(size=6)
    wanted = rows @ RNG.normal(size=6)

    def error(w):
        return np.square(rows @ w - wanted).mean()

    step, found = 1e-3, np.empty((6, 6))
    for i, a in enumerate(step * np.eye(6)):
        for j, b in enumerate(step * np.eye(6)):
            found[i, j] = (error(weight + a + b) - error(weight + a) - error(weight + b) + error(weight)) / step**2
    np.testing.assert_allclose(found, C.hessian(rows), atol=1e-5)


def test_factor_of_the_inverse():
    hessian = C.hessian(INPUTS)
    upper = inverse_factor(hessian)
    assert (np.tril(upper, -1) == 0).all() and (np.diagonal(upper) > 0).all()
    np.testing.assert_allclose(upper.T @ upper, np.linalg.inv(hessian), rtol=1e-10)
    np.testing.assert_allclose(upper, np.linalg.cholesky(np.linalg.inv(hessian)).T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: C.hessian(np.ones(6)), ValueError, r"inputs are \(N, inputs\), got the shape \(6,\)"),
        (lambda: C.hessian(np.ones((0, 6))), ValueError, r"got none: \(0, 6\)"),
        (lambda: C.hessian(np.ones((2, 6), int)), TypeError, "matrix of floats, got int64"),
        (lambda: C.hessian([[1.0, np.nan]]), ValueError, r"the input at \(0, 1\) is nan"),
        (lambda: C.hessian(np.full((2, 2), 1e30, np.float32)), ValueError, r"entry \(0, 0\) of the Hessian is inf"),
        (lambda: C.RunningHessian(6).hessian(), ValueError, "no inputs have come yet"),
        (lambda: C.RunningHessian(6).add(np.ones((2, 5))), ValueError, r"reads 6 inputs, got \(2, 5\)"),
        (lambda: C.RunningHessian(2).add([[np.inf, 1.0]]), ValueError, r"the input at \(0, 0\) is inf"),
        (lambda: C.output_error(np.ones((2, 3)), np.ones((2, 2)), np.eye(3)), ValueError, r"replacement is \(2, 2\)"),
        (lambda: C.output_error(np.ones((2, 3)), np.ones((2, 3)), np.eye(2)), ValueError, r"Hessian \(3, 3\)"),
    ],
)
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
