"""The hinge on log-ratios: trl's numbers, and the kink."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from preference_cases import (
    BETA,
    draw,
    frozen_pairs,
    keeps_its_promises,
    loss_and_gradient,
    refuses_strengths,
    refuses_what_does_not_fit,
    trls,
)

from llm_from_scratch.alignment import hinge_loss


def test_equals_trl():
    value, gradient = loss_and_gradient(partial(hinge_loss, beta=BETA), *frozen_pairs())
    expected, slopes = trls("hinge")
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-10, atol=1e-14)
    assert (gradient == 0).any() and (gradient != 0).any()  # some pairs on either side of the kink


def test_keeps_its_promises():
    keeps_its_promises(partial(hinge_loss, beta=0.2))
    refuses_what_does_not_fit(hinge_loss)


def test_at_the_margin_and_beyond_it_there_is_nothing_to_learn():
    for gain, slope in ((9.0, 0.0), (4.0, 0.0), (3.0, -0.25), (-1e4, -0.25)):
        value, gradient = loss_and_gradient(
            partial(hinge_loss, beta=0.25), *(np.array([x]) for x in (gain, 0.0, 0.0, 0.0))
        )
        assert value == max(0.0, 1 - 0.25 * gain)
        assert gradient.tolist() == [slope, -slope]


def test_numbers_out_of_range_are_refused():
    refuses_strengths(lambda beta: hinge_loss(*draw(), beta=beta), "beta")
