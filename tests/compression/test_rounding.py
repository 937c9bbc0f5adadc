"""Rounding to nearest is the grid's own (tests/quantization/test_grid.py), under the name that the room has for it."""

import numpy as np
import pytest

from llm_from_scratch import compression as C
from llm_from_scratch.quantization.grid import round_to_grid


def test_it_is_the_nearest_number_of_a_grid():
    weight = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    found, expected = (f(weight, bits=3, group_size=4, symmetric=True) for f in (C.round_to_nearest, round_to_grid))
    np.testing.assert_array_equal(found.values(), expected.values())
    with pytest.raises(ValueError, match="groups of 5 do not divide"):
        C.round_to_nearest(weight, bits=3, group_size=5)
