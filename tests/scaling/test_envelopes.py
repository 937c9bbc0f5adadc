"""The lower envelope against brute force, and against the law that made the curves."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.scaling.envelopes import lower_envelope
from llm_from_scratch.scaling.laws import CHINCHILLA, optimal_allocation
from llm_from_scratch.scaling.power_laws import fit_power_law


def test_curves_of_a_law_recover_its_exponent() -> None:
    sizes = np.geomspace(1e7, 3e9, 40)
    tokens = np.geomspace(1e8, 1e12, 200)
    found = lower_envelope([(n, tokens, CHINCHILLA.loss(n, tokens)) for n in sizes], points=300)
    np.testing.assert_allclose(6 * found.parameters * found.tokens, found.flops)
    inner = (found.parameters > 3e7) & (found.parameters < 1e9)
    best = optimal_allocation(found.flops[inner], CHINCHILLA)
    np.testing.assert_allclose(found.parameters[inner], best[0], rtol=0.2)  # sizes are 16 % apart
    np.testing.assert_allclose(found.losses[inner], CHINCHILLA.loss(*best), rtol=1e-3)
    law = fit_power_law(found.flops[inner], found.parameters[inner])
    assert law.exponent == pytest.approx(CHINCHILLA.exponents[0], abs=0.01)


def test_nothing_is_guessed_beyond_the_ends_of_a_curve() -> None:
    short = (1.0, [1, 10], [5.0, 1.0])  # ends at 60 FLOPs
    long = (2.0, [1, 100], [4.0, 3.0])  # from 12 to 1,200
    found = lower_envelope([short, long], points=50)
    assert found.flops.min() >= 12 * (1 - 1e-12) and found.flops.max() <= 60 * (1 + 1e-12)
    assert (found.losses <= 4.0).all() and found.losses[-1] < 1.3


@pytest.mark.parametrize(
    "curves, message",
    [
        ([], "no training curves"),
        ([(1e6, [1, 2], [3, 2])], "no two curves of different sizes"),
        ([(1e6, [1, 2], [3, 2]), (1e6, [1, 2], [3, 2.5])], "no two curves of different sizes"),
        ([(1e6, [1, 2], [3, 2]), (1e9, [1, 2], [3, 2.5])], "no two curves of different sizes"),
        ([(1e6, [2, 1], [3, 2])], "must grow from point to point"),
        ([(0, [1, 2], [3, 2])], "parameters must be more than 0"),
        ([(1e6, [1, 2], [3, float("inf")])], "losses must be finite"),
        ([(1e6, [1, 2, 3], [3, 2])], "one length"),
    ],
)
def test_curves_that_have_no_envelope(curves: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lower_envelope(curves)


def test_points_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="points"):
        lower_envelope([(1e6, [1, 2], [3, 2])], points=1)
