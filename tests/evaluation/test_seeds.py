"""Intervals over seeds hold the truth as often as they promise, also for three runs."""

import numpy as np
import pytest

from llm_from_scratch.evaluation import over_seeds


@pytest.mark.parametrize("runs", [2, 3, 5, 40])
def test_nineteen_of_twenty_intervals_hold_the_true_mean(runs):
    rng = np.random.default_rng(0)
    held = sum(low <= 2 <= high for low, high in (over_seeds(rng.normal(2, 1, runs)).interval for _ in range(3000)))
    assert 0.94 < held / 3000 < 0.96


def test_a_single_run_and_what_is_none():
    single = over_seeds([0.5])
    assert single.interval == (-np.inf, np.inf) and float(single) == 0.5
    assert over_seeds([1.0, 2.0, 3.0]).spread == 1.0
    for bad in ([], [np.nan, 1.0], [[1.0]]):
        with pytest.raises(ValueError, match="a finite score for each seed"):
            over_seeds(bad)
