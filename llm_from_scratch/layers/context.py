"""What a forward pass knows besides the activations, and what layers remember between steps."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..autograd import Tensor, concatenate, grad_enabled
from .positions import Rotary


@dataclass
class Context:
    """One forward pass. S counts the keys: those remembered (`offset`) and the T new ones.

    positions (B or 1, T): where each token stands in its document, for position schemes.
    key_bias (B, S) or None: added to every score of that key; -inf hides padding.
    segments (B, S) or None: document numbers; attention stays inside a document.
    prefix_length: keys before it are visible to all queries (a bidirectional context), an integer or (B,).
    rng: dropout's randomness; None (evaluation) switches dropout off.
    record: where attention maps and hidden states are collected on request, else None.
    auxiliary: where layers leave what a loss of their own needs (`layers.mixture.Routed`); None when nobody asks.
    all_positions (B or 1, S): the positions of all keys; None where there are no others than the new ones.
    """

    positions: np.ndarray
    offset: int = 0
    key_bias: np.ndarray | None = None
    segments: np.ndarray | None = None
    prefix_length: Any = None
    rng: np.random.Generator | None = None
    record: dict[str, list[np.ndarray]] | None = None
    auxiliary: list[Any] | None = None
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


class Memory(Protocol):
    """What one mixer remembers of the tokens it has seen.

    It may also have `shortest`: the fewest tokens (besides none) that crop can go back to, where it forgets on the way;
    and `outlived(before, after)`: whether it no longer holds once sequences of lengths `before` have lengths `after`.
    """

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def select(self, rows: np.ndarray) -> None:
        """Keep these rows of the batch, in this order (repeats allowed)."""


class KeyValueCache:
    """The keys and values of all tokens so far, in buffers that double when full.

    The buffers are (B, K, capacity, D) for K key-value heads of width D. rotary: what the keys were turned by, if so.
    """

    def __init__(self, rotary: Rotary | None = None) -> None:
        self.length = 0
        self.rotary = rotary
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

    def outlived(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether the keys were turned by other angles than sequences of lengths `after` ask for."""
        return self.rotary is not None and self.rotary.changes(before, after)

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


