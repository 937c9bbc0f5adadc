"""What a forward pass knows besides the activations: who sees whom, and what is collected on the way."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .recording import Recording


@dataclass(frozen=True)
class Visibility:
    """Who sees whom. S counts the keys: those remembered (`offset`) and the T new ones.

    positions (B or 1, T): where each token stands in its document, for position schemes.
    key_bias (B, S) or None: added to every score of that key; -inf hides padding.
    segments (B, S) or None: document numbers; attention stays inside a document.
    prefix_length: keys before it are visible to all queries (a bidirectional context), an integer or (B,).
    all_positions (B or 1, S): the positions of all keys; None where there are no others than the new ones.
    """

    positions: np.ndarray
    offset: int = 0
    key_bias: np.ndarray | None = None
    segments: np.ndarray | None = None
    prefix_length: Any = None
    all_positions: np.ndarray | None = None

    @property
    def key_positions(self) -> np.ndarray:
        """Where each key stands, (B or 1, S)."""
        return self.positions if self.all_positions is None else self.all_positions

    @functools.cached_property
    def consecutive(self) -> bool:
        """Whether tokens that may see each other are as far apart in the row as their positions say."""
        shift = self.key_positions - np.arange(self.key_positions.shape[1])
        batch = max(len(x) for x in (shift, self.key_bias, self.segments) if x is not None)
        shift = np.broadcast_to(shift, (batch, shift.shape[1]))
        real = np.ones(shift.shape, bool) if self.key_bias is None else ~np.isneginf(self.key_bias)
        for row in range(batch):
            mine = shift[row][real[row]]
            if self.segments is None:
                expected = mine[:1]
            else:
                _, first, number = np.unique(self.segments[row][real[row]], return_index=True, return_inverse=True)
                expected = mine[first][number]
            if (mine != expected).any():
                return False
        return True

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """How long the sequence (in packed rows: the document) of each new token is so far, (B or 1, T or 1)."""
        if self.segments is None:
            return self.key_positions.max(axis=1, keepdims=True) + 1
        lengths = np.empty(self.segments.shape, np.int64)
        for row, segments in enumerate(self.segments):
            _, number = np.unique(segments, return_inverse=True)
            longest = np.zeros(number.max() + 1, np.int64)
            np.maximum.at(longest, number, self.positions[row % len(self.positions)] + 1)
            lengths[row] = longest[number]
        return lengths

    @property
    def plain(self) -> bool:
        """Whether every token sees all before it and itself: no padding, documents or bidirectional prefix."""
        return self.key_bias is None and self.segments is None and self.prefix_length is None


@dataclass(frozen=True)
class Context(Visibility):
    """One forward pass: who sees whom, and besides

    rng: dropout's randomness; None (evaluation) switches dropout off.
    record: where attention maps and hidden states are collected on request, else None.
    auxiliary: where layers leave what a loss of their own needs (`layers.mixture.Routed`); None when nobody asks.
    """

    rng: np.random.Generator | None = None
    record: Recording | None = None
    auxiliary: list[Any] | None = None


_drawn_from: contextvars.ContextVar[np.random.Generator | None] = contextvars.ContextVar("drawn_from", default=None)


@contextlib.contextmanager
def drawing(rng: np.random.Generator | None) -> Iterator[None]:
    """Inside the block, and in this thread, `current_rng()` is `rng`: what dropout in a layer without a context needs.

    A linear layer is called with its input alone, and so is what takes its place.
    """
    token = _drawn_from.set(rng)
    try:
        yield
    finally:
        _drawn_from.reset(token)


def current_rng() -> np.random.Generator | None:
    """What the pass under way draws from; None, as in evaluation, switches dropout off."""
    return _drawn_from.get()


def real_tokens(context: Visibility, length: int) -> np.ndarray | None:
    """Which of the `length` new tokens are no padding, (B, T); None if all are. For layers that read left to right.

    ValueError for what a state cannot do: a bidirectional prefix, and skipping padding between real tokens.

    >>> hidden = Visibility(np.array([[0, 0, 1]]), key_bias=np.array([[-np.inf, 0.0, 0.0]]))
    >>> real_tokens(hidden, 3)
    array([[False,  True,  True]])
    """
    if context.prefix_length is not None and np.max(context.prefix_length) > 1:
        raise ValueError("a recurrent layer reads from left to right: it has no bidirectional prefix (prefix_length)")
    if context.key_bias is None:
        return None
    real = context.key_bias == 0
    gap = np.logical_or.accumulate(real, axis=1) & ~real  # padding behind a real token
    if (np.logical_or.accumulate(gap, axis=1) & real)[:, -length:].any():
        raise ValueError("a recurrent layer cannot skip padding between real tokens: fill up rows on the left")
    return real[:, -length:]
