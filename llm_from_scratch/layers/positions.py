"""How tokens learn where they stand: a learned table, or rotary angles. (ALiBi's slopes belong to the attention.)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from .initialization import Normal
from .module import Initializer, Module, parameter


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding: pairs of coordinates turned by an angle proportional to the position.

    dims: how many coordinates of each head turn (even); base: θ, pair i turns by θ^(-2i/dims) a position.
    interleaved: pairs are (2i, 2i+1), as in Meta's own LLaMA files; else (i, i + dims/2), as in published
    checkpoints in the Hugging Face layout. factor: linear position interpolation, angles divided by it.

    Source: Su et al. 2021, arXiv:2104.09864; interpolation: Chen et al. 2023, arXiv:2306.15595.
    """

    dims: int
    base: float = 10000.0
    interleaved: bool = False
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.dims <= 0 or self.dims % 2:
            raise ValueError(f"rotary turns pairs of coordinates: dims must be even and positive, not {self.dims}")
        if not (self.base > 0 and np.isfinite(self.base)):
            raise ValueError(f"the rotary base must be a positive number, not {self.base}")
        if not (self.factor > 0 and np.isfinite(self.factor)):
            raise ValueError(f"the rotary scaling factor must be a positive number, not {self.factor}")

    def inverse_frequency(self) -> np.ndarray:
        """Radians a position for each pair, (dims/2,), float64.

        >>> Rotary(4).inverse_frequency()
        array([1.  , 0.01])
        """
        return self.base ** (-np.arange(0, self.dims, 2) / self.dims) / self.factor

    def __call__(self, x: Tensor, positions: np.ndarray) -> Tensor:
        """x (B, H, T, D), positions (B or 1, T) -> the same shape, turned."""
        return F.rotary(
            x, positions=positions, inverse_frequency=self.inverse_frequency(), interleaved=self.interleaved
        )


class LearnedPositions(Module):
    """A table with one row a position: positions (B, T) -> (B, T, dim).

    offset: rows in front of position 0 (OPT has 2).
    """

    def __init__(
        self,
        count: int,
        dim: int,
        *,
        offset: int = 0,
        init: Initializer = Normal(0.02),
        rng: np.random.Generator | None,
    ) -> None:
        self.count, self.offset = count, offset
        self.weight = parameter(rng, (count + offset, dim), init)

    def __call__(self, positions: np.ndarray) -> Tensor:
        return F.embedding(self.weight, positions + self.offset)
