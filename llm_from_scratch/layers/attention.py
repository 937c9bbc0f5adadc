"""Multi-head attention with all the settings of 2023: grouped key-value heads, rotary, slopes, windows.

Glossary: B batch, T new tokens, S keys (remembered and new), H query heads, K key-value heads, D width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from .basic import Linear
from .context import Context, KeyValueCache
from .initialization import Normal
from .module import Initializer, Module
from .positions import Rotary


@dataclass(frozen=True)
class AttentionSpec:
    """softmax(q kᵀ · scale + mask) v, projected in and out.

    key_value_heads: fewer than heads is grouped-query, one is multi-query attention; query head a reads key-value head
    ⌊a / (heads / key_value_heads)⌋. slopes: ALiBi's m, one a head. window: a query sees the last `window` keys, itself
    included. scale: 1/√head_dim unless given.
    """

    hidden_size: int
    heads: int
    key_value_heads: int
    head_dim: int
    bias: bool = False  # on query, key and value
    output_bias: bool = False
    rotary: Rotary | None = None
    slopes: tuple[float, ...] | None = None
    window: int | None = None
    scale: float | None = None
    causal: bool = True
    init: Initializer = Normal(0.02)
    output_init: Initializer = Normal(0.02)

    def __post_init__(self) -> None:
        for name in ("hidden_size", "heads", "key_value_heads", "head_dim"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"attention: {name} must be a positive integer, not {getattr(self, name)!r}")
        if self.heads % self.key_value_heads:
            raise ValueError(
                f"attention: {self.heads} query heads cannot be shared out among {self.key_value_heads} key-value heads"
            )
        if self.rotary is not None and self.rotary.dims > self.head_dim:
            raise ValueError(f"attention: rotary dims {self.rotary.dims} exceed the head's {self.head_dim}")
        if self.slopes is not None and len(self.slopes) != self.heads:
            raise ValueError(f"attention: {len(self.slopes)} slopes for {self.heads} heads")

    def build(self, rng: np.random.Generator | None) -> Attention:
        """The layer itself."""
        return Attention(self, rng)


class Attention(Module):
    """Applies its `AttentionSpec`: x (B, T, hidden) -> (B, T, hidden)."""

    def __init__(self, spec: AttentionSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        queries, keys = spec.heads * spec.head_dim, spec.key_value_heads * spec.head_dim
        self.query = Linear(spec.hidden_size, queries, bias=spec.bias, init=spec.init, rng=rng)
        self.key = Linear(spec.hidden_size, keys, bias=spec.bias, init=spec.init, rng=rng)
        self.value = Linear(spec.hidden_size, keys, bias=spec.bias, init=spec.init, rng=rng)
        self.output = Linear(queries, spec.hidden_size, bias=spec.output_bias, init=spec.output_init, rng=rng)

    def new_memory(self) -> KeyValueCache:
        """An empty cache."""
        return KeyValueCache()

    def __call__(self, x: Tensor, memory: KeyValueCache | None, context: Context) -> Tensor:
        spec = self.spec
        batch, length, _ = x.shape

        def heads(y: Tensor, count: int) -> Tensor:
            return y.reshape(batch, length, count, spec.head_dim).transpose(0, 2, 1, 3)

        q = heads(self.query(x), spec.heads)  # (B, H, T, D)
        k = heads(self.key(x), spec.key_value_heads)  # (B, K, T, D)
        v = heads(self.value(x), spec.key_value_heads)
        if spec.rotary is not None:
            q, k = spec.rotary(q, context.positions), spec.rotary(k, context.positions)
        if memory is not None:
            k, v = memory.extend(k, v)
        settings = {
            "causal": spec.causal,
            "scale": spec.scale or 1.0 / math.sqrt(spec.head_dim),
            "window": spec.window,
            "prefix_length": context.prefix_length,
            "segments": context.segments,
            "slopes": spec.slopes,
            "key_bias": context.key_bias,
            "key_offset": context.offset,
        }
        if context.record is not None:
            with no_grad():
                context.record.setdefault("attention", []).append(F.attention_weights(q.data, k.data, **settings))
        y = F.attention(q, k, v, **settings)  # (B, H, T, D)
        return self.output(y.transpose(0, 2, 1, 3).reshape(batch, length, spec.heads * spec.head_dim))
