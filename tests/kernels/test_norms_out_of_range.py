"""Norms of rows whose squares do not fit into the number format, and that nothing changes for all others."""

import functools

import numpy as np
import pytest

from llm_from_scratch.functional import layer_norm, rms_norm
from llm_from_scratch.kernels import norms

SCALES = {np.float32: (1e-30, 1e-20, 1e19, 1e30, 1e36), np.float64: (1e-200, 1e-160, 1e155, 1e200, 1e305)}
CASES = [(dtype, scale) for dtype, scales in SCALES.items() for scale in scales]


@pytest.fixture(params=["compiled", "twin"])
def version(request):
    return (lambda kernel: kernel) if request.param == "compiled" else (lambda kernel: kernel.__wrapped__)


@pytest.mark.parametrize("dtype, scale", CASES)
@pytest.mark.parametrize("shape", [(7,), (3, 7), (2, 2, 50)])
def test_the_norm_does_not_depend_on_the_scale(version, dtype, scale, shape):
    rng = np.random.default_rng(3)
    x, weight, bias = rng.normal(size=shape), rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
    tolerance = {"rtol": 0, "atol": 2e-6 if dtype is np.float32 else 1e-14}
    big, weight, bias = (x * scale).astype(dtype), weight.astype(dtype), bias.astype(dtype)
    root = np.sqrt((x * x).mean(-1))
    wanted = x / root[..., None] * weight
    y, inverse = version(norms.rms_norm)(big, weight, 0.0)
    np.testing.assert_allclose(y, wanted, **tolerance)
    np.testing.assert_allclose(inverse * scale, 1 / root, rtol=1e-5)
    y, inverse = version(norms.rms_norm)(big, weight, 0.0, 0.5 * scale)
    np.testing.assert_allclose(y, x / (root[..., None] + 0.5) * weight, **tolerance)
    np.testing.assert_allclose(inverse * scale, 1 / (root + 0.5), rtol=1e-5)
    centred = x - x.mean(-1, keepdims=True)
    std = np.sqrt((centred * centred).mean(-1))
    y, mean, inverse = version(norms.layer_norm)(big, weight, bias, 0.0)
    np.testing.assert_allclose(y, centred / std[..., None] * weight + bias, **tolerance)
    np.testing.assert_allclose(inverse * scale, 1 / std, rtol=1e-5)
    np.testing.assert_allclose(mean / scale, x.mean(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("largest", [1e38, 3.4e38])
def test_up_to_the_largest_number(version, largest):
    x = np.array([[largest, -largest, largest, largest]], np.float32)
    np.testing.assert_allclose(version(norms.rms_norm)(x, None, 1e-5)[0], [[1, -1, 1, 1]], rtol=1e-6)
    y = version(norms.layer_norm)(x, None, None, 1e-5)[0]
    np.testing.assert_allclose(y, [[3**-0.5, -(3**0.5), 3**-0.5, 3**-0.5]], rtol=1e-6)


def test_eps_keeps_its_place(version):
    """Where eps is larger than the squares, it decides, however small they are."""
    x = np.full((1, 4), 1e-30, np.float32)
    np.testing.assert_allclose(version(norms.rms_norm)(x, None, 1e-6)[0], 1e-27, rtol=1e-5)
    np.testing.assert_allclose(version(norms.rms_norm)(x, None, 1e-60)[0], 2**-0.5, rtol=1e-5)
    np.testing.assert_allclose(version(norms.rms_norm)(x, None, 0.0, 1e-30)[0], 0.5, rtol=1e-5)


def test_zeros_and_what_is_not_finite_stay_what_they_were(version):
    zeros = np.zeros((2, 3), np.float32)
    assert (version(norms.rms_norm)(zeros, None, 1e-6)[0] == 0).all()
    assert (version(norms.rms_norm)(zeros, None, 0.0, 1e-6)[0] == 0).all()
    assert (version(norms.layer_norm)(zeros + 5, None, None, 1e-6)[0] == 0).all()
    for bad in (np.nan, np.inf):
        x = np.array([[1.0, bad, 2.0], [1.0, 1.0, 1.0]], np.float32)
        with np.errstate(invalid="ignore"):
            y = version(norms.rms_norm)(x, None, 0.0)[0]
        assert np.isnan(y[0, 1]) and (y[1] == 1).all()


def test_rows_that_fit_are_not_touched_by_one_that_does_not(version):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 8)).astype(np.float32)
    mixed = x.copy()
    mixed[2] *= np.float32(1e30)
    for kernel, more in ((norms.rms_norm, (None, 1e-5)), (norms.layer_norm, (None, None, 1e-5))):
        alone, together = version(kernel)(x, *more)[0], version(kernel)(mixed, *more)[0]
        assert alone[[0, 1, 3, 4]].tobytes() == together[[0, 1, 3, 4]].tobytes()


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_gradients_are_those_of_a_function_without_scale(scale):
    from llm_from_scratch.autograd import Tensor

    rng = np.random.default_rng(0)
    base, dy = rng.normal(size=(2, 16)).astype(np.float32), rng.normal(size=(2, 16)).astype(np.float32)

    def gradient(x, function):
        leaf = Tensor(x, requires_grad=True)
        function(leaf).backward(dy)
        return leaf.grad

    outside = functools.partial(rms_norm, eps_outside=True)
    for norm, relative in ((rms_norm, 0.0), (outside, 0.0), (outside, 0.5), (layer_norm, 0.0)):
        small = gradient(base, functools.partial(norm, eps=relative))
        large = gradient(base * np.float32(scale), functools.partial(norm, eps=relative * scale)) * np.float32(scale)
        np.testing.assert_allclose(large, small, rtol=0, atol=1e-5 * np.abs(small).max())
