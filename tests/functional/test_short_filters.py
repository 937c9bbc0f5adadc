"""The short causal convolution against its formula, in chunks, over packed documents, and its errors."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("packed", [False, True])
def test_the_formula(width, packed):
    rng = np.random.default_rng(width)
    x, weight, bias = rng.normal(size=(2, 11, 3)), rng.normal(size=(3, width)), rng.normal(size=3)
    segments = np.array([[0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2], [5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 5]]) if packed else None
    got = F.causal_convolution(x, weight, bias, segments=segments)
    expected = F.plain.causal_convolution(x, weight, bias, segments=segments)
    np.testing.assert_allclose(got.data, expected, atol=1e-12)


@pytest.mark.parametrize("borders", [[0, 10], [0, 1, 2, 3, 10], [0, 7, 9, 10]])
def test_chunks_with_tails_are_the_whole_and_so_are_their_gradients(borders):
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=(2, 10, 3)), rng.normal(size=(3, 4)), rng.normal(size=3)
    cotangent = rng.normal(size=(2, 10, 3))

    def run(cuts):
        x, weight, bias = (Tensor(array, requires_grad=True) for array in arrays)
        before, parts = Tensor(np.zeros((2, 3, 3))), []
        for start, stop in zip(cuts, cuts[1:]):
            chunk = x[:, start:stop]
            parts.append(F.causal_convolution(chunk, weight, bias, before))
            before = _joined(before, chunk)[:, -3:]
        y = parts[0]
        for part in parts[1:]:
            y = _joined(y, part)
        y.backward(cotangent)
        return y.data, x.grad, weight.grad, bias.grad

    for got, wanted in zip(run(borders), run([0, 10])):
        np.testing.assert_allclose(got, wanted, atol=1e-12)


def _joined(a, b):
    from llm_from_scratch.autograd import concatenate

    return concatenate(a, b, axis=1)


def test_long_float32_sums_keep_their_digits():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 20_000, 2)).astype(np.float32) + np.float32(1)
    exact = []
    for dtype in (np.float64, np.float32):
        weight, bias = (Tensor(np.ones(shape, dtype), requires_grad=True) for shape in ((2, 3), 2))
        F.causal_convolution(x.astype(dtype), weight, bias).backward(x.astype(dtype))
        exact.append((weight.grad, bias.grad))
    for reference, single in zip(*exact):
        np.testing.assert_allclose(single, reference, rtol=2e-6)


def test_errors_say_what_is_wrong():
    x, weight = np.zeros((2, 5, 3)), np.zeros((3, 4))
    with pytest.raises(ValueError, match=r"weight \(C, W\)"):
        F.causal_convolution(x, np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"the bias has shape \(4,\), expected \(3,\)"):
        F.causal_convolution(x, weight, np.zeros(4))
    with pytest.raises(ValueError, match=r"the tail has shape \(2, 4, 3\), expected \(2, 3, 3\)"):
        F.causal_convolution(x, weight, None, np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match=r"segments have shape \(2, 4\), expected \(2, 5\)"):
        F.causal_convolution(x, weight, segments=np.zeros((2, 4), int))
    with pytest.raises(TypeError, match="document numbers, integers"):
        F.causal_convolution(x, weight, segments=np.zeros((2, 5)))
    with pytest.raises(TypeError, match="float32 or float64"):
        F.causal_convolution(np.zeros((2, 5, 3), int), weight)
