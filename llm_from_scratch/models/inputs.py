"""What a forward pass is about, checked once; and who sees whom in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..layers import Context, ModelMemory


@dataclass(frozen=True)
class Inputs:
    """What the caller says of a pass: ids (B, T), or in their place embeddings (B, T, width); the rest may be None.

    mask (B, T) of booleans, positions (B or 1, T), segments (B, T), prefix_length (B,): see `Decoder.__call__`.
    virtual: how many of the tokens are not the caller's, but a learned prompt; `prefix_length` does not count them.
    """

    ids: np.ndarray | None
    embeddings: Tensor | None
    mask: np.ndarray | None
    positions: np.ndarray | None
    segments: np.ndarray | None
    prefix_length: Any
    virtual: int = 0

    @classmethod
    def of(
        cls,
        ids: Any,
        vocabulary: int,
        *,
        embeddings: Any = None,
        width: int = 0,
        mask: Any = None,
        positions: Any = None,
        segments: Any = None,
        prefix_length: Any = None,
    ) -> Inputs:
        """Checked: TypeError or ValueError says what is wrong with which."""
        if (ids is None) == (embeddings is None):
            raise TypeError("a pass is about ids or embeddings: give one of them")
        if ids is not None:
            ids = _check_ids(ids, vocabulary)
            shape = ids.shape
        else:
            embeddings = _check_embeddings(embeddings, width)
            shape = embeddings.shape[:2]
        return cls(
            ids,
            embeddings,
            _check_mask(mask, shape),
            None if positions is None else _check_positions(positions, shape),
            _check_segments(segments, shape),
            prefix_length,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(B, T)."""
        content: Any = self.embeddings if self.ids is None else self.ids
        return content.shape[:2]

    def context(self, memory: ModelMemory | None, dtype: np.dtype, limit: int | None, **collected: Any) -> Context:
        """Who sees whom when this continues `memory`, which notes what of it was padding.

        limit: how many positions the model has learned; collected: the rest of a `Context`. ValueError, with the memory
        as it was, for what cannot go on.
        """
        batch, length = self.shape
        offset = 0 if memory is None else memory.length
        if memory is not None:
            _check_continued(memory, batch, self.segments)
        positions = self._positions(memory)
        if limit is not None and int(positions.max()) >= limit:
            last = int(positions.max())
            raise ValueError(
                f"position {last} is beyond the {limit} positions this model has learned: shorten the input"
            )
        virtual = self.virtual + (0 if memory is None else memory.virtual)
        own = offset + length - virtual
        prefix = _check_prefix(self.prefix_length, batch, own, max(0, own - length))  # last check: memory may change
        if prefix is not None and virtual:
            prefix = np.where(prefix > 0, prefix + virtual, 0)
        if memory is not None:
            memory.virtual = virtual
        if memory is not None and self.segments is not None:
            memory.packed = bool((self.segments != self.segments[:, :1]).any())
        key_mask = self.mask
        if memory is not None and (key_mask is not None or memory.mask is not None):
            past = np.ones((batch, offset), bool) if memory.mask is None else memory.mask
            new = np.ones(self.shape, bool) if key_mask is None else key_mask
            key_mask = memory.mask = np.concatenate([past, new], axis=1)
        hidden = key_mask is not None and not key_mask.all()
        key_bias = np.where(key_mask, 0.0, -np.inf).astype(dtype) if hidden else None  # type: ignore[arg-type]
        return Context(positions, offset, key_bias, self.segments, prefix, **collected)

    def _positions(self, memory: ModelMemory | None) -> np.ndarray:
        """As given, or counted: anew in each document, over real tokens, on from what is remembered."""
        if self.positions is not None:
            return self.positions + (0 if memory is None else memory.virtual)
        if self.segments is not None:
            return _positions_in_segments(self.segments)
        seen = np.zeros((1, 1), np.int64) if memory is None else memory.real_tokens
        if self.mask is not None:
            return np.maximum(seen + np.cumsum(self.mask, axis=1) - 1, 0)
        every_row_alike = memory is None or memory.mask is None
        return (seen[:1] if every_row_alike else seen) + np.arange(self.shape[1])


class Prefix(Protocol):
    """What stands before every text: tokens that have no ids, such as a learned prefix or prompt.

    length: how many positions it takes. It is a module, and a decoder's `prefix`.
    """

    length: int

    def begin(self, model: Any, inputs: Inputs, memory: ModelMemory | None) -> tuple[Inputs, ModelMemory | None]:
        """What the decoder goes on with where a text begins. memory: empty, or None where nothing is to be remembered.

        Outputs for tokens that are put in front of the caller's are dropped by the decoder.
        """


