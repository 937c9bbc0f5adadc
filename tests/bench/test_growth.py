"""Exponents found again that were planted."""

import numpy as np
import pytest

from llm_from_scratch.bench import growth as module
from llm_from_scratch.bench import growth_cases as works
from llm_from_scratch.bench.growth import exponent, growth
from llm_from_scratch.bench.growth_cases import (
    ANSWER,
    ATTENTION,
    AXES,
    BANDWIDTH,
    BASE,
    PEAK,
    STEP,
    TOKEN,
    growth_cases,
)

SIZES = [128, 256, 512, 1024, 2048, 4096, 8192]


@pytest.mark.parametrize("planted", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_a_planted_power_law_is_found_exactly(planted):
    slope, error = exponent(SIZES, [3e-4 * size**planted for size in SIZES])
    assert slope == pytest.approx(planted, abs=1e-9) and error < 1e-9


def test_under_noise_the_error_is_that_of_many_repetitions():
    rng = np.random.default_rng(0)
    fits = []
    for _ in range(2000):
        noisy = [size**1.5 * factor for size, factor in zip(SIZES, np.exp(0.2 * rng.standard_normal(len(SIZES))))]
        fits.append(exponent(SIZES, noisy))
    slopes, errors = np.array(fits).T
    assert slopes.mean() == pytest.approx(1.5, abs=0.01)
    assert np.sqrt((errors**2).mean()) == pytest.approx(slopes.std(), rel=0.05)


def test_costs_that_cannot_be_seen_do_not_count():
    assert exponent([1, 2, 4, 8, 16], [None, 0, 4.0, 8.0, 16.0])[0] == pytest.approx(1.0)
    assert exponent([1, 2, 4], [None, 2.0, 4.0]) is None
    with pytest.raises(ValueError):
        exponent([1, 2, 4], [1.0, 2.0])


def test_every_size_of_every_axis_is_a_case():
    known = dict(growth_cases(1))
    assert {f"growth/{axis}/{size}" for axis, sizes in AXES.items() for size in sizes} | {"growth/machine"} == set(
        known
    )
    assert AXES["length"][0] == 128 and AXES["length"][-1] == 8192 and set(BASE) == set(AXES) - {"attention"}
    assert all(base in AXES[axis] for axis, base in BASE.items())
    assert all(len(sizes) >= 4 and list(sizes) == sorted(sizes) for sizes in AXES.values())


def test_works_say_what_they_multiply_and_read():
    small = works.SMALL
    step, token = works._step(small, 1), works._token(small)
    step(), token(), token()
    model = works._model(small)
    assert step.facts == {"flops": 3 * 2 * model.spec.flops(8)}
    assert (
        token.facts["bytes"] == ANSWER * (model.nbytes + 2 * model.spec.memory_bytes(8))
        and token.facts["runs"] == ANSWER
    )


def test_growth_fits_each_axis_and_says_the_shares(monkeypatch, planted):
    monkeypatch.setattr(module, "run_case", planted)
    lines = []
    measured = growth(threads=1, show=lines.append)
    found = measured["growth"]
    assert list(found) == list(AXES) and measured["peak"] == 1e12 and measured["bandwidth"] == 1e10
    step, token = found["length"][STEP], found["length"][TOKEN]
    assert step["time"] == pytest.approx((1.0, 0.0), abs=1e-9) and step["memory"] == pytest.approx((1.0, 0.0), abs=1e-9)
    assert step["share"] == pytest.approx([0.5] * 7) and token["share"] == pytest.approx([0.1] * 7)
    assert token["seconds"][0] == pytest.approx(0.128) and token["bytes"][0] == 128 * 2**20
    assert found["attention"][ATTENTION]["memory"][0] == pytest.approx(2.0)
    text = "\n".join(lines)
    assert "left out (it failed: MemoryError)" in text and "50% of the matrix-product peak" in text
    assert "memory ~ attention^2.00 ± 0.00" in text and "against length (width 256, layers 4" in text
    short = growth(threads=1, quick=True, show=lambda line: None)["growth"]
    assert short["length"]["sizes"] == SIZES[:-2]


def test_a_machine_that_cannot_be_measured_is_an_error(monkeypatch):
    absent = {"contenders": {PEAK: {"absent": "no"}, BANDWIDTH: {"absent": "no"}}}
    monkeypatch.setattr(module, "run_case", lambda *_, **__: absent)
    with pytest.raises(RuntimeError, match="could not be measured: no"):
        growth(threads=1)
