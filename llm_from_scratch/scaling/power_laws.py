"""y = k · x^p: a straight line where both axes are logarithmic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .checking import positive, series


@dataclass(frozen=True)
class PowerLaw:
    """coefficient · x^exponent."""

    coefficient: float
    exponent: float

    def __call__(self, x: Any) -> Any:
        return self.coefficient * positive("x", x) ** self.exponent


def fit_power_law(x: Any, y: Any) -> PowerLaw:
    """The straight line of least squares through log x (n,), log y (n,). ValueError for fewer than two different x.

    >>> law = fit_power_law([1, 10, 100], [3, 30, 300])
    >>> print(f"{law.coefficient:.3f} {law.exponent:.3f}")
    3.000 1.000
    """
    x, y = series(x=x, y=y)
    if len(np.unique(x)) < 2:
        raise ValueError(f"a line needs two different x, got {len(np.unique(x))}")
    logs = np.log(x)
    slope = float(((logs - logs.mean()) * np.log(y)).sum() / ((logs - logs.mean()) ** 2).sum())
    return PowerLaw(float(np.exp(np.log(y).mean() - slope * logs.mean())), slope)
