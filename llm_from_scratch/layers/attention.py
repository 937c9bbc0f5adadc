"""Multi-head attention with all the settings of 2023: grouped key-value heads, rotary, slopes, windows.

Glossary: B batch, T new tokens, S keys (remembered and new), H query heads, K key-value heads, D width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from ..autograd import Tensor, no_grad
from ..kernels.token_attention import Attend
from ..kernels.token_matrices import NormStep, vector
from .basic import Linear, Norm, NormSpec
from .context import Context
from .described import Described
from .initialization import Normal
from .memory import KeyValueCache, RollingCache
from .module import Initializer, Module
from .one_token import End, Sketch
from .positions import Rotary, bfloat16_alibi
from .recording import Recording


@dataclass(frozen=True)
class AttentionSpec(Described):
    """softmax(q kᵀ · scale + mask) v, projected in and out.

    key_value_heads: fewer than heads is grouped-query, one is multi-query attention; query head a reads key-value head
    ⌊a / (heads / key_value_heads)⌋. slopes: ALiBi's m, one a head. window: a query sees the last `window` keys, itself
    included, and a memory holds no more. scale: 1/√head_dim unless given.

    Rarer: clip limits the entries of query, key and value; query_norm and key_norm act, by their size, on each head
    alone (Qwen3) or on all heads of a token together (MPT, OLMo 2), before the rotation. bfloat16_slopes: Falcon's
    ALiBi, which adds slope · position of the key, rounded to bfloat16, to q kᵀ before scaling. log_n: queries at
    position i (from 1) beyond this trained length are multiplied by log i / log log_n (Qwen). value_init: where values
    begin otherwise than queries and keys (DeepNorm).
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
    clip: float | None = None
    query_norm: NormSpec | None = None
    key_norm: NormSpec | None = None
    bfloat16_slopes: bool = False
    log_n: int | None = None
    init: Initializer = Normal(0.02)
    output_init: Initializer = Normal(0.02)
    value_init: Initializer | None = None

    _products: ClassVar[int] = 2  # what a query meets, and a memory keeps, for each token: its key and its value

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
        if self.bfloat16_slopes and self.slopes is None:
            raise ValueError("attention: bfloat16_slopes needs slopes")
        if self.clip is not None and not (self.clip > 0 and math.isfinite(self.clip)):
            raise ValueError(f"attention: clip must be a positive number, not {self.clip}")
        if self.log_n is not None and (not isinstance(self.log_n, int) or self.log_n < 2):
            raise ValueError(f"attention: log_n is a trained length of 2 tokens or more, not {self.log_n!r}")
        for name, heads in (("query_norm", self.heads), ("key_norm", self.key_value_heads)):
            norm, whole = getattr(self, name), heads * self.head_dim
            if norm is not None and norm.size not in (self.head_dim, whole):
                raise ValueError(
                    f"attention: {name} is over {norm.size} entries; a head has {self.head_dim}, all together {whole}"
                )

    def words(self) -> str:
        """Whose keys and values a head reads, and what is unusual.

        >>> AttentionSpec(64, 8, 2, 8, window=16).words()
        'grouped-query, window 16'
        """
        shared = "multi-query" if self.key_value_heads == 1 else "grouped-query"
        found = ["multi-head" if self.key_value_heads == self.heads else shared]
        found += [f"window {self.window}"] * (self.window is not None) + ["clipped"] * (self.clip is not None)
        if (norm := self.query_norm or self.key_norm) is not None:
            found.append("query-key norm" + " per head" * (norm.size == self.head_dim and self.heads > 1))
        return ", ".join([*found, *["log-n"] * (self.log_n is not None)])

    def positions(self) -> str:
        """By rotation, by slopes, or not at all."""
        found = [] if self.rotary is None else [self.rotary.words(self.head_dim)]
        return " + ".join([*found, *["ALiBi"] * (self.slopes is not None)])

    def sizes(self) -> dict[str, Any]:
        """Heads and window."""
        heads = {"heads": self.heads, "key-value heads": self.key_value_heads, "width of a head": self.head_dim}
        return heads | {"window": self.window or "none"}

    def biases(self) -> dict[str, bool]:
        """Of the four matrices."""
        return {"query, key, value": self.bias, "output": self.output_bias}

    def flops(self, length: int) -> int:
        """The four matrices, and the keys and values that queries meet."""
        return super().flops(length) + self.attention_flops(length)

    def attention_flops(self, length: int) -> int:
        """Scores and their use: the query at place i meets the i + 1 keys so far, or a window of them."""
        window = min(length, self.window or length)
        pairs = window * (window + 1) // 2 + (length - window) * window
        return 2 * self._products * self.heads * self.head_dim * pairs

    def memory_bytes(self, length: int) -> int:
        """Those of the keys and values, of the last tokens only where there is a window."""
        return 4 * self._products * self.key_value_heads * self.head_dim * min(length, self.window or length)

    cache_bytes = memory_bytes

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
        self.value = Linear(spec.hidden_size, keys, bias=spec.bias, init=spec.value_init or spec.init, rng=rng)
        self.query_norm = None if spec.query_norm is None else spec.query_norm.build(rng)
        self.key_norm = None if spec.key_norm is None else spec.key_norm.build(rng)
        self.output = Linear(queries, spec.hidden_size, bias=spec.output_bias, init=spec.output_init, rng=rng)

    def new_memory(self) -> KeyValueCache:
        """An empty cache; with a window, one that holds the window only."""
        rotary = self.spec.rotary if self.spec.rotary is not None and self.spec.rotary.stretch is not None else None
        if self.spec.window is None or not self.spec.causal:
            return KeyValueCache(rotary)
        return RollingCache(self.spec.window, rotary)

    def __call__(self, x: Tensor, memory: KeyValueCache | None, context: Context) -> Tensor:
        spec = self.spec
        batch, length, _ = x.shape

        def heads(project: Linear, count: int, norm: Norm | None = None) -> Tensor:
            """(B, count, T, D). Asked by type: an adapter, packed weights or a patch compute otherwise."""
            if type(project) is Linear and spec.clip is None and norm is None:
                return F.linear_heads(x, project.weight, project.bias, heads=count)
            y = project(x) if spec.clip is None else F.clip(project(x), limit=spec.clip)
            if norm is not None:
                y = norm(y.reshape(batch, length, -1, norm.spec.size))
            return y.reshape(batch, length, count, spec.head_dim).transpose(0, 2, 1, 3)

        if memory is None and self._is_plain():  # one product; with a memory tokens may be few, and joining dearer
            three = self.query, self.key, self.value
            arrays = *(linear.weight for linear in three), *(linear.bias for linear in three)
            q, k, v = F.queries_keys_values(x, *arrays, heads=spec.heads, key_value_heads=spec.key_value_heads)
        else:
            q = heads(self.query, spec.heads, self.query_norm)  # (B, H, T, D)
            k = heads(self.key, spec.key_value_heads, self.key_norm)  # (B, K, T, D)
            v = heads(self.value, spec.key_value_heads)
        if spec.rotary is not None:
            lengths = None if spec.rotary.stretch is None else context.lengths
            q, k = spec.rotary(q, context.positions, lengths), spec.rotary(k, context.positions, lengths)
        if spec.log_n is not None:
            q = q * self._log_n(context.positions, q.dtype)
        if memory is not None:
            k, v = memory.extend(k, v)
        held = k.shape[2]  # fewer than the context counts, where a memory rolls
        settings = {
            "causal": spec.causal,
            "scale": spec.scale or 1.0 / math.sqrt(spec.head_dim),
            "window": spec.window,
            "prefix_length": context.prefix_length,
            "segments": context.segments,
            "slopes": None if spec.bfloat16_slopes else spec.slopes,
            "key_bias": self._key_bias(context, held),
            "key_offset": held - length,
        }
        y = F.attention(q, k, v, **settings)  # (B, H, T, D)
        if context.record is not None:
            with no_grad():
                weights = F.attention_weights(q.data, k.data, **settings)
            y = record_attention(context.record, weights, v, y)
        return self.output(F.join_heads(y))

    def _is_plain(self) -> bool:
        """Whether query, key and value are nothing but products: no norm, no limit, no adapter, no packed weights."""
        spec = self.spec
        if spec.clip is not None or self.query_norm is not None or self.key_norm is not None:
            return False
        return type(self.query) is Linear and type(self.key) is Linear and type(self.value) is Linear

    def one_token(self, sketch: Sketch, x: np.ndarray, norm: NormStep | None, end: End) -> None:
        """Three products, the attention of one query, and a product."""
        spec = self.spec
        q, k, v = (sketch.product(x, linear, norm=norm) for linear in (self.query, self.key, self.value))
        sketch.add(q, k, v)
        cos, sin = (None, None) if spec.rotary is None else sketch.angles(spec.rotary)
        attend = Attend(
            q.out, k.out, v.out, vector(q.out.size), spec.heads, spec.key_value_heads,
            spec.scale or 1.0 / math.sqrt(spec.head_dim),
            0 if spec.rotary is None else spec.rotary.dims // 2,
            spec.rotary is not None and spec.rotary.interleaved,
            spec.clip or 0.0,
            None if self.query_norm is None else sketch.norm(self.query_norm),
            None if self.key_norm is None else sketch.norm(self.key_norm),
            None if spec.slopes is None else np.array(spec.slopes, np.float32),
            spec.bfloat16_slopes, cos=cos, sin=sin,
        )  # fmt: skip
        sketch.add(attend)
        sketch.remember(attend, self._place)
        sketch.add(sketch.product(attend.out, self.output, end.out, residual=end.residual, alpha=end.alpha))

    def _place(self, attend: Attend, memory: KeyValueCache, context: Context) -> None:
        spec = self.spec
        attend.keys, attend.values, start, stop = memory.place(spec.key_value_heads, spec.head_dim)
        attend.start, attend.stop = start if spec.window is None else max(start, stop - spec.window), stop
        if spec.log_n is not None:
            attend.factor = self._log_n(context.positions, np.dtype(np.float32)).item()
        if spec.bfloat16_slopes:
            attend.places = np.ascontiguousarray(context.key_positions[0, attend.start - stop :], np.int64)

    def _key_bias(self, context: Context, held: int) -> np.ndarray | None:
        """What is added to the scores of the last `held` keys: padding's -inf, and Falcon's ALiBi."""
        spec = self.spec
        bias = None if context.key_bias is None else context.key_bias[:, -held:]
        if not spec.bfloat16_slopes or spec.slopes is None:
            return bias
        alibi = bfloat16_alibi(spec.slopes, context.key_positions[:, -held:]) * (spec.scale or spec.head_dim**-0.5)
        return alibi if bias is None else alibi + bias[:, None]

    def _log_n(self, positions: np.ndarray, dtype: np.dtype) -> Tensor:
        """max(1, log i / log trained) for positions i counted from 1, (B or 1, 1, T, 1)."""
        factor = np.maximum(1.0, np.log(positions + 1.0) / math.log(self.spec.log_n or 2))
        return Tensor(factor[:, None, :, None].astype(dtype))


def record_attention(record: Recording, weights: np.ndarray, v: Tensor, y: Tensor) -> Tensor:
    """Keep attention weights (B, H, T, S); y = weights · v, joined to them where gradients are wanted."""
    if not record.gradients:
        record.note("attention", weights)
        return y
    groups = y.shape[1] // v.shape[1]
    return y + record.probe("attention", weights) @ (v if groups == 1 else v.repeat(groups, axis=1))
