"""LayerNorm and RMSNorm: statistics of the output, missing parameters, invariances, bad input."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor


def _rows(shape=(4, 5, 16)):
    return 2.0 + 3.0 * np.random.default_rng(0).normal(size=shape)


def test_rows_come_out_with_the_promised_statistics():
    y = F.layer_norm(_rows(), eps=0.0).data
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-14)
    np.testing.assert_allclose(y.std(-1), 1, rtol=1e-13)
    y = F.rms_norm(_rows(), eps=0.0).data
    np.testing.assert_allclose((y * y).mean(-1), 1, rtol=1e-13)


def test_the_scale_of_a_row_does_not_matter_and_eps_is_inside_the_root():
    x = _rows()
    np.testing.assert_allclose(F.rms_norm(5 * x, eps=0.0).data, F.rms_norm(x, eps=0.0).data, rtol=1e-13)
    assert F.rms_norm([[0.0, 0.0]], eps=0.25).data.tolist() == [[0.0, 0.0]]
    np.testing.assert_allclose(F.rms_norm([[1.0, 1.0]], eps=3.0).data, 0.5)  # 1 / sqrt(1 + 3)


def test_missing_parameters_are_ones_and_zeros():
    x, ones, zeros = _rows(), np.ones(16), np.zeros(16)
    np.testing.assert_array_equal(F.layer_norm(x).data, F.layer_norm(x, ones, zeros).data)
    np.testing.assert_array_equal(F.layer_norm(x, None, None).data, F.layer_norm(x, ones).data)
    np.testing.assert_array_equal(F.rms_norm(x).data, F.rms_norm(x, ones).data)


@pytest.mark.parametrize("arguments", [1, 2, 3])
def test_any_number_of_parameters_has_a_backward(arguments):
    values = [Tensor(v, requires_grad=True) for v in (_rows(), np.ones(16), np.zeros(16))][:arguments]
    F.layer_norm(*values).backward(np.ones((4, 5, 16)))
    assert all(v.grad.shape == v.shape for v in values)
    if arguments < 3:
        values = [Tensor(v.data, requires_grad=True) for v in values]
        F.rms_norm(*values).backward(np.ones((4, 5, 16)))
        assert all(v.grad.shape == v.shape for v in values)


def test_no_rows_are_no_error():
    weight = Tensor(np.ones(3, np.float32), requires_grad=True)
    y = F.rms_norm(Tensor(np.ones((0, 3), np.float32)), weight)
    assert y.shape == (0, 3)
    y.backward(np.ones((0, 3), np.float32))
    assert weight.grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("norm", [F.rms_norm, F.layer_norm])
def test_bad_input_is_named(norm):
    with pytest.raises(ValueError, match=r"the weight has shape \(4,\), expected \(3,\)"):
        norm(np.ones((2, 3)), np.ones(4))
    with pytest.raises(ValueError, match="last axis"):
        norm(np.ones((2, 0)))
    for eps in (-1e-5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="eps must be a small number >= 0"):
            norm(np.ones((2, 3)), eps=eps)
