"""Chinchilla's second approach: models of several sizes, each trained until the same FLOPs are spent.

Too small a model cannot use the data, too large a one does not see enough: over log N the loss is a valley. Its bottom
is that of a parabola through the points, and the bottoms of several budgets lie on a power law of C.

Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .checking import positive, series


@dataclass(frozen=True)
class Valley:
    """A parabola over log N: loss + curvature · (log N - log parameters)².

    inside: whether the bottom lies between the sizes that were tried; if not, it is an extrapolation.
    """

    parameters: float
    loss: float
    curvature: float
    inside: bool

    def __call__(self, parameters: Any) -> Any:
        return self.loss + self.curvature * np.log(positive("parameters", parameters) / self.parameters) ** 2


def fit_valley(parameters: Any, losses: Any) -> Valley:
    """The parabola of least squares through runs of one budget: parameters (n,), losses (n,).

    Raises ValueError for fewer than three sizes, and where the parabola has no lowest point.

    >>> valley = fit_valley([1e6, 1e7, 1e8], [3.1, 3.0, 3.1])
    >>> print(f"{valley.parameters:.3g}", valley.inside)
    1e+07 True
    """
    sizes, heights = series(parameters=parameters, losses=losses)
    if (different := len(np.unique(sizes))) < 3:
        raise ValueError(f"a parabola needs runs of at least three sizes, got {different}")
    logs = np.log(sizes)
    middle = logs.mean()
    curvature, slope, height = np.polyfit(logs - middle, heights, 2)
    if curvature <= 1e-12 * np.abs(heights).max():
        raise ValueError("the losses of this budget have no lowest point between small and large: add sizes")
    shift = -slope / (2 * curvature)
    bottom = float(np.exp(middle + shift))
    inside = bool(sizes.min() <= bottom <= sizes.max())
    return Valley(bottom, float(height - slope**2 / (4 * curvature)), float(curvature), inside)
