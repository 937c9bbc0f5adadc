"""Softmax and log-softmax: sums, shifts, masked rows and their gradients."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor

X = 5 * np.random.default_rng(0).normal(size=(3, 4, 9))


def test_rows_are_distributions_and_shifts_do_not_matter():
    y = F.softmax(X).data
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-14)
    np.testing.assert_allclose(F.softmax(X + 700.0).data, y, rtol=1e-12)
    np.testing.assert_allclose(np.exp(F.log_softmax(X).data), y, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_masked_row_gives_zeros_and_no_nan_in_its_gradient(dtype):
    x = Tensor(np.array([[-np.inf, -np.inf], [0.0, -np.inf]], dtype), requires_grad=True)
    y = F.softmax(x)
    assert y.data.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    y.backward(np.array([[1.0, 2.0], [3.0, 4.0]], dtype))
    assert x.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_log_softmax_of_a_far_entry_keeps_its_digits():
    assert F.log_softmax(np.array([0.0, -1000.0], np.float32)).data[1] == -1000.0


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_a_single_number_has_no_axis(function):
    with pytest.raises(ValueError, match="has none"):
        function(np.float64(1.0))
