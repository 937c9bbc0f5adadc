"""Attention of one new token over what is remembered, as a part of a step; compiled: `compiled.token_attention`."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from .token_matrices import Lowering, NormStep, address
from .token_steps import Part


@dataclass(eq=False)
class Attend(Part):
    """softmax(q kᵀ · scale + mask) v for one token: q (H · D), k and v (K · D) as projected -> out (H · D).

    Bound for each token: `memory`, which has room for the new key and value; `cos` and `sin` (pairs,); `factor`, of the
    scores; `places` (S,), where keys stand, for slopes in bfloat16; `distances` (H, ·, D) for relative positions.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    out: np.ndarray
    heads: int
    groups: int
    scale: float
    pairs: int = 0
    interleaved: bool = False
    clip: float = 0.0
    query_norm: NormStep | None = None
    key_norm: NormStep | None = None
    slopes: np.ndarray | None = None
    bfloat16_slopes: bool = False
    biases: tuple[np.ndarray, np.ndarray] | None = None  # of content and position, with `distances`
    keys: Any = None
    values: Any = None
    start: int = 0
    stop: int = 0
    cos: Any = None
    sin: Any = None
    factor: float = 1.0
    places: Any = None
    distances: Any = None
    known: Any = None  # a weak reference to the keys whose address was told last

    code = 1

    @property
    def shares(self) -> int:
        """One a head."""
        return self.heads

    def _turned(self, x: np.ndarray) -> np.ndarray:
        if not self.pairs:
            return x
        step, half = (2, 1) if self.interleaved else (1, self.pairs)
        a, b = x[:, 0 : 2 * self.pairs : step][:, : self.pairs], x[:, half : half + 2 * self.pairs : step]
        b = b[:, : self.pairs]
        y = x.copy()
        y[:, 0 : 2 * self.pairs : step][:, : self.pairs] = a * self.cos - b * self.sin
        y[:, half : half + 2 * self.pairs : step][:, : self.pairs] = b * self.cos + a * self.sin
        return y

    def formula(self) -> None:
        """As the class says."""
        parts = [np.clip(y, -self.clip, self.clip) if self.clip else y for y in (self.q, self.k, self.v)]
        for i, norm in enumerate((self.query_norm, self.key_norm)):
            if norm is not None:
                parts[i] = norm.formula(parts[i].reshape(-1, norm.size)).reshape(-1)
        q, k, v = (y.reshape(count, -1) for y, count in zip(parts, (self.heads, self.groups, self.groups)))
        q, k, each = self._turned(q), self._turned(k), self.heads // self.groups
        self.keys[0, :, self.stop - 1], self.values[0, :, self.stop - 1] = k, v
        keys, values = (np.repeat(y[0, :, self.start : self.stop], each, axis=0) for y in (self.keys, self.values))
        behind = np.arange(self.stop - self.start)[::-1].astype(np.float32)  # how far back each key lies
        if self.biases is None:
            scores = np.einsum("hd,hsd->hs", q, keys)
        else:
            content, place = (q + bias.reshape(q.shape) for bias in self.biases)
            relative = self.distances[:, : len(behind)][:, ::-1]
            scores = np.einsum("hd,hsd->hs", content, keys) + np.einsum("hd,hsd->hs", place, relative)
        scores = scores * np.float32(self.scale * self.factor)
        if self.slopes is not None and self.bfloat16_slopes:
            rounded = self.slopes.astype(ml_dtypes.bfloat16)[:, None] * self.places[None].astype(ml_dtypes.bfloat16)
            scores = scores + rounded.astype(np.float32) * np.float32(self.scale)
        elif self.slopes is not None:
            scores = scores - self.slopes[:, None] * behind
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        self.out[:] = np.einsum("hs,hsd->hd", p, values).reshape(-1)

    def row(self, lowering: Lowering) -> tuple[list[int], list[float]]:
        """See `compiled.token_attention.attend`; what is bound for each token is `bound`."""
        norms = [-1 if norm is None else lowering.norm(norm) for norm in (self.query_norm, self.key_norm)]
        biases = (0, 0) if self.biases is None else tuple(map(address, self.biases))
        words = [*map(address, (self.q, self.k, self.v)), self.heads, self.groups, self.q.size // self.heads]
        words += [0] * 5 + [
            address(self.cos),
            address(self.sin),
            self.pairs,
            int(self.interleaved),
            *norms,
            address(self.slopes),
            int(self.bfloat16_slopes),
        ]
        return [*words, 0, 0, address(self.out), 0, 0, *biases], [self.scale, self.clip, 1.0]

    def bind(self, row: np.ndarray, numbers: np.ndarray) -> None:
        """Tell what is bound for this token, but for `start` and `stop`. The memory is not held beyond it."""
        if self.known is None or self.known() is not self.keys:
            row[9:12] = address(self.keys), address(self.values), self.keys.shape[2] * self.keys.shape[3]
            self.known = weakref.ref(self.keys)
        if numbers[2] != self.factor:
            numbers[2] = self.factor
        if self.distances is not None:
            row[25:27] = address(self.distances), self.distances.shape[1] * self.distances.shape[2]
        if self.places is not None:
            row[22] = address(self.places)
