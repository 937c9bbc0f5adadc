from __future__ import annotations

import math

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.training import AdamW, clip_grad_norm, clip_scale, grad_norm


def parameters(*gradients):
    params = []
    for gradient in gradients:
        params.append(Tensor(np.zeros_like(gradient), requires_grad=True))
        params[-1].grad = gradient.copy()
    return params


def test_clipping_keeps_the_direction_and_limits_the_length():
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=(30, 40)).astype(np.float32), rng.normal(size=7).astype(np.float32)]
    params = parameters(*gradients)
    length = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))
    assert clip_grad_norm(params, 1.5) == pytest.approx(length, rel=1e-12)
    assert grad_norm(params) == pytest.approx(1.5, rel=1e-5)
    np.testing.assert_allclose(params[0].grad, gradients[0] * (1.5 / length), rtol=1e-5)
    assert params[0].grad.dtype == np.float32


def test_a_short_gradient_is_left_alone():
    params = parameters(np.array([0.3, 0.4]))
    assert clip_grad_norm(params, 1.0) == pytest.approx(0.5)
    assert params[0].grad.tolist() == [0.3, 0.4]


def test_the_norm_does_not_depend_on_threads():
    params = parameters(*(np.random.default_rng(k).normal(size=(k + 1) * 40_000) for k in range(4)))
    assert grad_norm(params, threads=1) == grad_norm(params, threads=2) == grad_norm(params, threads=3)


def test_missing_gradients_count_as_zero_and_bad_ones_are_reported():
    assert grad_norm([Tensor(np.zeros(3), requires_grad=True)]) == 0.0
    params = parameters(np.array([1.0, np.inf]))
    with pytest.raises(ValueError, match="not finite"):
        clip_grad_norm(params, 1.0, error_if_nonfinite=True)
    assert params[0].grad.tolist() == [1.0, np.inf]
    assert clip_grad_norm(params, 1.0) == np.inf
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="max_norm"):
            clip_grad_norm(params, bad)
    with pytest.raises(TypeError):
        clip_grad_norm([np.zeros(3)], 1.0)


def test_clipping_inside_the_optimiser_is_the_same():
    results = []
    for inside in (True, False):
        (w,) = parameters(np.array([3.0, 4.0]))
        optimizer = AdamW([w], lr=0.1, eps=1.0)
        if inside:
            optimizer.step(clip_scale(grad_norm([w]), 1.0))
        else:
            clip_grad_norm([w], 1.0)
            optimizer.step()
        results.append(w.data)
    np.testing.assert_allclose(*results, rtol=1e-12)


@pytest.mark.parametrize("dtype, scales", [(np.float32, (1e-30, 1e30)), (np.float64, (1e-200, 1e200, 1e307))])
def test_lengths_whose_squares_are_out_of_range(dtype, scales):
    for scale in scales:
        w, b = (Tensor(np.zeros(2, dtype), requires_grad=True) for _ in range(2))
        w.grad, b.grad = np.array([3 * scale, 0], dtype), np.array([0, 4 * scale], dtype)
        assert np.isclose(clip_grad_norm([w, b], 1.0), 5 * scale, rtol=1e-6, atol=0)
        if scale > 1:
            np.testing.assert_allclose([*w.grad, *b.grad], [0.6, 0, 0, 0.8], rtol=1e-6)
        else:
            np.testing.assert_allclose(w.grad[0] / scale, 3, rtol=1e-6)
