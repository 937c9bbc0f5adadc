"""What runs again in the backward pass has the gradients that it would have had, and keeps nothing meanwhile."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.autograd.rerun import rerun


def leaf(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def gradients(leaves, run):
    for tensor in leaves:
        tensor.grad = None
    loss = run()
    loss.backward()
    return loss.item(), [None if t.grad is None else t.grad.copy() for t in leaves]


def test_gradients_are_those_of_the_plain_call():
    """Of the input, of what the function uses besides, of what is used inside and outside; two outputs, one unused."""
    x, w, shared, idle = leaf(3, 4), leaf(4, 4, seed=1), leaf(4, seed=2), leaf(4, seed=3)

    def part(x):
        h = F.tanh(F.linear(x, w)) * shared
        return h + x, h * 2.0, (h * idle).sum()

    def loss(call):
        middle = x * shared
        y, h, _ = call(middle)
        y, _, _ = call(y)
        return (y * y).sum() + h.sum() + (y * shared).sum()

    leaves = (x, w, shared, idle)
    plain, wanted = gradients(leaves, lambda: loss(part))
    again, found = gradients(leaves, lambda: loss(lambda x: rerun(part, x)))
    assert again == plain
    for a, b in zip(found[:3], wanted[:3]):
        assert np.array_equal(a, b)
    assert wanted[3] is None and not found[3].any()  # an output that nobody used sends zeros


def test_what_is_frozen_gets_nothing_and_an_input_without_gradient_is_no_hindrance():
    x, w, frozen = Tensor(np.ones((2, 3))), leaf(3, 3), Tensor(np.ones(3))
    (y,) = rerun(lambda x: (F.linear(x, w) * frozen,), x)
    y.sum().backward()
    assert w.grad is not None and frozen.grad is None and x.grad is None
    (z,) = rerun(lambda x: (x * frozen,), x)
    z.sum().backward()  # nothing at all trains
    assert frozen.grad is None


def test_gradients_are_collected_where_the_caller_wants_them():
    x, w = leaf(3), leaf(3, seed=1)
    (y,) = rerun(lambda x: (x * w,), x)
    into: dict = {}
    y.sum().backward(into=into)
    assert set(into) == {x, w} and x.grad is None and w.grad is None
    assert np.array_equal(into[x], w.data) and np.array_equal(into[w], x.data)


def test_the_gradient_that_arrives_is_not_written_into():
    """It may belong to others: here the sum hands the same one to both of its terms."""
    x, other = leaf(3), leaf(3, seed=1)

    def twice(x):
        return (x + x + x,)

    seed = np.array([1.0, 2.0, 3.0])
    (rerun(twice, x)[0] + other).backward(seed)
    assert np.array_equal(x.grad, 3 * seed) and np.array_equal(other.grad, seed) and np.array_equal(seed, [1, 2, 3])


def test_no_grad_around_either_pass():
    x = leaf(3)
    with no_grad():
        (y,) = rerun(lambda x: (x * x,), x)
    assert not y.requires_grad
    (y,) = rerun(lambda x: (x * x,), x)
    total = y.sum()
    with no_grad():
        total.backward()
    assert np.array_equal(x.grad, 2 * x.data)


def test_another_result_the_second_time_is_noticed():
    x, calls = leaf(3), []

    def counts(x):
        calls.append(1)
        return (x * float(len(calls)),)

    (y,) = rerun(counts, x)
    with pytest.raises(ValueError, match="another result the second time"):
        y.sum().backward()
    w = leaf(3)
    (y,) = rerun(lambda x: (x * w,), x)
    w.data = w.data * np.nextafter(1.0, 2.0)
    with pytest.raises(ValueError, match="a weight"):
        y.sum().backward()


def test_numbers_that_are_none_are_the_same_twice():
    x = Tensor(np.array([np.nan, -0.0, np.inf]), requires_grad=True)
    (y,) = rerun(lambda x: (x * 2.0,), x)
    y.sum().backward()
    assert np.array_equal(x.grad, [2.0, 2.0, 2.0])


def test_a_second_backward_is_refused_as_always():
    x = leaf(3)
    (y,) = rerun(lambda x: (x * x,), x)
    y = y.sum()
    y.backward()
    with pytest.raises(ValueError, match="already released"):
        y.backward()


def test_activations_are_not_kept():
    x = Tensor(np.ones(100_000), requires_grad=True)

    def deep(x):
        for _ in range(20):
            x = F.tanh(x)
        return (x,)

    kept = []
    for call in (deep, lambda x: rerun(deep, x)):
        tracemalloc.start()
        (y,) = call(x)
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del y
    assert kept[0] > 19 * 800_000 and kept[1] < 1.1 * 800_000
