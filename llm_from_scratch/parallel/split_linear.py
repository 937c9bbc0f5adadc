"""A matrix divided among ranks: by columns, so that each computes some of the outputs, or by rows, some of the sum.

Columns then rows is the pair that needs no exchange in between: whatever acts entry by entry, or head by head, stands
between them. Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3.
"""

from __future__ import annotations

from .. import functional as F
from ..autograd import Tensor
from ..layers import Linear, Module
from .communicator import Communicator
from .shares import Region, divisible, piece, share


class ColumnLinear(Module):
    """This rank's columns of a linear layer: x (..., in), the same on all ranks -> (..., out / size).

    entered: x comes from `Region.enter` already, as where several matrices read the same x.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> import numpy as np
    >>> plain = Linear(3, 4, rng=np.random.default_rng(0))
    >>> run_ranks(2, lambda ranks: ColumnLinear(plain, ranks)(Tensor(np.ones((5, 3), np.float32))).shape)
    [(5, 2), (5, 2)]
    """

    def __init__(self, plain: Linear, comm: Communicator, *, by_sequence: bool = False, entered: bool = False) -> None:
        divisible(plain, Linear)
        columns = share(plain.weight.shape[1], comm, "columns")
        self.region = None if entered else Region(comm, by_sequence)
        self.weight = piece(plain.weight, (slice(None), columns))
        self.bias = None if plain.bias is None else piece(plain.bias, columns)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x if self.region is None else self.region.enter(x), self.weight, self.bias)


class RowLinear(Module):
    """This rank's rows of a linear layer: x (..., in / size), this rank's features -> (..., out), summed over ranks.

    The bias is whole on every rank, and added once, to the sum.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> import numpy as np
    >>> plain = Linear(4, 3, rng=np.random.default_rng(0))
    >>> run_ranks(2, lambda ranks: RowLinear(plain, ranks)(Tensor(np.ones((5, 2), np.float32))).shape)
    [(5, 3), (5, 3)]
    """

    def __init__(self, plain: Linear, comm: Communicator, *, by_sequence: bool = False) -> None:
        divisible(plain, Linear)
        self.region = Region(comm, by_sequence)
        self.weight = piece(plain.weight, share(plain.weight.shape[0], comm, "rows of a matrix"))
        self.bias = None if plain.bias is None else piece(plain.bias, ...)

    def __call__(self, x: Tensor) -> Tensor:
        y = self.region.leave(F.linear(x, self.weight))
        return y if self.bias is None else y + self.region.outside(self.bias)
