"""Weighted means and WiSE-FT, against sums written out."""

import numpy as np
import pytest

import llm_from_scratch.merging as M

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 4, 5))


def test_linear_is_the_weighted_mean_or_sum():
    np.testing.assert_allclose(M.linear([A, B, C], [1, 2, 5]), (A + 2 * B + 5 * C) / 8, rtol=1e-14)
    np.testing.assert_allclose(M.linear([A, B, C], [1, -2, 5], normalize=False), A - 2 * B + 5 * C, rtol=1e-13)
    np.testing.assert_allclose(M.linear([A, B], 1.0), (A + B) / 2)  # one number counts for all


def test_a_single_model_is_itself():
    np.testing.assert_array_equal(M.linear([A], [7]), A)


def test_wise_ft_is_a_line():
    for alpha in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(M.wise_ft(A, B, alpha), (1 - alpha) * A + alpha * B, rtol=1e-14)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="alpha"):
            M.wise_ft(A, B, alpha)
