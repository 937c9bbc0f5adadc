"""Multi-head attention with Transformer-XL's relative positions: what Gopher and Chinchilla used.

A sinusoid of each distance between query and key is projected by a matrix of the layer's own, and two learned vectors a
head take the place of the query's own position: `content_bias` (the paper's u) and `position_bias` (v). Nothing is
added to the embedding. The paper's recurrence over segments is the memory that generation has anyway.

Source: Dai et al. 2019, arXiv:1901.02860; Rae et al. 2021, arXiv:2112.11446.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, grad_enabled, no_grad
from ..kernels.token_attention import Attend
from ..kernels.token_matrices import NormStep, vector
from .attention import AttentionSpec, record_attention
from .basic import Linear
from .context import Context
from .memory import KeyValueCache
from .module import Module, parameter
from .one_token import End, Sketch


@dataclass(frozen=True)
class RelativeAttentionSpec(AttentionSpec):
    """An attention whose positions are the distances between tokens; every head has keys and values of its own.

    Of the other settings it knows the sizes, the biases, the scale and the initialisers.
    """

    _products = 3  # the projected distance too

    def positions(self) -> str:
        """By the distance between two tokens."""
        return "relative"

    def __post_init__(self) -> None:
        super().__post_init__()
        default = AttentionSpec(1, 1, 1, 1)
        others = ("rotary", "slopes", "window", "causal", "clip", "query_norm", "key_norm", "bfloat16_slopes", "log_n")
        for name in others:
            if getattr(self, name) != getattr(default, name):
                raise ValueError(f"relative attention: the setting {name} is not known here; leave it away")
        if self.key_value_heads != self.heads:
            raise ValueError(f"relative attention: {self.heads} heads cannot share {self.key_value_heads} keys")
        if self.hidden_size % 2:
            raise ValueError(f"relative attention: pairs of sine and cosine need an even width, not {self.hidden_size}")

    def build(self, rng: np.random.Generator | None) -> Any:
        """The layer itself."""
        return RelativeAttention(self, rng)


class RelativeCache(KeyValueCache):
    """Keys and values, and the projected distances, which belong to the layer: they are the same for all rows."""

    def __init__(self) -> None:
        super().__init__()
        self._distances: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held, and of the projected distances."""
        return super().nbytes + (0 if self._distances is None else self._distances[:, : self.length].nbytes)

    def distances(self, count: int, project: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """Rows 0 … count - 1 or more of the projected distances (H, ·, D); project(a, b) makes those from a to b."""
        held = 0 if self._distances is None else self._distances.shape[1]
        if held < count:
            new = project(held, max(count, 2 * held))  # twice as many: a row at a time would copy all each time
            both = [new] if self._distances is None else [self._distances, new]
            self._distances = np.ascontiguousarray(np.concatenate(both, axis=1))
        assert self._distances is not None
        return self._distances


class RelativeAttention(Module):
    """Applies its `RelativeAttentionSpec`: x (B, T, hidden) -> (B, T, hidden)."""

    def __init__(self, spec: RelativeAttentionSpec, rng: np.random.Generator | None) -> None:
        self.spec = spec
        width, linear = spec.heads * spec.head_dim, functools.partial(Linear, rng=rng)
        self.query = linear(spec.hidden_size, width, bias=spec.bias, init=spec.init)
        self.key = linear(spec.hidden_size, width, bias=spec.bias, init=spec.init)
        self.value = linear(spec.hidden_size, width, bias=spec.bias, init=spec.value_init or spec.init)
        self.distance = linear(spec.hidden_size, width, bias=False, init=spec.init)
        self.content_bias = parameter(rng, (width,), spec.init)
        self.position_bias = parameter(rng, (width,), spec.init)
        self.output = linear(width, spec.hidden_size, bias=spec.output_bias, init=spec.output_init)

    def new_memory(self) -> RelativeCache:
        """An empty cache."""
        return RelativeCache()

    def __call__(self, x: Tensor, memory: RelativeCache | None, context: Context) -> Tensor:
        spec = self.spec
        batch, length, _ = x.shape
        if context.prefix_length is not None:
            raise ValueError("relative attention looks back only: it has no bidirectional prefix (prefix_length)")
        if not context.consecutive:
            raise ValueError(
                "relative attention counts distances in places of the row: the tokens of a document must be neighbours "
                "in the order of their positions, with padding before or behind them only"
            )

        def heads(y: Tensor) -> Tensor:
            return y.reshape(batch, length, spec.heads, spec.head_dim).transpose(0, 2, 1, 3)

        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        if memory is not None:
            k, v = memory.extend(k, v)
        seen = k.shape[2]
        if memory is None or (grad_enabled() and any(p.requires_grad for p in self.distance.parameters())):
            relative = self._distances(0, seen, x.dtype)
        else:
            relative = Tensor(memory.distances(seen, lambda a, b: self._distances(a, b, x.dtype).data))
        biases = [bias.reshape(spec.heads, spec.head_dim) for bias in (self.content_bias, self.position_bias)]
        settings: dict[str, Any] = {"scale": spec.scale, "key_offset": seen - length}
        settings |= {"key_bias": context.key_bias, "segments": context.segments}
        y = F.relative_attention(q, k, v, relative, *biases, **settings)
        if context.record is not None:
            with no_grad():
                ones = np.broadcast_to(np.eye(seen, dtype=x.dtype), (batch, spec.heads, seen, seen))
                weights = F.relative_attention(q, k, ones, relative, *biases, **settings)
            y = record_attention(context.record, np.ascontiguousarray(weights.data), v, y)
        return self.output(y.transpose(0, 2, 1, 3).reshape(batch, length, spec.heads * spec.head_dim))

    def one_token(self, sketch: Sketch, x: np.ndarray, norm: NormStep | None, end: End) -> None:
        """Three products, the attention of one query, and a product."""
        spec = self.spec
        q, k, v = (sketch.product(x, linear, norm=norm) for linear in (self.query, self.key, self.value))
        sketch.add(q, k, v)
        biases = sketch.array(self.content_bias), sketch.array(self.position_bias)
        sizes = spec.heads, spec.heads, spec.scale or spec.head_dim**-0.5
        attend = Attend(q.out, k.out, v.out, vector(q.out.size), *sizes, biases=biases)
        sketch.add(attend)
        sketch.remember(attend, self._place)
        sketch.add(sketch.product(attend.out, self.output, end.out, residual=end.residual, alpha=end.alpha))

    def _place(self, attend: Attend, memory: RelativeCache, context: Context) -> None:
        attend.keys, attend.values, attend.start, attend.stop = memory.place(self.spec.heads, self.spec.head_dim)
        kind = np.dtype(np.float32)
        attend.distances = memory.distances(attend.stop, lambda a, b: self._distances(a, b, kind).data)

    def _distances(self, first: int, last: int, dtype: np.dtype) -> Tensor:
        """The projected distances first … last - 1, (H, ·, D)."""
        made = self.distance(Tensor(sinusoids(first, last, self.spec.hidden_size, np.dtype(dtype).char)))
        return made.reshape(last - first, self.spec.heads, self.spec.head_dim).transpose(1, 0, 2)


@functools.lru_cache(maxsize=8)
def sinusoids(first: int, last: int, width: int, dtype: str = "d") -> np.ndarray:
    """The embedding of the distances first … last - 1: width/2 sines of falling frequency, then their cosines.

    >>> sinusoids(0, 3, 2).round(4)                             # one pair: sin and cos of 0, 1 and 2 radians
    array([[ 0.    ,  1.    ],
           [ 0.8415,  0.5403],
           [ 0.9093, -0.4161]])
    """
    angles = np.arange(first, last)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(dtype)
    table.flags.writeable = False
    return table
