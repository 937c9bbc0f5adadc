"""Model Stock: the point of the fine-tunes' plane that is nearest to their common centre."""

import numpy as np
import pytest

import llm_from_scratch.merging as M


def test_two_fine_tunes_on_a_sphere():
    angle = 0.8
    a, b = np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)])
    t = 2 * np.cos(angle) / (1 + np.cos(angle))
    np.testing.assert_allclose(M.model_stock(np.zeros(2), [a, b]), t * (a + b) / 2, rtol=1e-12)


def test_opposed_fine_tunes_leave_the_base():
    base, step = np.ones(3), np.array([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(M.model_stock(base, [base + step, base - step]), base)
    np.testing.assert_allclose(M.model_stock(base, [base + step, base + step]), base + step)


def test_it_takes_two():
    with pytest.raises(ValueError, match="at least 2"):
        M.model_stock(np.ones(2), [np.ones(2)])
