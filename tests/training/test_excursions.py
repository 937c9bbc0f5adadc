"""What leaves the range it had: by how much, after how many steps, and where it began."""

from __future__ import annotations

import math

import pytest

from llm_from_scratch.training.excursions import FACTORS, LEAST, beginning, excursions, in_order


def entry(step, **changes):
    """Two layers whose figures are all 1 unless told: a1=(rms of layer 1), g0=(gradient of tensor 0), w0, …"""
    value = lambda name: changes.get(name, 1.0)  # noqa: E731
    return {
        "step": step,
        "activations": {f"layers.{n}": {"rms": value(f"a{n}"), "largest": value(f"m{n}")} for n in (0, 1)},
        "parameters": {f"layers.{n}.w": {"weight": value(f"w{n}"), "gradient": value(f"g{n}")} for n in (0, 1)},
    }


def steps(count, last=None, **changes):
    return [entry(n, **(changes if n >= count - (last or 1) else {})) for n in range(count)]


def test_the_order_is_that_of_a_step():
    order = [(kind, path) for kind, path, _, _ in in_order(entry(0))]
    weights, gradients = ([(kind, f"layers.{n}.w") for n in (0, 1)] for kind in ("weight", "gradient"))
    assert order == [*weights, *[("activation", "layers.0")] * 2, *[("activation", "layers.1")] * 2, *gradients[::-1]]


KINDS = [("w1", "weight"), ("a1", "activation"), ("m0", "activation"), ("g0", "gradient")]


@pytest.mark.parametrize("name, kind", KINDS)
def test_beyond_the_factor_and_not_within_it(name, kind):
    factor = FACTORS[kind]
    assert excursions(steps(10, **{name: factor * 0.99}))[-1] == []
    assert excursions(steps(10, **{name: 1.01 / factor}))[-1] == []
    for value in (factor * 1.01, 0.99 / factor, 0.0):
        (found,) = excursions(steps(10, **{name: value}))[-1]
        assert (found.kind, found.value, found.low, found.high, found.steps) == (kind, value, 1.0, 1.0, 9)
        assert found.ratio == pytest.approx(max(value, 1 / value) if value else math.inf)


def test_a_range_needs_some_steps_and_what_is_not_finite_needs_none():
    assert excursions(steps(LEAST, a0=1e9))[-1] == [] and len(excursions(steps(LEAST + 1, a0=1e9))[-1]) == 1
    (found,) = excursions([entry(0, g1=None)])[-1]
    assert found.value is None and found.low is None and found.ratio == math.inf


def test_slow_growth_is_no_excursion_and_the_range_follows_it():
    assert not any(excursions([entry(n, a0=1.2**n) for n in range(40)]))
    grown = [entry(n, a0=1.2**n) for n in range(40)]
    assert beginning([*grown, entry(40, a0=1.2**39 * 3)])[0].path == "layers.0"


def test_an_excursion_that_lasts_began_where_it_began():
    found = beginning(steps(12, last=3, w1=50.0))
    assert [(out.step, out.path) for out in found] == [(9, "layers.1.w")]
    calm_between = [*steps(8), entry(8, a0=50.0), entry(9), entry(10, g1=50.0)]
    assert [(out.step, out.path) for out in beginning(calm_between)] == [(10, "layers.1.w")]
    assert beginning(steps(12)) == [] and beginning([]) == []


def test_not_finite_comes_first():
    found = beginning(steps(10, a0=50.0, g0=None))
    assert [(out.kind, out.value) for out in found] == [("gradient", None), ("activation", 50.0)]
