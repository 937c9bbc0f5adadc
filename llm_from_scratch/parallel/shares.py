"""Who holds which piece: contiguous shares of equal size, or a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from .collectives import copy_to_ranks, gather_shards, scatter_sums, sum_over_ranks
from .communicator import Communicator


def share(size: int, comm: Communicator, what: str) -> slice:
    """This rank's piece of `size` things; ValueError where they cannot be shared out equally.

    >>> from types import SimpleNamespace
    >>> share(12, SimpleNamespace(rank=1, size=3), "heads")
    slice(4, 8, None)
    """
    if size % comm.size:
        raise ValueError(
            f"{size} {what} cannot be shared out equally among {comm.size} ranks: "
            f"use a number of ranks that divides {size}" + ", or pad the vocabulary" * ("vocabulary" in what)
        )
    each = size // comm.size
    return slice(comm.rank * each, (comm.rank + 1) * each)


def piece(parameter: Tensor, index: Any) -> Tensor:
    """A parameter that holds a copy of `parameter[index]`, and trains if that one does."""
    return Tensor(np.ascontiguousarray(parameter.data[index]), requires_grad=parameter.requires_grad)


def divisible(module: Any, kind: type) -> None:
    """Raise TypeError unless the module is of this kind: packed or adapted weights are not what they stand for."""
    if not isinstance(module, kind):
        raise TypeError(
            f"a {kind.__name__} can be divided among ranks, a {type(module).__name__} cannot: "
            "expand packed weights and merge adapters first"
        )


class Region:
    """Where ranks work on shares of the features: what happens to activations on the way in, and on the way out.

    by_sequence: outside, each rank holds a piece of the sequence (axis 1) instead of a copy of the whole. The way in is
    then an all-gather and the way out a reduce-scatter, which together send what one all-reduce sends; norms, dropout
    and residuals are computed once instead of once a rank, and kept once.
    """

    def __init__(self, comm: Communicator, by_sequence: bool = False) -> None:
        self.comm, self.by_sequence = comm, by_sequence

    def enter(self, x: Tensor) -> Tensor:
        """What all ranks need to see whole: (B, T, D) or, by sequence, (B, T / size, D) -> (B, T, D)."""
        return gather_shards(x, comm=self.comm, axis=1) if self.by_sequence else copy_to_ranks(x, comm=self.comm)

    def leave(self, x: Tensor) -> Tensor:
        """The ranks' summands: (B, T, D) -> their sum, or by sequence this rank's piece of it."""
        if not self.by_sequence:
            return sum_over_ranks(x, comm=self.comm)
        share(x.shape[1], self.comm, "tokens of a row")
        return scatter_sums(x, comm=self.comm, axis=1)

    def outside(self, parameter: Tensor) -> Tensor:
        """A parameter used outside of the region, of which every rank holds a copy.

        By sequence each rank uses it on tokens of its own, and its gradient is the sum over ranks.
        """
        return copy_to_ranks(parameter, comm=self.comm) if self.by_sequence else parameter
