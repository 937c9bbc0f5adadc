"""Activations: known values, identities, wrong shapes. (Gradients: the sweep and the reference.)"""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor

X = np.linspace(-6, 6, 101)


def test_gated_activations_are_the_activation_times_up():
    up = np.random.default_rng(0).normal(size=X.shape)
    np.testing.assert_allclose(F.swiglu(X, up).data, F.silu(X).data * up, rtol=1e-14)
    np.testing.assert_allclose(F.geglu(X, up).data, F.gelu(X).data * up, rtol=1e-14)


@pytest.mark.parametrize("activation", [F.silu, F.gelu, F.gelu_tanh])
def test_f_of_x_minus_f_of_minus_x_is_x(activation):
    """x g(x) with g(x) + g(-x) = 1: what all three have in common."""
    np.testing.assert_allclose(activation(X).data - activation(-X).data, X, atol=1e-14)


def test_the_two_gelus_differ_by_little_but_differ():
    difference = np.abs(F.gelu(X).data - F.gelu_tanh(X).data).max()
    assert 1e-4 < difference < 1e-3


def test_relu_has_no_gradient_at_and_below_zero():
    x = Tensor([-1.0, 0.0, 2.0], requires_grad=True)
    F.relu(x).backward(np.ones(3))
    assert x.grad.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("gated", [F.swiglu, F.geglu])
def test_gate_and_up_must_have_one_shape(gated):
    with pytest.raises(ValueError, match=r"one shape, got \(3,\) and \(2, 3\)"):
        gated(np.ones(3), np.ones((2, 3)))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="gelu works on float32 or float64, got int64"):
        F.gelu(np.arange(3, dtype=np.int64))
    with pytest.raises(TypeError, match="swiglu works on float32"):
        F.swiglu(np.ones(3, bool), np.ones(3, bool))
