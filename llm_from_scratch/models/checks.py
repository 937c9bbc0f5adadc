"""What may enter a model: token ids and the arrays that go with them. Each check returns the array it accepts."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F


def check_ids(ids: Any, vocabulary: int) -> np.ndarray:
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


def check_mask(mask: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """A padding mask (B, T) of booleans, or 0 and 1."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    _check_shape("mask", mask, shape)
    if mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise ValueError("mask holds booleans, or 0 (padding) and 1 (a token), as integers")
    return mask.astype(bool)


def check_positions(positions: Any, shape: tuple[int, int]) -> np.ndarray:
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


def check_segments(segments: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """Document numbers (B, T): integers."""
    if segments is None:
        return None
    segments = np.asarray(segments)
    if segments.dtype.kind not in "iu":
        raise TypeError(f"segments are document numbers, integers; got {segments.dtype}")
    _check_shape("segments", segments, shape)
    return np.ascontiguousarray(segments, dtype=np.int64)


def check_prefix(prefix_length: Any, batch: int, keys: int, remembered: int = 0) -> np.ndarray | None:
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
