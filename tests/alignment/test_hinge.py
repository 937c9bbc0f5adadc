"""The hinge on log-ratios: the kink."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from preference_cases import loss_and_gradient

from llm_from_scratch.alignment import hinge_loss


@pytest.mark.parametrize(("gain", "slope"), [(9.0, 0.0), (4.0, 0.0), (3.0, -0.25), (-1e4, -0.25)])
def test_at_the_margin_and_beyond_it_there_is_nothing_to_learn(gain, slope):
    pair = [np.array([x]) for x in (gain, 0.0, 0.0, 0.0)]
    value, gradient = loss_and_gradient(partial(hinge_loss, beta=0.25), *pair)
    assert value == max(0.0, 1 - 0.25 * gain)
    assert gradient.tolist() == [slope, -slope]