class RollingCache(KeyValueCache):
    """The last keys and values only, all that a window of `window` tokens can still see.

    Between steps it holds window - 1 of them, and up to UNDO of those that the latest step added beyond these, so that
    `crop` can take that step back. Keys keep the angles of their absolute positions; what is forgotten is only which
    tokens came before. The buffer is filled to its end, then its tail moves to the front: one copy every window tokens.

    Source: Jiang et al. 2023, arXiv:2310.06825, section 2 (there slot = position mod window).
    """

    UNDO = 32

    def __init__(self, window: int, rotary: Rotary | None = None) -> None:
        super().__init__(rotary)
        self.window = window
        self._start = self._stop = 0  # columns in use

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held (the buffers may be larger)."""
        return 0 if self._keys is None else 2 * self._keys[:, :, self._start : self._stop].nbytes

    @property
    def shortest(self) -> int:
        """Crop goes back to 0, or to this many tokens and more: the window before the cut must still be here."""
        forgotten = self.length - (self._stop - self._start)
        return forgotten + self.window - 1 if forgotten else 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (B, K, T, D) and return the new ones behind the up to window - 1 before them."""
        past, new = min(self._stop - self._start, self.window - 1), keys.shape[2]
        older = slice(self._stop - past, self._stop)
        recording = grad_enabled() and (keys.requires_grad or values.requires_grad)
        if recording or new > self.UNDO:
            found = keys, values
            if past and self._keys is not None and self._values is not None:
                before = Tensor(self._keys[:, :, older].copy()), Tensor(self._values[:, :, older].copy())
                found = concatenate(before[0], keys, axis=2), concatenate(before[1], values, axis=2)
            kept = min(past + new, self.window - 1 + self.UNDO)
            self._start = self._stop = 0
            self._append(found[0].data[:, :, past + new - kept :], found[1].data[:, :, past + new - kept :], 0)
        else:
            self._append(keys.data, values.data, past)
            assert self._keys is not None and self._values is not None
            held = slice(self._start, self._stop)
            found = Tensor(self._keys[:, :, held]), Tensor(self._values[:, :, held])
        self.length += new
        return found

    def _append(self, keys: np.ndarray, values: np.ndarray, past: int) -> None:
        """Put them behind the last `past` of those held, which move to the front when the buffer is full."""
        needed, full = past + keys.shape[2], 2 * (self.window + self.UNDO)
        capacity = 0 if self._keys is None else self._keys.shape[2]
        if self._keys is None or self._values is None or self._stop + keys.shape[2] > capacity:
            if needed > capacity or (capacity < full and self._stop + keys.shape[2] > capacity):
                capacity = max(needed, min(full, max(64, 2 * capacity)))
            older = slice(self._stop - past, self._stop)
            self._keys = self._moved(self._keys, older, keys, capacity)
            self._values = self._moved(self._values, older, values, capacity)
            self._stop = past
        new = slice(self._stop, self._stop + keys.shape[2])
        self._keys[:, :, new], self._values[:, :, new] = keys, values
        self._start, self._stop = new.start - past, new.stop

    def _moved(self, buffer: np.ndarray | None, older: slice, like: np.ndarray, capacity: int) -> np.ndarray:
        batch, heads, _, dim = like.shape
        if buffer is None:
            return np.empty((batch, heads, capacity, dim), like.dtype)
        moved = buffer if buffer.shape[2] == capacity else np.empty((batch, heads, capacity, dim), like.dtype)
        moved[:, :, : older.stop - older.start] = buffer[:, :, older].copy()
        return moved

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens; ValueError where the window before them is no longer held."""
        if length >= self.length:
            return
        if length and length < self.shortest:
            raise ValueError(
                f"this memory holds the last {self._stop - self._start} of {self.length} tokens, a window needs "
                f"{self.window - 1} before the next: it can go back to {self.shortest} tokens or more, or to 0; "
                f"not to {length}"
            )
        self._stop = self._start if length == 0 else self._stop - (self.length - length)
        self.length = length


@dataclass
class ModelMemory:
    """What a whole model remembers: one entry a layer, one memory a function in it, and which tokens were real."""

    layers: list[dict[str, Any]]
    batch_size: int
    length: int = 0
    mask: np.ndarray | None = None  # (B, length) of booleans; None: no token was padding
    positions: np.ndarray | None = None  # (B or 1, length), of all tokens so far
    ids: np.ndarray | None = None  # (B, length), kept where the sequence may have to be run again
    run_lengths: np.ndarray | None = None  # (B or 1, 1), how long the rows were when the layers last ran
    packed: bool = False  # whether a row holds several documents

    def _parts(self) -> list[Memory]:
        return [memory for layer in self.layers for memory in layer.values() if memory is not None]

    @property
    def real_tokens(self) -> np.ndarray:
        """How many tokens of each row were not padding, (B, 1): the position of the next one."""
        if self.mask is None:
            return np.full((self.batch_size, 1), self.length)
        return self.mask.sum(axis=1, keepdims=True)

    @property
    def keeps_keys(self) -> bool:
        """Whether a layer attends to the tokens held, one by one; else all of them keep states only."""
        return any(isinstance(memory, KeyValueCache) for memory in self._parts())

    @property
    def nbytes(self) -> int:
        """Bytes held by all layers."""
        return sum(memory.nbytes for memory in self._parts())

    def admit(self, ids: np.ndarray, context: Context) -> tuple[np.ndarray, Context]:
        """Note the tokens ids (B, T) that a forward pass is about to add, and say what that pass has to run.

        Usually these ids, in this context (which learns the positions of the remembered keys). But where what the
        layers remember does not hold any longer, because a rotary base rises with the length, they forget it, and the
        whole sequence is to be run again: every output is then what a run without memory gives.
        """
        past, new = self.positions, context.positions
        if past is not None and self.length:
            rows = max(len(past), len(new))
            new = np.concatenate([np.broadcast_to(p, (rows, p.shape[1])) for p in (past, new)], axis=1)
        self.positions = context.all_positions = new
        if not any(getattr(memory, "rotary", None) is not None for memory in self._parts()):
            return ids, context
        before, after = self.run_lengths, new.max(axis=1, keepdims=True) + 1
        self.ids = ids if self.ids is None or not self.length else np.concatenate([self.ids, ids], axis=1)
        self.run_lengths = after
        outlived = before is not None and any(
            memory.outlived(before, after) for memory in self._parts() if isinstance(memory, KeyValueCache)
        )
        if not self.length or not outlived:
            return ids, context
        if context.prefix_length is not None:
            raise ValueError("a memory whose rotary base has changed cannot take up a bidirectional prefix again")
        for memory in self._parts():
            memory.crop(0)
        self.length = 0
        return self.ids, dataclasses.replace(context, positions=new, offset=0)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens.

        ValueError, and nothing is changed, for a length that was not reached or that a layer cannot go back to.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a memory of {self.length} tokens to {length}")
        shortest = max((getattr(memory, "shortest", 0) for memory in self._parts()), default=0)
        if 0 < length < min(shortest, self.length):
            raise ValueError(
                f"cannot crop a memory of {self.length} tokens to {length}: a layer has forgotten what it would need; "
                f"it can go back to {shortest} tokens or more, or to 0. Run the first {length} tokens again instead"
            )
        self.mask = None if self.mask is None else self.mask[:, :length]
        self.positions = None if self.positions is None else self.positions[:, :length]
        self.ids = None if self.ids is None else self.ids[:, :length]
        for memory in self._parts():
            memory.crop(length)
        self.length, self.packed = length, self.packed and length > 0

    def select(self, rows: Any) -> None:
        """Keep these rows of the batch, in this order (repeats allowed)."""
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
            raise ValueError(f"rows must be a list of row numbers, not {rows.dtype}{rows.shape}")
        if rows.min() < 0 or rows.max() >= self.batch_size:
            raise ValueError(f"rows must lie in 0..{self.batch_size - 1}, got {rows.min()}..{rows.max()}")
        for memory in self._parts():
            memory.select(rows)
        several, self.batch_size = self.batch_size > 1, len(rows)
        for name in ("mask", "positions", "ids", "run_lengths"):
            array = getattr(self, name)
            if array is not None and (name in ("mask", "ids") or (several and len(array) > 1)):
                setattr(self, name, array[rows])
