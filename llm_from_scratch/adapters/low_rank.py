"""LoRA: beside a matrix that stays as it is, the product of two narrow ones learns what is to be added to it.

Glossary: W the matrix (in, out), as Linear keeps it; A (in, r) and B (r, out), r the rank; α ("alpha") over r is the
scale, α/√r when stabilised (rsLoRA). The paper writes W + (α/r) B A with W (out, in).

Sources: Hu et al. 2021, arXiv:2106.09685; Kalajdzievski 2023 (rsLoRA), arXiv:2312.03732. A begins uniform, as in the
authors' code, where the paper says normal.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..layers import Constant, Normal, parameter
from ..layers.context import current_rng
from ..layers.mamba import Uniform
from .adapted import Adapter
from .merged import changed


class LowRank(Adapter):
    """y + s · dropout(x) A B around a linear layer: x (..., in) -> (..., out). s is α/r, or α/√r if `stabilized`.

    A is uniform within ±1/√in (He's initialisation with a = √5), B zero: at first nothing is added.

    >>> layer = LowRank(4, 6, rank=2, alpha=8, rng=np.random.default_rng(0))
    >>> layer.A.shape, layer.B.shape, layer.scale, float(np.abs(layer.delta()).max())
    ((4, 2), (2, 6), 4.0, 0.0)
    """

    technique = "LoRA"

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rank: int,
        alpha: float,
        stabilized: bool = False,
        dropout: float = 0.0,
        rng: np.random.Generator | None,
    ) -> None:
        self.A = parameter(rng, (inputs, rank), Uniform(inputs**-0.5))
        self.B = parameter(rng, (rank, outputs), Constant(0.0))
        self.alpha, self.stabilized, self.dropout = alpha, stabilized, dropout

    @property
    def rank(self) -> int:
        """The width of the middle."""
        return self.A.shape[1]

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.stabilized else self.rank)

    def __call__(self, inner: Any, *inputs: Any) -> Tensor:
        (x,) = inputs
        return F.add_low_rank(inner(x), self.dropped(x), self.A, self.B, scale=self.scale)

    def dropped(self, x: Tensor) -> Tensor:
        """x with dropout, in a pass that draws random numbers."""
        rng = current_rng() if self.dropout else None
        return x if rng is None else F.dropout(x, rate=self.dropout, rng=rng)

    def delta(self) -> np.ndarray:
        """What is added to the matrix, (in, out)."""
        return (self.A.data * self.A.dtype.type(self.scale)) @ self.B.data

    def merged(self, base: Any) -> Any:
        """The base with the product added to its matrix."""
        return changed(base, lambda weight, bias: (weight + self.delta(), bias))


class LowRankRows(LowRank):
    """The same around an embedding: ids (...) -> (..., out), A holding a row a token. There is no dropout.

    A tied head goes on reading the rows as they were. At first A is zero and B normal, the other way round: then a
    token that was not trained on keeps its row.
    """

    def __init__(self, inputs: int, outputs: int, *, rng: np.random.Generator | None, **settings: Any) -> None:
        super().__init__(inputs, outputs, rng=None, **settings)
        rank = settings["rank"]
        self.A = parameter(rng, (inputs, rank), Constant(0.0))
        self.B = parameter(rng, (rank, outputs), Normal(1.0))

    def __call__(self, inner: Any, *inputs: Any) -> Tensor:
        (ids,) = inputs
        return inner(ids) + F.linear(F.embedding(self.A, ids), self.B) * self.scale
