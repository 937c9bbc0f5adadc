"""The parts of parameters that the threads of an update get: slices of flat arrays, cut at equal counts of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

Places = list[tuple[int, int, int]]  # which array, from which of its numbers, to which


class Piece(NamedTuple):
    """A slice of a parameter: its numbers and what is kept for them, their gradient, where they begin in it."""

    number: int  # of the parameter
    arrays: list[np.ndarray]
    grad: np.ndarray
    first: int
    settings: dict[str, Any]  # those of the group, grad_scale and step

    def part(self, low: int, high: int) -> Piece:
        """Its numbers low … high - 1."""
        if high - low == self.grad.size:
            return self
        arrays = [array[low:high] for array in self.arrays]
        return self._replace(arrays=arrays, grad=self.grad[low:high], first=self.first + low)

    @property
    def rounded(self) -> bool:
        """Whether the numbers are stored more narrowly than they are computed."""
        return self.arrays[0].dtype != self.grad.dtype


def between(sizes: Sequence[int], start: int, stop: int) -> Places:
    """Where the numbers start … stop - 1 of arrays stand that lie one behind the other.

    >>> between([3, 0, 4], 2, 5)
    [(0, 2, 3), (2, 0, 2)]
    """
    places = []
    for number, size in enumerate(sizes):
        if max(0, start) < min(size, stop):
            places.append((number, max(0, start), min(size, stop)))
        start, stop = start - size, stop - size
    return places