def _check_continued(memory: ModelMemory, batch: int, segments: np.ndarray | None) -> None:
    if memory.batch_size != batch:
        raise ValueError(f"the memory holds {memory.batch_size} rows, the ids have {batch}")
    if segments is not None and memory.length:
        raise ValueError("segments describe whole rows: a memory that holds tokens cannot be combined with them")
    if memory.packed and memory.keeps_keys:
        raise ValueError(
            "the memory holds packed documents, and attention would see all of them: run the one to be continued alone"
        )


def _check_embeddings(embeddings: Any, width: int) -> Tensor:
    """What stands in place of looked-up rows: (B, T, width) of floating-point numbers."""
    embeddings = embeddings if isinstance(embeddings, Tensor) else Tensor(np.asarray(embeddings))
    if embeddings.ndim != 3 or embeddings.shape[2] != width or 0 in embeddings.shape:
        raise ValueError(f"embeddings must be (batch, tokens, {width}), got {embeddings.shape}")
    if embeddings.dtype.kind != "f":
        raise TypeError(f"embeddings are floating-point numbers, got {embeddings.dtype}")
    return embeddings


def _check_ids(ids: Any, vocabulary: int) -> np.ndarray:
    """Token ids (B, T): integers in 0..vocabulary-1, at least one row and one token."""
    ids = np.asarray(ids)
    if ids.size == 0:
        raise ValueError(f"the sequence is empty (ids of shape {ids.shape}): a model needs at least one token")
    if ids.ndim != 2:
        raise ValueError(f"ids must be (batch, tokens), got shape {ids.shape}; one sequence is np.array([ids])")
    F.check_ids(ids, vocabulary)
    return ids


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, the ids {shape}: they must be equal")


def _check_mask(mask: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """A padding mask (B, T) of booleans, or 0 and 1."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    _check_shape("mask", mask, shape)
    if mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise ValueError("mask holds booleans, or 0 (padding) and 1 (a token), as integers")
    return mask.astype(bool)


def _check_positions(positions: Any, shape: tuple[int, int]) -> np.ndarray:
    """Positions (B, T) or (T,): integers, none negative."""
    positions = np.asarray(positions)
    if positions.shape == shape[1:]:
        positions = positions[None]
    if positions.dtype.kind not in "iu":
        raise TypeError(f"positions are integers, got {positions.dtype}")
    if positions.shape not in (shape, (1, shape[1])):
        raise ValueError(f"positions have shape {positions.shape}, expected {shape}")
    if positions.min() < 0:
        raise ValueError(f"positions start at 0; the smallest is {int(positions.min())}")
    return positions


def _check_segments(segments: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """Document numbers (B, T): integers."""
    if segments is None:
        return None
    segments = np.asarray(segments)
    if segments.dtype.kind not in "iu":
        raise TypeError(f"segments are document numbers, integers; got {segments.dtype}")
    _check_shape("segments", segments, shape)
    return np.ascontiguousarray(segments, dtype=np.int64)


def _check_prefix(prefix_length: Any, batch: int, keys: int, remembered: int = 0) -> np.ndarray | None:
    """The length of a bidirectional prefix: one integer, or one a row, in 0..keys -> (B,).

    Its tokens see each other, so none of them may already be `remembered` unless all are.
    """
    if prefix_length is None:
        return None
    lengths = np.asarray(prefix_length)
    if lengths.dtype.kind not in "iu" or lengths.shape not in ((), (batch,)):
        raise ValueError(f"prefix_length is an integer or one a row ({batch}), got {lengths.dtype}{lengths.shape}")
    lengths = np.broadcast_to(lengths, (batch,)).astype(np.int64)
    if lengths.min() < 0 or lengths.max() > keys:
        raise ValueError(f"prefix_length must lie in 0..{keys}, got {int(lengths.min())}..{int(lengths.max())}")
    if remembered and lengths.max() > remembered:
        raise ValueError(
            "a bidirectional prefix enters as one chunk, since its tokens see each other: the memory already holds "
            f"{remembered} tokens, and prefix_length is {int(lengths.max())}"
        )
    return lengths


def _positions_in_segments(segments: np.ndarray) -> np.ndarray:
    """Positions that start again at 0 in each document of a packed row.

    >>> _positions_in_segments(np.array([[0, 0, 1, 1, 1]]))
    array([[0, 1, 0, 1, 2]])
    """
    index = np.arange(segments.shape[1])
    starts = np.zeros(segments.shape, np.int64)
    starts[:, 1:] = np.where(segments[:, 1:] != segments[:, :-1], index[1:], 0)
    return index - np.maximum.accumulate(starts, axis=1)
