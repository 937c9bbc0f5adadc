"""What a forward pass knows besides the activations, and what layers remember between steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..autograd import Tensor, concatenate, grad_enabled


@dataclass
class Context:
    """One forward pass. S counts the keys: those remembered (`offset`) and the T new ones.

    positions (B or 1, T): where each token stands in its document, for position schemes.
    key_bias (B, S) or None: added to every score of that key; -inf hides padding.
    segments (B, S) or None: document numbers; attention stays inside a document.
    prefix_length: keys before it are visible to all queries (a bidirectional context), an integer or (B,).
    rng: dropout's randomness; None (evaluation) switches dropout off.
    record: where attention maps and hidden states are collected on request, else None.
    """

    positions: np.ndarray
    offset: int = 0
    key_bias: np.ndarray | None = None
    segments: np.ndarray | None = None
    prefix_length: Any = None
    rng: np.random.Generator | None = None
    record: dict[str, list[np.ndarray]] | None = None


class Memory(Protocol):
    """What one mixer remembers of the tokens it has seen."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def select(self, rows: np.ndarray) -> None:
        """Keep these rows of the batch, in this order (repeats allowed)."""


class KeyValueCache:
    """The keys and values of all tokens so far, in buffers that double when full.

    The buffers are (B, K, capacity, D) for K key-value heads of width D.
    """

    def __init__(self) -> None:
        self.length = 0
        self._keys: np.ndarray | None = None
        self._values: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held (the buffers may be larger)."""
        return 0 if self._keys is None else 2 * self._keys[:, :, : self.length].nbytes

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (B, K, T, D) and return everything held, (B, K, S, D) each.

        When gradients are recorded they flow into the new keys and values; the remembered ones are constants.
        """
        start, end = self.length, self.length + keys.shape[2]
        if self._keys is None or end > self._keys.shape[2]:
            self._keys = self._grown(self._keys, keys.data, end)
            self._values = self._grown(self._values, values.data, end)
        assert self._values is not None
        self._keys[:, :, start:end] = keys.data
        self._values[:, :, start:end] = values.data
        self.length = end
        if grad_enabled() and (keys.requires_grad or values.requires_grad):
            past = Tensor(self._keys[:, :, :start].copy()), Tensor(self._values[:, :, :start].copy())
            return concatenate(past[0], keys, axis=2), concatenate(past[1], values, axis=2)
        return Tensor(self._keys[:, :, :end]), Tensor(self._values[:, :, :end])

    def _grown(self, buffer: np.ndarray | None, like: np.ndarray, needed: int) -> np.ndarray:
        batch, heads, _, dim = like.shape
        grown = np.empty((batch, heads, max(needed, 2 * self.length, 64), dim), like.dtype)
        if buffer is not None:
            grown[:, :, : self.length] = buffer[:, :, : self.length]
        return grown

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        self.length = min(self.length, length)

    def select(self, rows: np.ndarray) -> None:
        """Keep these rows of the batch, in this order."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]


@dataclass
class ModelMemory:
    """What a whole model remembers: one entry a layer, one memory a function in it, and which tokens were real."""

    layers: list[dict[str, Any]]
    batch_size: int
    length: int = 0
    mask: np.ndarray | None = None  # (B, length) of booleans; None: no token was padding

    def _parts(self) -> list[Memory]:
        return [memory for layer in self.layers for memory in layer.values() if memory is not None]

    @property
    def real_tokens(self) -> np.ndarray:
        """How many tokens of each row were not padding, (B, 1): the position of the next one."""
        if self.mask is None:
            return np.full((self.batch_size, 1), self.length)
        return self.mask.sum(axis=1, keepdims=True)

    @property
    def nbytes(self) -> int:
        """Bytes held by all layers."""
        return sum(memory.nbytes for memory in self._parts())

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a memory of {self.length} tokens to {length}")
        self.mask = None if self.mask is None else self.mask[:, :length]
        for memory in self._parts():
            memory.crop(length)
        self.length = length

    def select(self, rows: Any) -> None:
        """Keep these rows of the batch, in this order (repeats allowed)."""
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
            raise ValueError(f"rows must be a list of row numbers, not {rows.dtype}{rows.shape}")
        if rows.min() < 0 or rows.max() >= self.batch_size:
            raise ValueError(f"rows must lie in 0..{self.batch_size - 1}, got {rows.min()}..{rows.max()}")
        for memory in self._parts():
            memory.select(rows)
        self.batch_size = len(rows)
        self.mask = None if self.mask is None else self.mask[rows]
