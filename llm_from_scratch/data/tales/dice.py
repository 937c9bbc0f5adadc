"""A random generator of thirty lines whose numbers change with no platform, no Python and no NumPy.

SplitMix64 (Steele, Lea & Flood 2014): a counter advanced by a fixed odd number and scrambled. Any (seed,
stream) pair starts a sequence of its own, so tale number one million costs no more than tale number one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, made odd


def _scramble(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


class Dice:
    """Draws choices from a seed and a stream number (integers of any size, taken modulo 2**64).

    >>> dice = Dice(7)
    >>> [dice.below(6) + 1 for _ in range(8)]
    [6, 6, 6, 1, 5, 1, 2, 5]
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        # Scrambling the seed before the stream is added keeps (1, 2) and (2, 1) apart.
        self._state = _scramble((_scramble((seed + _STEP) & _MASK) + stream * _STEP) & _MASK)

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1. (The bias, at most n / 2**64, can never be noticed.)"""
        self._state = (self._state + _STEP) & _MASK
        return (_scramble(self._state) * n) >> 64

    def choice(self, options: Sequence[T]) -> T:
        """One of them, each as likely."""
        return options[self.below(len(options))]

    def flip(self, times: int = 1, out_of: int = 2) -> bool:
        """True `times` in `out_of`, on average."""
        return self.below(out_of) < times
