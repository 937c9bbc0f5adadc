"""Checks that every room may use: what came is what was expected, or an error that says so."""

from __future__ import annotations

import numpy as np


def floating(name: str, *arrays: np.ndarray) -> None:
    """Raise TypeError unless the arrays hold floating-point numbers.

    >>> floating("gelu", np.zeros(3, np.int64))
    Traceback (most recent call last):
    TypeError: gelu works on float32 or float64, got int64: convert with .astype(np.float32)
    """
    for array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            got = getattr(array, "dtype", type(array).__name__)
            raise TypeError(f"{name} works on float32 or float64, got {got}: convert with .astype(np.float32)")


def shapes(name: str, **expected: tuple[np.ndarray | None, tuple[int, ...]]) -> None:
    """Raise ValueError unless each array has the shape beside it; None is no array and fits.

    >>> shapes("linear", bias=(np.zeros(3), (4,)))
    Traceback (most recent call last):
    ValueError: linear: the bias has shape (3,), expected (4,)
    """
    for label, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise ValueError(f"{name}: the {label} has shape {array.shape}, expected {shape}")


def check_ids(ids: np.ndarray, rows: int) -> None:
    """Raise TypeError unless `ids` are integers, ValueError unless each is in [0, rows).

    >>> check_ids(np.array([[3, 9]]), 5)
    Traceback (most recent call last):
    ValueError: token id 9 at (0, 1) is outside the vocabulary 0..4: were the ids made by this model's tokenizer?
    """
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        raise TypeError(f"token ids are an array of integers, got {getattr(ids, 'dtype', type(ids).__name__)}")
    if ids.size and (ids.min() < 0 or ids.max() >= rows):
        place = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= rows))[0])
        raise ValueError(
            f"token id {int(ids[place])} at {place} is outside the vocabulary 0..{rows - 1}: "
            "were the ids made by this model's tokenizer?"
        )


def check_targets(targets: np.ndarray, shape: tuple[int, ...], vocabulary: int) -> None:
    """Raise unless `targets` are integers of `shape`, each -100 (ignored) or a row of the vocabulary."""
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        got = getattr(targets, "dtype", type(targets).__name__)
        raise TypeError(f"targets are token ids, an array of integers; got {got}")
    if targets.shape != shape:
        raise ValueError(f"targets have shape {targets.shape}, the logits ask for {shape}")
    wrong = (targets != -100) & ((targets < 0) | (targets >= vocabulary))
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"target {int(targets[place])} at {place} is neither -100 (ignored) nor a token id in 0..{vocabulary - 1}"
        )
