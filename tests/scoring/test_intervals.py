"""Intervals against closed forms: the standard error of a mean, and how often they hold what they are to hold."""

import math

import numpy as np
import pytest

from llm_from_scratch.scoring import bootstrap, paired_bootstrap
from llm_from_scratch.scoring.intervals import resampled_means


def test_spread_of_resampled_means_is_the_standard_error():
    scores = np.random.default_rng(0).exponential(size=400)
    means = resampled_means(scores, np.ones(400), 1)
    assert abs(means.mean() - scores.mean()) < 0.002
    assert abs(means.std() / (scores.std() / math.sqrt(400)) - 1) < 0.03
    result = bootstrap(scores, 1)
    assert result.value == pytest.approx(scores.mean(), rel=1e-12)
    half = (result.interval[1] - result.interval[0]) / 2
    assert abs(half / (1.96 * scores.std() / 20) - 1) < 0.05
    assert result.interval[0] < float(result) < result.interval[1]


@pytest.mark.parametrize("draw", [lambda rng: rng.normal(2, 1, 60) - 2, lambda rng: (rng.random(60) < 0.6) - 0.6])
def test_nineteen_of_twenty_intervals_hold_the_true_mean(draw):
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = bootstrap(draw(rng), rng, resamples=500).interval
        held += low <= 0 <= high
    assert 0.91 <= held / 400 <= 0.975  # percentiles of 60 items are a little narrow: 94 % is what they hold


def test_under_no_difference_p_values_are_uniform_and_a_difference_is_found():
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(400):
        shared = rng.normal(size=50)
        p_values.append(paired_bootstrap(shared + rng.normal(size=50), shared + rng.normal(size=50), rng,
                                         resamples=400).p_value)  # fmt: skip
    p_values = np.array(p_values)
    assert 0.02 < (p_values < 0.05).mean() < 0.09 and 0.4 < (p_values < 0.5).mean() < 0.6
    shared = 10 * rng.normal(size=50)
    a, b = shared + 0.5 + 0.5 * rng.normal(size=50), shared + 0.5 * rng.normal(size=50)
    result = paired_bootstrap(a, b, 0)
    assert result.p_value < 0.01 and result.interval[0] > 0 and result.count == 50
    assert bootstrap(a, 0).interval[0] < bootstrap(b, 0).value  # unpaired, the items' spread would hide it
    other = paired_bootstrap(b, a, 0)
    assert other.value == -result.value and other.p_value == pytest.approx(result.p_value, abs=0.01)


def test_sums_over_counts_draw_whole_items():
    sums, counts = np.array([2.0, 30.0, 4.0, 9.0]), np.array([1, 10, 2, 3])
    result = bootstrap(sums, 0, counts=counts)
    assert result.value == sums.sum() / counts.sum()
    assert 2.0 <= result.interval[0] and result.interval[1] <= 3.0
    # items whose ratio is the same have no spread, whatever their sizes
    assert bootstrap(3.0 * counts, 0, counts=counts).interval == pytest.approx((3.0, 3.0))
    assert np.isfinite(bootstrap([1.0, 0.0, 0.0], 0, counts=[1, 0, 0]).interval).all()  # some draws count nothing


def test_a_seed_repeats_and_memory_is_bounded(monkeypatch):
    scores = np.random.default_rng(0).normal(size=100)
    assert bootstrap(scores, 5) == bootstrap(scores, np.random.default_rng(5)) != bootstrap(scores, 6)
    monkeypatch.setattr("llm_from_scratch.scoring.intervals._AT_ONCE", 250)
    means = resampled_means(scores, np.ones(100), 0, resamples=7)
    assert means.shape == (7,) and np.isfinite(means).all()


def test_special_cases():
    assert bootstrap([0.5]).interval == (-np.inf, np.inf)
    assert bootstrap([True, True, True]).interval == (1.0, 1.0)
    same = paired_bootstrap([1.0, 2.0], [1.0, 2.0])
    assert (same.value, same.p_value, same.interval) == (0.0, 1.0, (0.0, 0.0))
    always = paired_bootstrap(np.full(9, 0.3), np.full(9, 0.1))
    assert always.value == pytest.approx(0.2) and always.p_value == 1 / 10_001  # never 0


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: bootstrap([]), ValueError, "there are no items"),
        (lambda: bootstrap(np.zeros(0)), ValueError, "there are no items"),
        (lambda: bootstrap([1.0, np.nan]), ValueError, r"scores\[1\] is nan"),
        (lambda: bootstrap([[1.0]]), TypeError, r"one an item \(N,\)"),
        (lambda: bootstrap(["a"]), TypeError, "numbers"),
        (lambda: bootstrap([1.0, 2.0], counts=[1]), ValueError, "counts are 2 numbers"),
        (lambda: bootstrap([1.0], counts=[0]), ValueError, "not all of them 0"),
        (lambda: bootstrap([1.0, 2.0], resamples=0), ValueError, "resamples must be a positive integer"),
        (lambda: paired_bootstrap([1.0], [1.0, 2.0]), ValueError, "the same items twice, got 1 and 2"),
    ],
)
def test_what_is_no_score_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
