"""IPO on sums, as the paper has it, and on means, as trl has it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from preference_cases import draw

from llm_from_scratch.alignment import ipo_loss
from llm_from_scratch.autograd import gradcheck

LENGTHS = (np.array([3, 1, 7, 2, 4]), np.array([1, 5, 2, 2, 9]))


def test_the_gradient_with_lengths_is_the_slope():
    assert gradcheck(partial(ipo_loss, tau=0.2, lengths=LENGTHS), *draw()) < 1e-6


def test_lengths_of_one_are_the_sum():
    ones = (np.ones(5, int),) * 2
    assert ipo_loss(*draw(), lengths=ones).item() == ipo_loss(*draw()).item()


def test_it_is_least_where_the_margin_is_the_papers():
    for tau in (0.05, 0.5):
        target = np.array([1 / (2 * tau)])
        assert ipo_loss(target, [0.0], [0.0], [0.0], tau=tau).item() == pytest.approx(0, abs=1e-20)
        for off in (-0.1, 0.1):
            assert ipo_loss(target + off, [0.0], [0.0], [0.0], tau=tau).item() == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_it_stays_a_square(dtype):
    arrays = [np.array([x], dtype) for x in (-1e4, 0.0, 0.0, 1e4)]
    assert ipo_loss(*arrays, tau=0.5).item() == pytest.approx(1.0, abs=1e-5)  # (-1e4 + 1e4 - 1)²
    assert ipo_loss(arrays[0], *arrays[1:3], arrays[1], tau=0.5).item() == pytest.approx((1e4 + 1) ** 2, rel=1e-6)


def test_lengths_that_are_none_are_refused():
    arrays = draw()
    with pytest.raises(ValueError, match=r"lengths of the rejected answers have the shape \(4,\), expected \(5,\)"):
        ipo_loss(*arrays, lengths=(LENGTHS[0], LENGTHS[1][:4]))
    with pytest.raises(ValueError, match="lengths of the chosen answers must be finite and at least 1, got 0"):
        ipo_loss(*arrays, lengths=(np.array([1, 0, 2, 3, 4]), LENGTHS[1]))
    with pytest.raises(ValueError, match="lengths of the chosen answers must be finite and at least 1, got nan"):
        ipo_loss(*arrays, lengths=(np.array([1, np.nan, 2, 3, 4]), LENGTHS[1]))
    with pytest.raises(TypeError, match=r"lengths are two arrays, \(chosen, rejected\)"):
        ipo_loss(*arrays, lengths=LENGTHS[0])
