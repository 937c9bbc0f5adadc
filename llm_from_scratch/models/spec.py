"""The design space: a `ModelSpec` is an embedding, a list of layers, a final norm and a head.

Every open model of 2023 is one point in it. A spec describes, it allocates nothing, and `Decoder(spec).parameter_count`
of a 70B model is instant, because without a generator parameters are placeholders. The parts stand beside the layers
they build (`AttentionSpec`, `FeedForwardSpec`, `NormSpec`, `LayerSpec`), and any dataclass with `.build(rng)` may take
the place of a mixer or a feed-forward part.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..layers import LayerSpec, Normal, NormSpec
from ..layers.block import FunctionSpec, is_feed_forward
from ..layers.described import Whole
from ..layers.module import Initializer


@dataclass(frozen=True)
class PositionTable:
    """Learned absolute positions: `count` of them, after `offset` rows that no token uses (OPT has 2)."""

    count: int
    offset: int = 0
    init: Initializer = Normal(0.02)


@dataclass(frozen=True)
class ModelSpec(Whole):
    """One language model.

    context_length: the longest sequence it was made for; only a position table enforces it.
    tied: the head is the embedding, transposed. head_bias: added to the logits (GPT-J, Phi).
    embedding_scale: the looked-up rows are multiplied by it, the head is not (Gemma: √hidden_size). embedding_norm:
    directly after the embedding (BLOOM). embedding_size: narrower (or wider) rows of the embedding and of the head,
    with a matrix between them and the layers (OPT-350M).
    embedding_gradient_scale: the gradient through the looked-up rows is multiplied by it; what a tied head sends to the
    same matrix is not (GLM-130B, against spikes of the loss).
    """

    vocab_size: int
    hidden_size: int
    layers: tuple[LayerSpec, ...]
    norm: NormSpec | None
    context_length: int
    tied: bool = True
    head_bias: bool = False
    positions: PositionTable | None = None
    embedding_norm: NormSpec | None = None
    embedding_size: int | None = None
    embedding_scale: float = 1.0
    embedding_dropout: float = 0.0
    embedding_gradient_scale: float = 1.0
    embedding_init: Initializer = Normal(0.02)
    head_init: Initializer = Normal(0.02)

    def __post_init__(self) -> None:
        for name in ("vocab_size", "hidden_size", "context_length", "embedding_size"):
            value = getattr(self, name)
            if value is None and name == "embedding_size":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
        if not 0.0 <= self.embedding_gradient_scale <= 1.0:
            raise ValueError(f"embedding_gradient_scale must lie in 0..1, not {self.embedding_gradient_scale}")
        if not 0.0 < self.embedding_scale < math.inf:
            raise ValueError(f"embedding_scale must be a positive number, not {self.embedding_scale}")
        if not self.layers:
            raise ValueError("a model needs at least one layer")

    @property
    def parts(self) -> Iterable[Any]:
        """Its layers."""
        return self.layers

    @property
    def mixers(self) -> tuple[Any, ...]:
        """The mixer of every layer, in order: what is not a feed-forward part."""
        return tuple(part for name, part in self._functions() if not is_feed_forward(name))

    @property
    def feed_forwards(self) -> tuple[Any, ...]:
        """The feed-forward part of every layer that has one."""
        return tuple(part for name, part in self._functions() if is_feed_forward(name))

    def _functions(self) -> Iterator[tuple[str, FunctionSpec]]:
        return (item for layer in self.layers for item in layer.functions.items())

    def flops(self, length: int) -> int:
        """Forward, of all `length` tokens of a sequence: the layers, the head, and projections of the embedding."""
        width = self.embedding_size or self.hidden_size
        outside = width * self.vocab_size + 2 * width * self.hidden_size * (self.embedding_size is not None)
        return super().flops(length) + 2 * length * outside

    def replace(self, **changes: Any) -> ModelSpec:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def scaled(self, *, layers: int | None = None, vocab_size: int | None = None) -> ModelSpec:
        """A copy with another depth (the layers repeated in order, or cut) or vocabulary."""
        depth = len(self.layers) if layers is None else layers
        if depth < 1:
            raise ValueError(f"a model needs at least one layer, not {depth}")
        repeated = tuple(self.layers[i % len(self.layers)] for i in range(depth))
        return self.replace(layers=repeated, vocab_size=vocab_size or self.vocab_size)
