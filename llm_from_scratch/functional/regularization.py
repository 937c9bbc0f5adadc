"""Dropout: the regulariser that exists only where the caller passes a source of randomness."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import floating


@primitive
def dropout(x, /, *, rate, rng):
    """Zero each entry with probability `rate`, and divide the others by 1 - rate: the expectation stays.

    rng: a `numpy.random.Generator`, or a seed; None (as in evaluation) leaves x as it is, and so does rate 0.

    >>> dropout([1.0, 1.0, 1.0, 1.0], rate=0.5, rng=None)
    Tensor([1., 1., 1., 1.])
    >>> sorted(set(dropout(np.ones(100), rate=0.5, rng=0).data.tolist()))
    [0.0, 2.0]

    Source: Srivastava et al. 2014, JMLR 15, in the "inverted" form that needs no rescaling in evaluation.
    """
    floating("dropout", x)
    if not 0 <= rate < 1:
        raise ValueError(f"the dropout rate is a probability in [0, 1), not {rate}")
    if rng is None or rate == 0:
        return x, None
    # float32 draws for both dtypes: one seed then drops the same entries in float32 and float64.
    kept = np.random.default_rng(rng).random(x.shape, np.float32) >= rate
    scale = x.dtype.type(1 / (1 - rate))
    return x * kept * scale, (kept, scale)


@dropout.backward
def _(dy, saved, needs):
    if saved is None:
        return (dy,)
    kept, scale = saved
    return (dy * kept * scale,)


@dropout.example
def _(rng):
    return (rng.normal(size=(3, 4)),), {"rate": 0.4, "rng": 5}


@dropout.example
def _(rng):
    return (rng.normal(size=(3, 4)),), {"rate": 0.4, "rng": None}
