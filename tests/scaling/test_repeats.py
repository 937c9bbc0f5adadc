"""Repeated tokens: the authors' numbers, limits, and smoothness where repeating begins."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.scaling.laws import CHINCHILLA, optimal_parameters
from llm_from_scratch.scaling.repeats import (
    DATA_CONSTRAINED,
    EXCESS_REPEATS,
    TOKEN_REPEATS,
    effective_parameters,
    effective_tokens,
    repeated_loss,
)


def test_the_losses_of_the_authors_repository() -> None:
    """What its README prints for the two models of figure 1."""
    assert repeated_loss(6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477, rel=1e-12)
    assert repeated_loss(8.67e9, 178e9, 25e9) == pytest.approx(2.2269634075087867, rel=1e-12)


def test_tokens_by_the_formula() -> None:
    unique, epochs = 3e9, np.array([1.0, 1.5, 4.0, 40.0])
    repeats = epochs - 1
    expected = unique + unique * TOKEN_REPEATS * (1 - np.exp(-repeats / TOKEN_REPEATS))
    np.testing.assert_allclose(effective_tokens(epochs * unique, unique), expected)
    assert effective_tokens(1e15, 1e9) == pytest.approx((1 + TOKEN_REPEATS) * 1e9)
    assert effective_tokens(2e9, 5e9) == 2e9  # not all were read
    slope = (effective_tokens(1.001e9, 1e9) - 1e9) / 1e6
    assert slope == pytest.approx(1, abs=1e-4)  # the first repeated token is worth a fresh one


def test_parameters_beyond_what_the_text_deserves() -> None:
    base = optimal_parameters(1e9, DATA_CONSTRAINED)
    assert effective_parameters(base / 3, 1e9) == base / 3
    assert effective_parameters(1e6 * base, 1e9) == pytest.approx((1 + EXCESS_REPEATS) * base)
    assert effective_parameters(1e12, 1e9, CHINCHILLA) != effective_parameters(1e12, 1e9)


def test_fresh_text_and_an_optimal_size_are_the_plain_law() -> None:
    size = optimal_parameters(1e10, DATA_CONSTRAINED)
    assert repeated_loss(size, 1e10, 1e10) == pytest.approx(DATA_CONSTRAINED.loss(size, 1e10))
    assert repeated_loss(size, 1e10, 5e10) == pytest.approx(DATA_CONSTRAINED.loss(size, 1e10))


@pytest.mark.parametrize("tokens, unique", [(0, 1e9), (1e9, 0), (-1, 1), (float("nan"), 1e9)])
def test_what_is_refused(tokens: float, unique: float) -> None:
    with pytest.raises(ValueError, match="tokens must|unique must"):
        effective_tokens(tokens, unique)
    with pytest.raises(ValueError, match="repeats"):
        effective_tokens(2e9, 1e9, repeats=0)
