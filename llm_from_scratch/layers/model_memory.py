"""What a whole model remembers: a memory for each function of each layer, and which tokens there were."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from .context import Context
from .memory import KeyValueCache, Memory, joined


@dataclass
class ModelMemory:
    """What a whole model remembers: one entry a layer, one memory a function in it, and which tokens were real."""

    layers: list[dict[str, Any]]
    batch_size: int
    length: int = 0
    mask: np.ndarray | None = None  # (B, length) of booleans; None: no token was padding
    positions: np.ndarray | None = None  # (B or 1, length), of all tokens so far
    ids: np.ndarray | None = None  # (B, length), kept where the sequence may have to be run again, and if all are known
    run_lengths: np.ndarray | None = None  # (B or 1, 1), how long the rows were when the layers last ran
    packed: bool = False  # whether a row holds several documents
    virtual: int = 0  # how many of the first tokens stand for no id: a learned prefix or prompt

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

    def begin(self, keys_values: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Begin with a learned prefix: for each layer that keeps keys, its keys and values (B, K, P, D).

        What comes after stands at positions P and on, also where its positions are given: those count it alone.
        ValueError, nothing changed, when the memory has begun already or the prefix does not fit.
        """
        caches = [memory for memory in self._parts() if isinstance(memory, KeyValueCache)]
        lengths = {part.shape[2:3] for pair in keys_values for part in pair}
        if self.length:
            raise ValueError(f"this memory holds {self.length} tokens already: a prefix stands before all of them")
        if len(caches) != len(keys_values) or len(lengths) != 1:
            raise ValueError(
                f"a prefix is one pair of keys and values, equally long, for each of the {len(caches)} layers that "
                f"keep them; got {len(keys_values)} pairs of {len(lengths)} lengths"
            )
        if any(part.shape[:1] != (self.batch_size,) for pair in keys_values for part in pair):
            raise ValueError(f"the memory holds {self.batch_size} rows, and so must the keys and values of a prefix")
        if any(keys.ndim != 4 or keys.shape != values.shape or not keys.shape[2] for keys, values in keys_values):
            shapes = ", ".join(f"{keys.shape} and {values.shape}" for keys, values in keys_values)
            raise ValueError(f"a prefix is keys and values of one shape (rows, heads, tokens, width), not {shapes}")
        for cache, (keys, values) in zip(caches, keys_values):
            cache.begin(keys, values)
        self.length = self.virtual = keys_values[0][0].shape[2]
        self.positions = np.arange(self.length)[None]

    def admit(self, ids: np.ndarray | None, context: Context) -> tuple[np.ndarray | None, Context]:
        """Note the tokens ids (B, T) that a forward pass is about to add, and say what that pass has to run.

        Usually these ids, in this context with the positions of the remembered keys. But where what the layers remember
        does not hold any longer, because a rotary base rises with the length, they forget it, and the whole sequence is
        to be run again: every output is then what a run without memory gives. ids: None for embeddings given directly.
        """
        past, new = self.positions, context.positions
        if past is not None and self.length:
            rows = max(len(past), len(new))
            new = np.concatenate([np.broadcast_to(p, (rows, p.shape[1])) for p in (past, new)], axis=1)
        self.positions = new
        context = dataclasses.replace(context, all_positions=new)
        if not any(getattr(memory, "rotary", None) is not None for memory in self._parts()):
            return ids, context
        before, after = self.run_lengths, new.max(axis=1, keepdims=True) + 1
        if not self.length:
            self.ids = ids
        else:  # without ids from the start (a prefix, embeddings), or from here on, the whole is not known any more
            self.ids = None if ids is None or self.ids is None else np.concatenate([self.ids, ids], axis=1)
        self.run_lengths = after
        if not self.length or before is None or not self.outlived(before, after):
            return ids, context
        if context.prefix_length is not None:
            raise ValueError("a memory whose rotary base has changed cannot take up a bidirectional prefix again")
        if self.ids is None:
            raise ValueError(
                "this rotary base rises with the length, and the sequence has to be run again from its ids: it cannot "
                "have begun with a learned prefix or with embeddings"
            )
        for memory in self._parts():
            memory.crop(0)
        self.length = 0
        return self.ids, dataclasses.replace(context, positions=new, offset=0)

    def outlived(self, before: Any, after: Any) -> bool:
        """Whether what is remembered of rows of lengths `before` has to be run again once they have lengths `after`."""
        keys = (memory for memory in self._parts() if isinstance(memory, KeyValueCache))
        return any(memory.outlived(np.asarray(before), np.asarray(after)) for memory in keys)

    @property
    def shortest(self) -> int:
        """The fewest tokens, besides none, that `crop` can go back to."""
        return max((getattr(memory, "shortest", 0) for memory in self._parts()), default=0)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens.

        ValueError, and nothing is changed, for a length that was not reached or that a layer cannot go back to.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a memory of {self.length} tokens to {length}")
        shortest = self.shortest
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
        self.length, self.packed, self.virtual = length, self.packed and length > 0, min(self.virtual, length)

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

    def join(self, other: ModelMemory) -> None:
        """Add the rows of another memory of the same model behind these, both of tokens that were run before.

        Where a row is shorter than the longest, padding stands in front of it; columns that are padding in every row
        go. ValueError for a memory that is empty or packed, TypeError for a layer's that has no `join`.
        """
        if not self.length or not other.length or self.packed or other.packed:
            raise ValueError("only memories that hold tokens, one document a row, can be joined")
        for memory in self._parts():
            if not hasattr(memory, "join"):
                raise TypeError(f"rows cannot come and go: a {type(memory).__name__} has no join(other, length)")
        both = (self, other)
        masks = [np.ones((m.batch_size, m.length), bool) if m.mask is None else m.mask for m in both]
        length = max(m.length - int(mask.any(axis=0).argmax()) for m, mask in zip(both, masks))
        for mine, its in zip(self._parts(), other._parts()):
            mine.join(its, length)  # type: ignore[attr-defined]
        mask = joined(masks, length, 1)
        self.mask = None if mask.all() else mask
        for name, width in (("positions", length), ("ids", length), ("run_lengths", 1)):
            arrays = [getattr(memory, name) for memory in both]
            known = all(array is not None for array in arrays)
            rows = [np.broadcast_to(a, (m.batch_size, a.shape[1])) for a, m in zip(arrays, both) if known]
            setattr(self, name, joined(rows, width, 1) if known else None)
        self.batch_size, self.length = len(mask), length
