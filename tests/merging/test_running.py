"""Recipes from file to file: mergekit's results, what is kept beside them, memory, and what is refused beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from merging_cases import of, run
from mergekit_cases import CASES


@pytest.mark.parametrize("case", CASES)
def test_the_result_is_mergekits(models, frozen, case):
    expected, found = of(frozen, case), run(CASES[case])
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6, err_msg=name)
