"""The closed form against brute force, its inverses, the published numbers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.scaling.laws import (
    CHINCHILLA,
    REPLICATION,
    Law,
    optimal_allocation,
    optimal_parameters,
    optimal_tokens,
)


@pytest.mark.parametrize("law", [CHINCHILLA, REPLICATION, Law(0.0, 3.0, 900.0, 0.2, 0.9)])
@pytest.mark.parametrize("flops", [1e12, 5.76e23])
def test_no_other_split_of_the_budget_is_better(law: Law, flops: float) -> None:
    size, tokens = optimal_allocation(flops, law)
    assert 6 * size * tokens == pytest.approx(flops, rel=1e-12)
    sizes = size * np.geomspace(1 / 50, 50, 20001)
    losses = law.loss(sizes, flops / (6 * sizes))
    assert abs(losses.argmin() - 10000) <= 3 and losses.min() >= law.loss(size, tokens) - 1e-12
    # The last FLOP buys as much as size as it would buy as data.
    assert law.alpha * law.A / size**law.alpha == pytest.approx(law.beta * law.B / tokens**law.beta)


def test_budgets_may_be_an_array() -> None:
    budgets = np.array([1e18, 1e21])
    sizes, tokens = optimal_allocation(budgets, CHINCHILLA)
    assert sizes.shape == tokens.shape == (2,)
    assert (sizes[1], tokens[1]) == pytest.approx(optimal_allocation(1e21, CHINCHILLA), rel=1e-12)
    assert np.log(sizes[1] / sizes[0]) / np.log(1000) == pytest.approx(CHINCHILLA.exponents[0])


def test_the_inverses() -> None:
    size, tokens = optimal_allocation(1e20, REPLICATION)
    assert optimal_parameters(tokens, REPLICATION) == pytest.approx(size)
    assert optimal_tokens(size, REPLICATION) == pytest.approx(tokens)


def test_the_printed_constants_contradict_their_paper_and_the_replication_does_not() -> None:
    assert CHINCHILLA.exponents == pytest.approx((0.4516, 0.5484), abs=5e-5)
    assert CHINCHILLA.balance == pytest.approx(1.3447, abs=5e-5)
    ratios = {}
    for law in (CHINCHILLA, REPLICATION):
        size, tokens = optimal_allocation(5.76e23, law)
        ratios[law] = tokens / size
    assert ratios[CHINCHILLA] > 80 and 15 < ratios[REPLICATION] < 25  # the model that was trained: 70B on 1.4T, 20


@pytest.mark.parametrize("flops", [0, -1.0, float("nan"), float("inf"), [1e20, 0.0], []])
def test_budgets_that_are_none(flops: object) -> None:
    with pytest.raises(ValueError, match="flops must"):
        optimal_allocation(flops, CHINCHILLA)


@pytest.mark.parametrize("flops", [True, "1e21", None, 1j])
def test_budgets_that_are_no_numbers(flops: object) -> None:
    with pytest.raises(TypeError, match="flops must be a number"):
        optimal_allocation(flops, CHINCHILLA)


def test_constants_that_make_no_law() -> None:
    for name in ("A", "B", "alpha", "beta"):
        with pytest.raises(ValueError, match=name):
            Law(**{"E": 1.0, "A": 1.0, "B": 1.0, "alpha": 0.3, "beta": 0.3, name: 0.0})
    with pytest.raises(ValueError, match="E must be finite"):
        Law(float("nan"), 1, 1, 1, 1)
    with pytest.raises(TypeError, match="a fit is a Law"):
        optimal_allocation(1e20, (1.69, 406.4, 410.7, 0.34, 0.28))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tokens must be more than 0"):
        CHINCHILLA.loss(1e9, 0)


def test_the_public_names() -> None:
    assert lfs.scaling.optimal_allocation is optimal_allocation
    assert all(getattr(lfs.scaling, name) is not None for name in lfs.scaling.__all__)
