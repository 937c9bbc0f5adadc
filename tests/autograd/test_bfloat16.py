"""A tensor stored in two bytes a number is the same tensor, and computes in float32."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import BFloat16Tensor, Tensor, store_bfloat16, widen
from llm_from_scratch.autograd.bfloat16 import BFLOAT16


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32), requires_grad=True)


def test_it_is_the_same_tensor_in_half_the_bytes():
    w = leaf(300, 4)
    other = w
    before = w.data
    assert store_bfloat16(w) is w and isinstance(other, BFloat16Tensor) and w.stored.nbytes * 2 == before.nbytes
    assert (w.shape, w.dtype, w.ndim, w.size) == ((300, 4), np.float32, 2, 1200)
    assert w.data.dtype == np.float32 and np.array_equal(w.data, before.astype(BFLOAT16).astype(np.float32))
    assert store_bfloat16(w) is w  # once is enough
    numbers = w.data
    assert widen(w) is w and type(w) is Tensor and np.array_equal(w.data, numbers) and w.data.flags.writeable
    assert widen(w) is w


def test_gradients_are_those_of_the_rounded_numbers_in_float32():
    w, x = leaf(5, 3), leaf(4, 5, seed=1)
    plain = Tensor(w.data.astype(BFLOAT16).astype(np.float32), requires_grad=True)
    store_bfloat16(w)
    for weight in (w, plain):
        F.tanh(F.linear(x, weight)).sum().backward()
    assert w.grad.dtype == np.float32 and np.array_equal(w.grad, plain.grad)


def test_a_change_in_place_would_be_lost_and_is_refused():
    w = store_bfloat16(leaf(3))
    with pytest.raises(ValueError, match="read-only"):
        w.data += 1
    w.data = w.data + np.float32(1)
    with pytest.raises(TypeError, match="float32 numbers, not float64"):
        w.data = np.zeros(3)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 1, 2)])
def test_any_shape(shape):
    w = store_bfloat16(Tensor(np.full(shape, 1.5, np.float32)))
    assert w.data.shape == shape and (w.data == 1.5).all() and widen(w).data.shape == shape


def test_arrays_that_do_not_lie_in_one_piece():
    numbers = np.arange(12, dtype=np.float32).reshape(3, 4).T
    w = store_bfloat16(Tensor(numbers))
    assert np.array_equal(w.data, numbers) and w.stored.flags.c_contiguous


def test_a_copy_stays_what_it_is():
    w = store_bfloat16(leaf(4))
    again = copy.deepcopy(w)
    assert isinstance(again, BFloat16Tensor) and again.requires_grad and np.array_equal(again.data, w.data)
    assert type(w.detach()) is Tensor


def test_what_cannot_be_stored_so():
    with pytest.raises(TypeError, match="float32 leaf.*float64"):
        store_bfloat16(Tensor(np.zeros(3)))
    with pytest.raises(TypeError, match="computed from others"):
        store_bfloat16(leaf(3) * 2.0)


def test_the_numbers_are_gone_after_use():
    w = store_bfloat16(leaf(500, 500))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        y = F.linear(Tensor(np.ones((1, 500), np.float32)), w)
        assert tracemalloc.get_traced_memory()[0] - before > 900_000  # the tape has them, for the backward
        y.sum().backward()
        w.grad = None
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
