"""Every primitive of the room against the plain loop of the same name, on the examples that stand beside it."""

import inspect

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import PRIMITIVES
from llm_from_scratch.functional import plain

ROOM = F.__name__ + "."
CASES = [
    pytest.param(primitive, number, id=f"{primitive.__name__}-{number}")
    for primitive in PRIMITIVES.values()
    if primitive.__module__.startswith(ROOM)
    for number in range(len(primitive.examples))
]


def test_the_room_has_primitives_and_each_its_loop():
    names = {case.values[0].__name__ for case in CASES}
    assert len(names) > 25 and names <= set(plain.__all__)
    for name in names:
        fast, slow = (list(inspect.signature(f).parameters) for f in (getattr(F, name), getattr(plain, name)))
        assert fast == slow, name


@pytest.mark.parametrize("primitive, number", CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_primitive_computes_what_its_loop_says(primitive, number, dtype):
    inputs, settings = primitive.examples[number](np.random.default_rng(number))
    inputs = [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in inputs]
    before = [np.copy(x) if isinstance(x, np.ndarray) else x for x in inputs]
    fast, slow = primitive(*inputs, **settings), getattr(plain, primitive.__name__)(*inputs, **settings)
    fast, slow = (result if isinstance(result, tuple) else (result,) for result in (fast, slow))
    assert len(fast) == len(slow)
    for ours, expected in zip(fast, slow):
        assert ours.shape == expected.shape and ours.dtype == expected.dtype == dtype
        scale = np.abs(expected).max(initial=0.0)
        np.testing.assert_allclose(ours.data, expected, rtol=0, atol=scale * (1e-12 if dtype == np.float64 else 1e-5))
    for x, y in zip(inputs, before):
        np.testing.assert_array_equal(x, y)


def test_rows_that_see_nothing_and_large_numbers():
    hidden = np.array([[-np.inf, -np.inf], [1000.0, 1000.0]])
    np.testing.assert_array_equal(plain.softmax(hidden), [[0.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(plain.log_softmax(hidden[1]), -np.log([2.0, 2.0]))


def test_top_k_takes_the_first_of_equals():
    scores = np.random.default_rng(0).integers(0, 4, (20, 6)).astype(float)
    np.testing.assert_array_equal(plain.top_k(scores, 3), F.top_k(scores, 3))
