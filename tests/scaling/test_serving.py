"""Sizing for serving against brute force, its limit at no serving, and what cannot be reached."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.scaling.laws import CHINCHILLA, REPLICATION, Law, optimal_allocation
from llm_from_scratch.scaling.serving import cheapest_at_budget, cheapest_to_serve, tokens_for_loss


@pytest.mark.parametrize("law", [CHINCHILLA, REPLICATION, Law(0.9, 60.0, 3000.0, 0.42, 0.71)])
@pytest.mark.parametrize("flops, served", [(1e23, 1e12), (1e23, 1e14), (1e14, 1e9)])
def test_no_other_size_of_this_loss_is_cheaper(law: Law, flops: float, served: float) -> None:
    found = cheapest_at_budget(flops, served, law)
    loss = law.loss(*optimal_allocation(flops, law))
    assert law.loss(found.parameters, found.tokens) == pytest.approx(loss, rel=1e-10)
    for factor in (0.98, 0.999, 1.001, 1.02, 3.0):
        size = found.parameters * factor
        try:
            tokens = tokens_for_loss(loss, size, law)
        except ValueError:
            continue  # too small for this loss
        assert 6 * size * tokens + 2 * size * served >= found.flops * (1 - 1e-12)
    best = optimal_allocation(flops, law)
    assert found.parameters < best[0] and found.tokens > best[1] and found.training_flops > flops


def test_without_serving_it_is_the_optimum() -> None:
    found = cheapest_at_budget(1e21, 0, REPLICATION)
    size, tokens = optimal_allocation(1e21, REPLICATION)
    assert (found.parameters, found.tokens) == pytest.approx((size, tokens), rel=1e-6) and found.serving_flops == 0


def test_more_serving_is_smaller() -> None:
    sizes = [cheapest_to_serve(2.2, served, REPLICATION).parameters for served in np.geomspace(1e9, 1e16, 8)]
    assert (np.diff(sizes) < 0).all()


def test_what_cannot_be_reached() -> None:
    with pytest.raises(ValueError, match="the law's E is 1.69"):
        cheapest_to_serve(1.69, 1e12, CHINCHILLA)
    with pytest.raises(ValueError, match="never get to a loss"):
        tokens_for_loss(2.0, 1e6, CHINCHILLA)
    with pytest.raises(ValueError, match="served must be at least 0"):
        cheapest_to_serve(2.2, -1, CHINCHILLA)
    with pytest.raises(ValueError, match="flops must"):
        cheapest_at_budget(0, 1e9, CHINCHILLA)
