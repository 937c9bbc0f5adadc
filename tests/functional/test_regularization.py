"""Dropout: expectation, the same entries in backward, seeds, and its absence."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor


def test_entries_are_dropped_at_the_rate_and_the_expectation_stays():
    y = F.dropout(np.ones(200_000), rate=0.25, rng=np.random.default_rng(0)).data
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.005)
    assert y.mean() == pytest.approx(1.0, abs=0.01)


def test_backward_drops_the_same_entries():
    x = Tensor(np.ones((50, 20)), requires_grad=True)
    y = F.dropout(x, rate=0.5, rng=np.random.default_rng(0))
    y.backward(np.ones((50, 20)))
    np.testing.assert_array_equal(x.grad, y.data)


def test_a_generator_moves_on_and_a_seed_does_not():
    rng, x = np.random.default_rng(0), np.ones(100, np.float32)
    first, second = (F.dropout(x, rate=0.5, rng=rng).data for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(F.dropout(x, rate=0.5, rng=0).data, first)


@pytest.mark.parametrize("settings", [{"rate": 0.5, "rng": None}, {"rate": 0.0, "rng": 0}])
def test_nothing_happens_without_randomness_or_rate(settings):
    x = np.random.default_rng(0).normal(size=9)
    np.testing.assert_array_equal(F.dropout(x, **settings).data, x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_the_rate_is_a_probability(rate):
    with pytest.raises(ValueError, match=r"a probability in \[0, 1\)"):
        F.dropout(np.ones(3), rate=rate, rng=0)
