"""pass@k against counting all draws, and its unbiasedness."""

from itertools import combinations

import numpy as np
import pytest

from llm_from_scratch.evaluation import pass_at_k


@pytest.mark.parametrize("n", [1, 4, 7])
def test_equals_the_share_of_draws_that_hold_a_right_one(n):
    for c in range(n + 1):
        for k in range(1, n + 1):
            draws = list(combinations([True] * c + [False] * (n - c), k))
            assert pass_at_k(n, [c], k).scores[0] == pytest.approx(np.mean([any(draw) for draw in draws]), abs=1e-12)


def test_is_unbiased_where_the_plug_in_estimate_is_not():
    rng, p = np.random.default_rng(0), 0.2
    counts = rng.binomial(6, p, 20_000)
    truth = 1 - (1 - p) ** 3
    assert pass_at_k(6, counts, 3).value == pytest.approx(truth, abs=0.006)
    assert abs(np.mean(1 - (1 - counts / 6) ** 3) - truth) > 0.02


def test_large_counts_and_samples_of_their_own():
    assert pass_at_k(100_000, [3, 50_000], 10).scores == pytest.approx([3e-4, 1 - 2**-10], rel=0.01)
    result = pass_at_k([2, 4], [1, 1], 2)
    assert result.scores.tolist() == [1.0, 0.5] and result.value == 0.75 and float(result) == 0.75


@pytest.mark.parametrize(
    "samples, correct, k, message",
    [
        (5, [1, 6], 1, "problem 1: 6 right of 5 samples"),
        (5, [-1], 1, "problem 0: -1 right"),
        ([5, 3], [1, 1], 4, "problem 1 has 3 samples, too few for pass@4"),
        (5, [1], 0, "k must be a whole number"),
        (5, [1], 2.0, "k must be a whole number"),
        (5, [], 1, "one a problem"),
        (5, [0.5], 1, "whole numbers"),
        ([5, 5], [1], 1, "samples must be"),
    ],
)
def test_impossible_counts(samples, correct, k, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        pass_at_k(samples, correct, k)
