"""Valleys: exact parabolas, the law's own bottoms, and budgets without one."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.scaling.isoflops import fit_valley
from llm_from_scratch.scaling.laws import CHINCHILLA, optimal_allocation
from llm_from_scratch.scaling.power_laws import fit_power_law


def test_a_parabola_comes_back() -> None:
    sizes = np.geomspace(1e5, 3e7, 5)
    valley = fit_valley(sizes, 2.0 + 0.07 * np.log(sizes / 4e6) ** 2)
    assert (valley.parameters, valley.loss, valley.curvature) == pytest.approx((4e6, 2.0, 0.07))
    assert valley.inside and valley(4e6) == pytest.approx(2.0) and valley(4e7) > 2.3
    beyond = fit_valley(sizes, 2.0 + 0.07 * np.log(sizes / 1e9) ** 2)
    assert beyond.parameters == pytest.approx(1e9) and not beyond.inside


def test_the_bottoms_of_a_law_lie_on_its_power_of_compute() -> None:
    budgets = 1e18 * 4.0 ** np.arange(5)
    bottoms = []
    for flops in budgets:
        sizes = optimal_allocation(flops, CHINCHILLA)[0] * np.geomspace(0.5, 2, 7)
        bottoms.append(fit_valley(sizes, CHINCHILLA.loss(sizes, flops / (6 * sizes))).parameters)
    np.testing.assert_allclose(bottoms, optimal_allocation(budgets, CHINCHILLA)[0], rtol=0.01)
    assert fit_power_law(budgets, bottoms).exponent == pytest.approx(CHINCHILLA.exponents[0], abs=1e-3)


@pytest.mark.parametrize(
    "sizes, losses, message",
    [
        ([1e6, 1e7], [3, 2], "at least three sizes, got 2"),
        ([1e6, 1e6, 1e6], [3, 2, 1], "at least three sizes, got 1"),
        ([1e6, 1e7, 1e8], [2, 3, 2], "no lowest point"),
        ([1e6, 1e7, 1e8], [2, 2, 2], "no lowest point"),
        ([1e6, 1e7, 1e8], [2, 2, float("nan")], "losses must be finite"),
        ([1e6, 1e7, -1e8], [2, 2, 2], "parameters must be more than 0"),
        ([1e6, 1e7, 1e8], [2, 2], "one length"),
    ],
)
def test_budgets_without_a_bottom(sizes: list[float], losses: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_valley(sizes, losses)
