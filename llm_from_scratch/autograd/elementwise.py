"""Functions of one entry at a time. Those that a model uses as activations are in `functional/activations.py`."""

from __future__ import annotations

import numpy as np

from ..checks import floating
from ..kernels import activations as kernels
from .broadcasting import entrywise, one_dtype, unbroadcast
from .operators import known_as
from .primitives import primitive


@known_as("exp")
@primitive
def exp(x, /):
    """e to the x.

    >>> exp([0.0, 1.0])
    Tensor([1.    , 2.7183])
    """
    y = np.exp(x)
    return y, y


@exp.backward
def _(dy, y, needs):
    return (dy * y,)


@known_as("log")
@primitive
def log(x, /):
    """The natural logarithm.

    >>> log([1.0, 10.0])
    Tensor([0.    , 2.3026])
    """
    return np.log(x), x


@log.backward
def _(dy, x, needs):
    return (dy / x,)


@known_as("sqrt")
@primitive
def sqrt(x, /):
    """The square root; its derivative at 0 is infinite.

    >>> sqrt([4.0, 2.0])
    Tensor([2.    , 1.4142])
    """
    y = np.sqrt(x)
    return y, y


@sqrt.backward
def _(dy, y, needs):
    return (dy / (2 * y),)


@known_as("sin")
@primitive
def sin(x, /):
    """The sine of an angle in radians.

    >>> sin([0.0, 1.5707963])
    Tensor([0., 1.])
    """
    return np.sin(x), x


@sin.backward
def _(dy, x, needs):
    return (dy * np.cos(x),)


@known_as("cos")
@primitive
def cos(x, /):
    """The cosine of an angle in radians.

    >>> cos([0.0, 3.1415927])
    Tensor([ 1., -1.])
    """
    return np.cos(x), x


@cos.backward
def _(dy, x, needs):
    return (-dy * np.sin(x),)


@known_as("tanh")
@primitive
def tanh(x, /):
    """The hyperbolic tangent.

    >>> tanh([0.0, 1.0])
    Tensor([0.    , 0.7616])
    """
    floating("tanh", x)
    y = kernels.tanh(x)
    return y, y


@tanh.backward
def _(dy, y, needs):
    return (dy * (1 - y * y),)


for _one in (exp, sin, cos, tanh):
    entrywise(_one, signed=True)
for _one in (log, sqrt):
    entrywise(_one)


@primitive
def clip(x, low=None, high=None, /, *, limit=None):
    """Every entry at least `low` and at most `high`: a value beyond passes its gradient to the bound it was set to.

    x (...), low and high broadcast against it or None for no bound -> (...). limit=c is short for low = -c, high = c.
    A value that equals a bound counts as inside.

    Raises ValueError where low > high, for no bound at all, or a limit that is not positive and finite.

    >>> clip([-7.0, 0.5, 9.0], -1.0, 6.0)
    Tensor([-1. ,  0.5,  6. ])
    >>> clip([-7.0, 0.5, 9.0], limit=6.0)
    Tensor([-6. ,  0.5,  6. ])
    """
    floating("clip", x)
    if limit is not None:
        if low is not None or high is not None or not 0 < limit < float("inf"):
            raise ValueError(f"clip: limit is one positive number that stands for both bounds, got {limit}")
        low, high = np.asarray(-limit, x.dtype), np.asarray(limit, x.dtype)
    if low is None and high is None:
        raise ValueError("clip needs a bound: low, high, both, or limit=")
    if low is not None and high is not None and np.any(low > high):
        raise ValueError("clip: a lower bound exceeds its upper bound")
    low, high = (None if bound is None else one_dtype(x, bound)[1] for bound in (low, high))
    return np.clip(x, low, high), (x, low, high)


@clip.backward
def _(dy, saved, needs):
    x, low, high = saved
    below = np.False_ if low is None else x < low
    above = np.False_ if high is None else x > high
    regions = ((x, ~(below | above)), (low, below), (high, above))
    return tuple(
        unbroadcast(dy * region, bounded.shape) if need else None for need, (bounded, region) in zip(needs, regions)
    )


known_as("clip", method=lambda x, low=None, high=None: clip(x, low, high))(clip)


def _spread(rng: np.random.Generator) -> np.ndarray:
    """Entries on both sides of ±1, none near it."""
    return np.concatenate([rng.uniform(-0.8, 0.8, (2, 5)), rng.uniform(1.1, 2.0, (2, 5))]) * [1, -1, 1, -1, 1]


clip.example(lambda rng: ((_spread(rng),), {"limit": 1.0}))
clip.example(lambda rng: ((_spread(rng), np.array(-1.0), np.array(1.0)), {}))
clip.example(lambda rng: ((_spread(rng), None, rng.uniform(0.9, 1.0, 5)), {}))
clip.example(lambda rng: ((_spread(rng), rng.uniform(-1.0, -0.9, (4, 1)), None), {}))
clip.example(lambda rng: ((np.array(1.5), np.array(-1.0), np.array(1.0)), {}))
