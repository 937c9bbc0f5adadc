"""Clipping: values beyond a limit are set to it, and pass no gradient."""

from __future__ import annotations

import math

import numpy as np

from ..autograd import primitive
from .checks import floating


@primitive
def clip(x, /, *, limit):
    """Every entry at least -limit and at most limit: (...) -> (...).

    Raises ValueError unless limit is positive and finite.

    >>> clip([-7.0, 0.5, 9.0], limit=6.0)
    Tensor([-6. ,  0.5,  6. ])
    """
    floating("clip", x)
    if not (limit > 0 and math.isfinite(limit)):
        raise ValueError(f"clip needs a positive limit, not {limit}")
    kind = x.dtype.type
    return np.clip(x, kind(-limit), kind(limit)), (np.abs(x) <= limit)


@clip.backward
def _(dy, inside, needs):
    return (dy * inside,)


@clip.example
def _(rng):
    return (np.concatenate([rng.uniform(-0.8, 0.8, (2, 5)), rng.uniform(1.1, 2.0, (2, 5))]) * [1, -1, 1, -1, 1],), {
        "limit": 1.0
    }
