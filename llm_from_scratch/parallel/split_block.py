"""Attention and the feed-forward part of a layer, divided among ranks: heads, and inner features.

Each is the plain module with narrower matrices. One exchange on the way in and one on the way out, forward as backward:
four of (B, T, hidden) in a layer and a step, whatever the layer computes in between.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from .. import functional as F
from ..autograd import Tensor
from ..layers import Attention, Block, Context, FeedForward, Linear, Module, Norm
from .collectives import copy_to_ranks
from .communicator import Communicator
from .shares import Region, divisible, piece, share
from .split_linear import ColumnLinear, RowLinear


class SplitFeedForward(Module):
    """A feed-forward part, gated or not, of which this rank holds a share of the inner features.

    x (B, T, hidden) -> (B, T, hidden); by sequence both are pieces of a row.
    """

    def __init__(self, plain: FeedForward, comm: Communicator, *, by_sequence: bool = False) -> None:
        inner = share(plain.spec.intermediate_size, comm, "inner features")
        self.region = Region(comm, by_sequence)
        self.part = FeedForward(dataclasses.replace(plain.spec, intermediate_size=inner.stop - inner.start), None)
        for name in ("gate", "up"):
            if hasattr(plain, name):
                setattr(self.part, name, ColumnLinear(getattr(plain, name), comm, entered=True))
        self.part.down = RowLinear(plain.down, comm, by_sequence=by_sequence)  # type: ignore[assignment]

    def new_memory(self) -> None:
        """Nothing to remember."""

    def __call__(self, x: Tensor, memory: Any, context: Context) -> Tensor:
        return self.part(self.region.enter(x), memory, context)


class SplitAttention(Module):
    """Attention of which this rank computes a share of the heads: x (B, T, hidden) -> (B, T, hidden).

    Where there are fewer key-value heads than ranks (multi-query attention), their matrices stand whole on every rank,
    and each computes the one key-value head that its queries read. A memory holds the keys and values of its own heads.

    Raises ValueError where heads cannot be shared out, and for a norm over all heads of a token (MPT, OLMo 2), whose
    root mean square no rank can know alone.
    """

    def __init__(self, plain: Attention, comm: Communicator, *, by_sequence: bool = False) -> None:
        spec = plain.spec
        heads = share(spec.heads, comm, "heads")
        copied = spec.key_value_heads < comm.size
        if copied and comm.size % spec.key_value_heads:
            raise ValueError(
                f"{comm.size} ranks cannot share {spec.key_value_heads} key-value heads equally: "
                f"use a divisor or a multiple of {spec.key_value_heads} ranks"
            )
        keys = slice(0, 1) if copied else share(spec.key_value_heads, comm, "key-value heads")
        for name in ("query_norm", "key_norm"):
            norm = getattr(spec, name)
            if norm is not None and norm.size != spec.head_dim:
                raise ValueError(f"{name} is over all heads of a token together, and a rank holds only some of them")
        self.region = Region(comm, by_sequence)
        mine: dict[str, Any] = {"heads": heads.stop - heads.start, "key_value_heads": keys.stop - keys.start}
        mine["slopes"] = None if spec.slopes is None else tuple(spec.slopes[heads])
        self.part = part = Attention(dataclasses.replace(spec, **mine), None)
        part.query = ColumnLinear(plain.query, comm, entered=True)  # type: ignore[assignment]
        for name in ("key", "value"):
            whole = getattr(plain, name)
            if copied:
                one = comm.rank * spec.key_value_heads // comm.size
                made: Module = SharedColumns(whole, comm, slice(one * spec.head_dim, (one + 1) * spec.head_dim))
            else:
                made = ColumnLinear(whole, comm, entered=True)
            setattr(part, name, made)
        part.output = RowLinear(plain.output, comm, by_sequence=by_sequence)  # type: ignore[assignment]
        for name in ("query_norm", "key_norm"):
            if getattr(plain, name) is not None:
                setattr(part, name, Shared(getattr(plain, name), comm))

    def new_memory(self) -> Any:
        """An empty memory for the heads of this rank."""
        return self.part.new_memory()

    def __call__(self, x: Tensor, memory: Any, context: Context) -> Tensor:
        return self.part(self.region.enter(x), memory, context)


class SharedColumns(Module):
    """A matrix that every rank holds whole and uses some columns of: x (..., in) -> (..., columns)."""

    def __init__(self, plain: Linear, comm: Communicator, columns: slice) -> None:
        divisible(plain, Linear)
        self.comm, self.columns = comm, columns
        self.weight = piece(plain.weight, ...)
        self.bias = None if plain.bias is None else piece(plain.bias, ...)

    def __call__(self, x: Tensor) -> Tensor:
        weight = copy_to_ranks(self.weight, comm=self.comm)[:, self.columns]
        bias = None if self.bias is None else copy_to_ranks(self.bias, comm=self.comm)[self.columns]
        return F.linear(x, weight, bias)


class Shared(Module):
    """A norm of which every rank holds a copy and each uses it on tokens, or heads, of its own.

    The gradient of a parameter that ranks use on different things is the sum of theirs: f, applied to weights.
    """

    def __init__(self, plain: Norm, comm: Communicator) -> None:
        self.comm, self.spec = comm, plain.spec
        self.norm = copy.copy(plain)
        for name, parameter in plain.named_parameters():
            setattr(self.norm, name, piece(parameter, ...))

    def __call__(self, x: Tensor) -> Tensor:
        norm = copy.copy(self.norm)
        for name, parameter in self.norm.named_parameters():
            setattr(norm, name, copy_to_ranks(parameter, comm=self.comm))
        return norm(x)


def split_layers(model: Module, comm: Communicator, *, by_sequence: bool = False) -> list[str]:
    """Divide every attention and feed-forward part below `model` among ranks, in place; the paths of those divided.

    Each rank calls it with a model of its own that holds the same weights. by_sequence: layers take and give pieces of
    the sequence, and norms are shared; ValueError for a layer with other parts, which would have to see it whole.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> import numpy as np
    >>> from llm_from_scratch.layers import FeedForwardSpec
    >>> def work(ranks):
    ...     layer = FeedForward(FeedForwardSpec(8, 32), np.random.default_rng(0))
    ...     model = Module()
    ...     model.feed_forward = layer
    ...     return split_layers(model, ranks), layer.parameter_count, model.parameter_count
    >>> run_ranks(2, work)[0]                          # halves of two matrices and of one bias; the other bias is whole
    (['feed_forward'], 552, 280)
    """
    made = {Attention: SplitAttention, FeedForward: SplitFeedForward}
    if by_sequence:
        parts = [(path, part) for path, part in model.named_modules() if hasattr(part, "new_memory")]
        other = [path for path, part in parts if not isinstance(part, (Block, *made))]
        if other:
            raise ValueError(f"{other[0]} needs the whole sequence: only attention and feed-forward parts are divided")

    def divided(plain: Any) -> Module:
        if isinstance(plain, Norm):
            return Shared(plain, comm)
        return made[type(plain)](plain, comm, by_sequence=by_sequence)

    kinds = (*made, Norm) if by_sequence else tuple(made)
    return model.replace(lambda path, part: type(part) in kinds, divided)
