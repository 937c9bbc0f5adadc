"""Straight lines over logarithms, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from llm_from_scratch.scaling.power_laws import PowerLaw, fit_power_law


def test_noise_is_fitted_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(1e18, 1e22, 9)
    y = 0.6 * x**0.47 * np.exp(rng.normal(size=9) * 0.3)
    law = fit_power_law(x, y)
    slope, height = np.polyfit(np.log(x), np.log(y), 1)
    assert (law.exponent, law.coefficient) == pytest.approx((slope, np.exp(height)))
    np.testing.assert_allclose(law(x), np.exp(np.polyval([slope, height], np.log(x))))


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="two different x"):
        fit_power_law([2.0, 2.0], [1.0, 3.0])
    with pytest.raises(ValueError, match="y must be more than 0"):
        fit_power_law([1.0, 2.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="x must be more than 0"):
        PowerLaw(1.0, 1.0)(-1)
