"""Rounding to nearest, the baseline: every weight by itself, without a look at what the layer reads."""

from __future__ import annotations

from typing import Any

from ..quantization.grid import Grid, round_to_grid


def round_to_nearest(weight: Any, *, bits: int, group_size: int | None = None, symmetric: bool = False) -> Grid:
    """Every weight to the nearest number of its group's grid: (outputs, inputs) -> Grid.

    group_size: inputs that share a scale, a divisor of a row; None: a whole row. symmetric: the range reaches as far
    below zero as above. Raises TypeError for anything but floating-point numbers, ValueError for weights that are no
    matrix or not finite, bits outside 2..8, and a group size that does not divide.

    >>> import numpy as np
    >>> round_to_nearest(np.array([[-1.0, 0.0, 0.4, 2.0]]), bits=2).values()
    array([[-1.,  0.,  0.,  2.]])
    """
    return round_to_grid(weight, bits=bits, group_size=group_size, symmetric=symmetric)
