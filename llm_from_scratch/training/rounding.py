"""Updates of arrays that are stored in bfloat16: piece by piece they become float32, change, and are rounded again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..autograd.bfloat16 import rounded, widened

_PIECE = 1 << 16  # numbers that are in float32 at a time: they fit into a processor's cache


def update_in_pieces(
    update: Callable[[list[np.ndarray], np.ndarray, int], None],
    arrays: Sequence[np.ndarray],
    grad: np.ndarray,
    first: int,
    keys: Sequence[int] | None,
) -> None:
    """Call `update(pieces of the arrays in float32, of the gradient, where they begin)`, and round what it leaves.

    arrays: flat, in bfloat16, slices of larger ones that begin at `first`. keys: one an array, for rounding by chance,
    which then depends on them and on a number's place alone; None rounds to the nearest.
    """
    for low in range(0, grad.size, _PIECE):
        part = slice(low, min(low + _PIECE, grad.size))
        pieces = [widened(array[part]) for array in arrays]
        update(pieces, grad[part], first + low)
        for number, (array, piece) in enumerate(zip(arrays, pieces)):
            array[part] = rounded(piece, None if keys is None else keys[number], first + low)


def keys_of(seed: int, *place: int, count: int) -> list[int]:
    """Keys for rounding by chance: those of an update (`place`) share nothing with those of another."""
    words = np.random.SeedSequence((seed, *place)).generate_state(count, np.uint64)
    return [int(word) for word in words]
