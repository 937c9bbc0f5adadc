"""What a layer remembers between steps. (`model_memory.py`: what a whole model does.)

A memory may begin with keys and values that no token gave it (a learned prefix); gradients flow into those. All else
that is remembered is constant: gradients reach the new tokens only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..autograd import Tensor, concatenate, grad_enabled, no_grad
from .positions import Rotary


class Memory(Protocol):
    """What one mixer remembers of the tokens it has seen.

    It may also have `shortest`: the fewest tokens (besides none) that crop can go back to, where it forgets on the way;
    `outlived(before, after)`: whether it no longer holds once sequences of lengths `before` have lengths `after`; and
    `join(other, length)`: add the rows of another, all of them then being `length` tokens long, cut or filled up with
    padding (what the model hides) on the left. Neither of the two is empty.
    """

    @property
    def nbytes(self) -> int:
        """Bytes held."""

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def select(self, rows: np.ndarray) -> None:
        """Keep these rows of the batch, in this order (repeats allowed)."""


def joined(parts: Sequence[np.ndarray], width: int, axis: int) -> np.ndarray:
    """The rows of all parts, each cut or filled up with zeros in front to be so wide along this axis.

    >>> joined([np.array([[1, 2, 3]]), np.array([[4]])], 2, 1)
    array([[2, 3],
           [0, 4]])
    """
    shape = [sum(map(len, parts)), *parts[0].shape[1:]]
    shape[axis] = width
    result, row = np.zeros(shape, parts[0].dtype), 0
    for part in parts:
        kept = min(width, part.shape[axis])
        last = [slice(None)] * part.ndim
        last[axis] = slice(part.shape[axis] - kept, None)
        place = [slice(row, row + len(part)), *last[1:]]
        place[axis] = slice(width - kept, None)
        result[tuple(place)] = part[tuple(last)]
        row += len(part)
    return result


@functools.lru_cache(maxsize=32)
def _column(heads: int, width: int) -> np.ndarray:
    """Keys or values of one token of one row: of this shape and dtype."""
    return np.empty((1, heads, 1, width), np.float32)


class KeyValueCache:
    """The keys and values of all tokens so far, in buffers that double when full.

    The buffers are (B, K, capacity, D) for K key-value heads of width D. rotary: what the keys were turned by, if so.
    """

    def __init__(self, rotary: Rotary | None = None) -> None:
        self.length = 0
        self.rotary = rotary
        self._keys: np.ndarray | None = None
        self._values: np.ndarray | None = None
        self._prefix: tuple[Tensor, Tensor] | None = None  # what it began with

    def begin(self, keys: Tensor, values: Tensor) -> None:
        """Begin with keys and values (B, K, P, D) as if they were those of P tokens; gradients flow into them."""
        if self.length:
            raise ValueError(f"this memory holds {self.length} tokens already: a prefix stands before all of them")
        if keys.ndim != 4 or keys.shape != values.shape or not keys.shape[2]:
            shapes = f"{keys.shape} and {values.shape}"
            raise ValueError(f"a prefix is keys and values of one shape (rows, heads, tokens, width), not {shapes}")
        with no_grad():
            self.extend(keys, values)
        self._prefix = keys, values

    def _check_prefix(self, keys: tuple[int, ...]) -> None:
        """The first real keys show whether the prefix was made for this layer; NumPy would repeat a single head."""
        if self._prefix is not None and self._prefix[0].shape[1::2] != keys[1::2]:
            heads, width = self._prefix[0].shape[1::2]
            raise ValueError(
                f"the prefix has {heads} key-value heads of width {width}, the layer {keys[1]} of {keys[3]}"
            )

    def _remembered(self, first: int, column: int) -> tuple[Tensor, Tensor]:
        """Tokens `first` and later, the first of them in this column, while gradients are recorded: constants but for
        a prefix."""
        assert self._keys is not None and self._values is not None
        stop = column + self.length - first
        begun = 0 if self._prefix is None else max(0, self._prefix[0].shape[2] - first)
        rest = [Tensor(buffer[:, :, column + begun : stop].copy()) for buffer in (self._keys, self._values)]
        if not begun or self._prefix is None:
            return rest[0], rest[1]
        keys, values = (part[:, :, first:] for part in self._prefix)
        return concatenate(keys, rest[0], axis=2), concatenate(values, rest[1], axis=2)

    def _recording(self, *new: Tensor) -> bool:
        return grad_enabled() and any(x.requires_grad for x in (*new, *(self._prefix or ())))

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held (the buffers may be larger)."""
        return 0 if self._keys is None else 2 * self._keys[:, :, : self.length].nbytes

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append (B, K, T, D) and return everything held, (B, K, S, D) each.

        When gradients are recorded they flow into the new keys and values; the remembered ones are constants.
        """
        self._check_prefix(keys.shape)
        start, end = self.length, self.length + keys.shape[2]
        found, recording = (keys, values), self._recording(keys, values)
        if recording and self._keys is not None:
            before = self._remembered(0, 0)
            found = concatenate(before[0], keys, axis=2), concatenate(before[1], values, axis=2)
        if self._keys is None or end > self._keys.shape[2]:
            self._keys = self._grown(self._keys, keys.data, end)
            self._values = self._grown(self._values, values.data, end)
        assert self._values is not None
        self._keys[:, :, start:end] = keys.data
        self._values[:, :, start:end] = values.data
        self.length = end
        if recording:
            return found
        return Tensor(self._keys[:, :, :end]), Tensor(self._values[:, :, :end])

    def place(self, heads: int, width: int) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Room for one more token of a single row: the buffers of keys and values, float32, and a and b.

        Columns a … b - 1 are then held; the caller writes the last of them.
        """
        if self._prefix is not None:
            self._check_prefix((1, heads, 1, width))
        held = self._keys
        if held is not None and held.shape != (1, heads, held.shape[2], width):
            raise ValueError(f"the memory holds {held.shape}, this layer's would be (1, {heads}, tokens, {width})")
        start, stop = self._add_column(_column(heads, width))
        keys, values = self._keys, self._values
        assert keys is not None and values is not None
        if keys.dtype != np.float32 or not keys.flags.c_contiguous:
            keys, values = (np.array(y, np.float32, order="C") for y in (keys, values))
            self._keys, self._values = keys, values
        self.length += 1
        return keys, values, start, stop

    def _add_column(self, like: np.ndarray) -> tuple[int, int]:
        end = self.length + 1
        if self._keys is None or end > self._keys.shape[2]:
            self._keys, self._values = self._grown(self._keys, like, end), self._grown(self._values, like, end)
        return 0, end

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys and values of the tokens held, (B, K, S, D) each: views, not copies."""
        assert self._keys is not None and self._values is not None
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]

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
        if self._prefix is not None:
            keys, values = self._prefix
            self._prefix = (keys[:, :, :length], values[:, :, :length]) if length else None

    def select(self, rows: np.ndarray) -> None:
        """Keep these rows of the batch, in this order."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]
        if self._prefix is not None:
            self._prefix = self._prefix[0][rows], self._prefix[1][rows]

    def join(self, other: KeyValueCache, length: int) -> None:
        """Add the rows of another, all of them then being `length` tokens long. Gradients of a prefix end here."""
        self._keys, self._values = (joined(both, length, 2) for both in zip(self.held(), other.held()))
        self.length, self._prefix = length, None


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
        self._check_prefix(keys.shape)
        past, new = min(self._stop - self._start, self.window - 1), keys.shape[2]
        if self._recording(keys, values) or new > self.UNDO:
            found = keys, values
            if past:
                before = self._remembered(self.length - past, self._stop - past)
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

    def held(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the last tokens, as many as are held."""
        assert self._keys is not None and self._values is not None
        held = slice(self._start, self._stop)
        return self._keys[:, :, held], self._values[:, :, held]

    def _append(self, keys: np.ndarray, values: np.ndarray, past: int) -> None:
        """Put them behind the last `past` of those held, which move to the front when the buffer is full."""
        self._make_room(past, keys)
        assert self._keys is not None and self._values is not None
        new = slice(self._stop - keys.shape[2], self._stop)
        self._keys[:, :, new], self._values[:, :, new] = keys, values

    def _add_column(self, like: np.ndarray) -> tuple[int, int]:
        self._make_room(min(self._stop - self._start, self.window - 1), like)
        return self._start, self._stop

    def _make_room(self, past: int, like: np.ndarray) -> None:
        new = like.shape[2]
        needed, full = past + new, 2 * (self.window + self.UNDO)
        capacity = 0 if self._keys is None else self._keys.shape[2]
        if self._keys is None or self._values is None or self._stop + new > capacity:
            if needed > capacity or (capacity < full and self._stop + new > capacity):
                capacity = max(needed, min(full, max(64, 2 * capacity)))
            older = slice(self._stop - past, self._stop)
            self._keys = self._moved(self._keys, older, like, capacity)
            self._values = self._moved(self._values, older, like, capacity)
            self._stop = past
        self._start, self._stop = self._stop - past, self._stop + new

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
        super().crop(length)

    def join(self, other: KeyValueCache, length: int) -> None:
        """As any cache does it; as many columns are held as the fuller one had."""
        both = list(zip(self.held(), other.held()))
        width = min(length, max(keys.shape[2] for keys in both[0]))
        self._keys, self._values = (joined(pair, width, 2) for pair in both)
        self.length, self._prefix, self._start, self._stop = length, None, 0, width
