"""How fresh parameters are drawn. Each initialiser is a small frozen dataclass called with (rng, shape).

Matrices are stored (in, out), so the fan-in is the first axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Normal:
    """Independent normal numbers of mean 0 and standard deviation `std`.

    >>> x = Normal(0.02)(np.random.default_rng(0), (1000, 100))
    >>> x.dtype, round(float(x.std()), 3)
    (dtype('float32'), 0.02)
    """

    std: float = 0.02

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32) * np.float32(self.std)


@dataclass(frozen=True)
class Constant:
    """Every entry the same: 0 for biases, 1 for the scale of a norm.

    >>> Constant(1.0)(np.random.default_rng(0), (2,))
    array([1., 1.], dtype=float32)
    """

    value: float = 0.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value, dtype=np.float32)


@dataclass(frozen=True)
class XavierNormal:
    """Normal with variance gain² · 2 / (fan_in + fan_out): keeps activations and gradients of a linear layer level.

    Source: Glorot & Bengio 2010.
    """

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return Normal(self.gain * math.sqrt(2.0 / (shape[0] + shape[-1])))(rng, shape)


ZEROS, ONES = Constant(0.0), Constant(1.0)
