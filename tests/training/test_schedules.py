from __future__ import annotations

import math

import pytest

from llm_from_scratch.training import constant_schedule, cosine_schedule, linear_schedule
from llm_from_scratch.training.schedules import exponential_schedule


@pytest.mark.parametrize("schedule", [cosine_schedule, linear_schedule, constant_schedule, exponential_schedule])
def test_schedules_rise_to_the_peak_and_never_pass_it(schedule):
    rates = [schedule(s, peak=2.0, warmup=10, total=100, final=0.5) for s in range(130)]
    assert rates[:10] == pytest.approx([0.2 * (k + 1) for k in range(10)])
    assert max(rates) == 2.0
    assert all(a >= b for a, b in zip(rates[9:], rates[10:]))


@pytest.mark.parametrize("schedule", [cosine_schedule, linear_schedule, constant_schedule, exponential_schedule])
@pytest.mark.parametrize("warmup", [1, 2, 10])
def test_nor_do_they_between_two_steps(schedule, warmup):
    """A run whose steps are unlike is somewhere between: by its tokens."""
    rates = [schedule(s / 7, peak=2.0, warmup=warmup, total=100, final=0.5) for s in range(700)]
    assert max(rates) == 2.0 and rates[7 * (warmup - 1) : 7 * warmup] == [2.0] * 7
    assert all(a >= b for a, b in zip(rates[7 * warmup :], rates[7 * warmup + 1 :]))
    assert all(a < b for a, b in zip(rates, rates[1 : 7 * (warmup - 1) + 1]))


@pytest.mark.parametrize("schedule", [cosine_schedule, linear_schedule])
def test_decaying_schedules_end_at_the_final_rate(schedule):
    assert schedule(55, peak=2.0, warmup=10, total=100, final=0.5) == pytest.approx(1.25)  # half way
    assert schedule(100, peak=2.0, warmup=10, total=100, final=0.5) == pytest.approx(0.5)
    assert schedule(10**9, peak=2.0, warmup=10, total=100, final=0.5) == pytest.approx(0.5)
    assert schedule(5, peak=1.0, warmup=5, total=5) == 0.0  # all of it warmup: no division by zero


@pytest.mark.parametrize("bad", [{"step": -1}, {"peak": -1.0}, {"peak": math.inf}, {"warmup": 11}, {"warmup": -1}])
def test_impossible_schedules_are_refused(bad):
    settings = {"step": 0, "peak": 1.0, "warmup": 1, "total": 10, **bad}
    with pytest.raises(ValueError):
        cosine_schedule(settings.pop("step"), **settings)


def test_an_exponential_schedule_goes_by_one_factor_down_or_up():
    for peak, final in ((2.0, 0.02), (1e-6, 10.0)):
        rates = [exponential_schedule(s, peak=peak, warmup=3, total=43, final=final) for s in range(45)]
        factors = [b / a for a, b in zip(rates[3:43], rates[4:44])]
        assert factors == pytest.approx([(final / peak) ** (1 / 40)] * 40)
        assert rates[43] == rates[44] == pytest.approx(final)
    for bad in ({"final": 0.0}, {"peak": 0.0}):
        with pytest.raises(ValueError, match="between rates above 0"):
            exponential_schedule(1, **{"peak": 1.0, "total": 5, "final": 0.1, **bad})
