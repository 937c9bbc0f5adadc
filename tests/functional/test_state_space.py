"""The selective scan against its formula, in chunks, over packed documents, in bounded memory, and its errors."""

import importlib
import tracemalloc

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, concatenate
from llm_from_scratch.kernels import sharing
from llm_from_scratch.kernels.dispatch import backend


def inputs(rng, batch=2, length=37, channels=5, width=3):
    size = (batch, length)
    x, delta = rng.normal(size=(*size, channels)), rng.uniform(0.05, 1.5, size=(*size, channels))
    A, D = -rng.uniform(0.2, 2.0, size=(channels, width)), rng.normal(size=channels)
    return x, delta, A, rng.normal(size=(*size, width)), rng.normal(size=(*size, width)), D


def brute_force(x, delta, A, B, C, D, borders=()):
    """The sum over all pairs of times, without any recurrence: y_t = Σ_s C_t exp(A (Δ_{s+1} + … + Δ_t)) Δ_s B_s x_s."""
    y = x * D
    for b, t, c in np.ndindex(x.shape):
        first = max([0] + [border for row, border in borders if row == b and border <= t])
        for s in range(first, t + 1):
            decay = np.exp(A[c] * delta[b, s + 1 : t + 1, c].sum())
            y[b, t, c] += (C[b, t] * decay * B[b, s]).sum() * delta[b, s, c] * x[b, s, c]
    return y


def test_the_recurrence_is_the_sum_over_the_past():
    arrays = inputs(np.random.default_rng(0))
    np.testing.assert_allclose(F.selective_scan(*arrays)[0].data, brute_force(*arrays), atol=1e-11)


def test_packed_documents_do_not_see_each_other():
    arrays = inputs(np.random.default_rng(1), length=20)
    segments = np.zeros((2, 20), int)
    segments[0, 7:], segments[0, 12:], segments[1, 1:] = 1, 0, 3
    borders = [(0, 7), (0, 12), (1, 1)]
    got = F.selective_scan(*arrays, segments=segments)[0].data
    np.testing.assert_allclose(got, brute_force(*arrays, borders), atol=1e-11)


@pytest.mark.skipif(backend() == "numpy", reason="the twin has no threads")
def test_threads_change_no_byte(monkeypatch):
    arrays, found = inputs(np.random.default_rng(2), channels=500), []
    monkeypatch.setattr(importlib.import_module("llm_from_scratch.kernels.compiled.scan"), "ALONE", 0)
    for threads in (1, 2, 3):
        monkeypatch.setattr(sharing, "product_threads", lambda n=threads: n)
        found.append([part.data for part in F.selective_scan(*arrays)])
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other))
    np.testing.assert_allclose(found[0][0], brute_force(*arrays), atol=1e-11)


@pytest.mark.parametrize("cuts", [[0, 1, 2, 37], [0, 16, 32, 37], [0, 20, 37]])
def test_chunks_are_the_whole_and_so_are_their_gradients(cuts):
    rng = np.random.default_rng(2)
    arrays, cotangent = inputs(rng), rng.normal(size=(2, 37, 5))

    def run(borders):
        x, delta, A, B, C, D = leaves = [Tensor(array, requires_grad=True) for array in arrays]
        state, parts = None, []
        for start, stop in zip(borders, borders[1:]):
            here = slice(None), slice(start, stop)
            y, state = F.selective_scan(x[here], delta[here], A, B[here], C[here], D, state)
            parts.append(y)
        y = concatenate(*parts, axis=1)
        y.backward(cotangent)
        return [y.data, state.data, *(leaf.grad for leaf in leaves)]

    for got, wanted in zip(run(cuts), run([0, 37]), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-11)


def test_the_last_state_carries_gradients_too():
    rng = np.random.default_rng(3)
    arrays = [*inputs(rng, 1, 4, 2, 2), rng.normal(size=(1, 2, 2))]
    weights = rng.normal(size=(1, 2, 2))

    def last(*values):
        return (F.selective_scan(*values)[1].data * weights).sum()

    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    (F.selective_scan(*leaves)[1] * weights).sum().backward()
    for number, leaf in enumerate(leaves):
        for index in np.ndindex(leaf.shape):
            moved = [[array.copy() for array in arrays] for _ in range(2)]
            moved[0][number][index] += 1e-6
            moved[1][number][index] -= 1e-6
            difference = (last(*moved[0]) - last(*moved[1])) / 2e-6
            assert abs(difference - leaf.grad[index]) < 1e-8


def test_memory_grows_with_the_width_of_x_and_not_with_that_of_the_states():
    length, channels, width = 512, 256, 16
    rng = np.random.default_rng(0)
    arrays = [array.astype(np.float32) for array in inputs(rng, 1, length, channels, width)]
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    F.selective_scan(*leaves)[0].sum().backward()  # compiled
    one = arrays[0].nbytes
    tracemalloc.start()
    y, _ = F.selective_scan(*leaves)
    y.backward(arrays[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * one, f"{peak / one:.1f} times x, all states are {width} times x"


def test_long_float32_sums_keep_their_digits():
    rng = np.random.default_rng(4)
    arrays = inputs(rng, 1, 3000, 3, 2)
    found = []
    for dtype in (np.float64, np.float32):
        leaves = [Tensor(array.astype(dtype), requires_grad=True) for array in arrays]
        F.selective_scan(*leaves)[0].sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for exact, single in zip(*found):
        assert np.abs(single - exact).max() < 3e-6 * np.abs(exact).max()


def test_a_step_of_zero_leaves_the_state_alone():
    x, delta, A, B, C, D = inputs(np.random.default_rng(5))
    delta[:, 10:20] = 0
    whole = F.selective_scan(x, delta, A, B, C, D)[1].data
    short = [np.delete(array, slice(10, 20), axis=1) for array in (x, delta, B, C)]
    np.testing.assert_allclose(F.selective_scan(*short[:2], A, *short[2:], D)[1].data, whole, atol=1e-13)


def test_errors_say_what_is_wrong():
    x, delta, A, B, C, D = inputs(np.random.default_rng(6))
    with pytest.raises(ValueError, match=r"needs x \(B, T, d\) and A \(d, N\)"):
        F.selective_scan(x, delta, A.T, B, C, D)
    with pytest.raises(ValueError, match=r"delta has shape \(2, 36, 5\), expected \(2, 37, 5\)"):
        F.selective_scan(x, delta[:, 1:], A, B, C, D)
    with pytest.raises(ValueError, match=r"C has shape \(2, 37, 2\), expected \(2, 37, 3\)"):
        F.selective_scan(x, delta, A, B, C[..., 1:], D)
    with pytest.raises(ValueError, match=r"D has shape \(3,\), expected \(5,\)"):
        F.selective_scan(x, delta, A, B, C, np.ones(3))
    with pytest.raises(ValueError, match=r"state has shape \(2, 3, 5\), expected \(2, 5, 3\)"):
        F.selective_scan(x, delta, A, B, C, D, np.zeros((2, 3, 5)))
    with pytest.raises(TypeError, match="float32 or float64"):
        F.selective_scan(x.astype(int), delta, A, B, C, D)
