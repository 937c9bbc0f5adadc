"""DoRA: the size of each column of a matrix is learned apart from its direction, and LoRA changes the direction.

With V = W + s A B and n the length of each of its columns (one an output), the layer is x V ⊙ m / n + b; m begins as
the lengths of W's columns. As the paper does (section 4.3), n is taken as a constant in the backward pass; dropout acts
on the low-rank branch alone.

Source: Liu et al. 2024, arXiv:2402.09353, eq. 5 and 11.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..models.heads import TiedHead
from .adapted import Adapted
from .low_rank import LowRank
from .merged import changed, numbers
from .places import is_linear


class Decomposed(LowRank):
    """`LowRank` around a linear layer, with a learned length for each output."""

    technique = "DoRA"

    def __init__(self, module: Any, *sizes: int, rng: np.random.Generator | None, **settings: Any) -> None:
        base = module.base if isinstance(module, Adapted) else module
        if not is_linear(base) or isinstance(base, TiedHead):
            raise ValueError("DoRA is for linear layers; an embedding, and a head tied to it, are tables of rows")
        super().__init__(*sizes, rng=rng, **settings)
        self._around = _Reference(base)
        self.magnitude = Tensor(self.lengths(), requires_grad=True)

    @classmethod
    def of(cls, like: Decomposed, product: LowRank, factors: np.ndarray) -> Decomposed:
        """One around the same matrix as `like`, with this product, and with these m / n."""
        new = copy.copy(like)
        new.A, new.B, new.alpha, new.stabilized, new.dropout = product.A, product.B, product.alpha, False, 0.0
        new.magnitude = Tensor(factors * new.lengths(), requires_grad=True)
        return new

    @property
    def _bias(self) -> Tensor | None:
        return self._around.module.bias

    def _weight(self) -> np.ndarray:
        return numbers(self._around.module.weight)

    def lengths(self) -> np.ndarray:
        """Those of the columns of W + s A B, (out,); 1 where a column is zero."""
        length = np.sqrt(np.square(self._weight() + self.delta()).sum(axis=0))
        return np.where(length == 0, length.dtype.type(1), length)

    def factors(self) -> Tensor:
        """What each output is multiplied by, m / n."""
        return self.magnitude / Tensor(self.lengths())

    def __call__(self, inner: Any, *inputs: Any) -> Tensor:
        (x,) = inputs
        y = inner(x) if self._bias is None else inner(x) - self._bias
        y = F.add_low_rank(y, self.dropped(x), self.A, self.B, scale=self.scale) * self.factors()
        return y if self._bias is None else y + self._bias

    def merged(self, base: Any) -> Any:
        """The base with all of it in its matrix."""
        factors = self.factors().data
        return changed(base, lambda weight, bias: ((weight + self.delta()) * factors, bias))


class _Reference:
    """A module that is known, but not owned: not found by whoever looks for parameters."""

    def __init__(self, module: Any) -> None:
        self.module = module
