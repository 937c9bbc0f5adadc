"""MinHash: a text's set of shingles as a short row of numbers, in which alike sets have equal entries.

Put the shingles of two texts in one random order. The first shingle of A and the first of B are the same exactly when
the first of A ∪ B lies in A ∩ B: with probability |A ∩ B| / |A ∪ B|, their Jaccard index. A signature keeps the first
value for each of many orders, so the share of equal entries estimates the index, without bias, with a standard error of
√(J (1 - J) / permutations). An order is a random linear function modulo a prime (`kernels.signatures`).

Source: Broder 1997, "On the resemblance and containment of documents".
"""

from __future__ import annotations

import functools
import numbers

import numpy as np

from ...kernels.signatures import PRIME, least_values
from .words import shingles


def minhash(text: str, *, permutations: int = 128, ngram: int = 5, seed: int = 0) -> np.ndarray:
    """The signature of a text: (permutations,) uint64 below 2**61, the least hash of its shingles in each order.

    ngram: words in a shingle (see `words.shingles`, also for texts that have fewer). Only signatures with the same
    ngram and seed can be compared, number by number. A text without any shingle gets 2**61 - 1 everywhere.

    >>> a, b = (minhash(" ".join(map(str, range(first, first + 96)))) for first in (0, 10))
    >>> estimated_jaccard(a, b)                                        # 82 of 102 shingles are shared: 0.804
    0.8671875
    """
    if not isinstance(text, str):
        raise TypeError(f"minhash takes a text, a str, got {type(text).__name__}")
    return signature_of(shingles(text, positive("ngram", ngram)), permutations, seed)


def signature_of(found: np.ndarray, permutations: int = 128, seed: int = 0) -> np.ndarray:
    """The signature of a set of shingles."""
    return least_values(found % np.uint64(PRIME), *_orders(positive("permutations", permutations), check_seed(seed)))


def estimated_jaccard(a: np.ndarray, b: np.ndarray) -> float | np.ndarray:
    """The share of equal entries: signatures (..., permutations) -> (...), a float for two rows."""
    a, b = np.asarray(a), np.asarray(b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-1] or not a.shape[-1]:
        raise ValueError(f"signatures of one length are compared, got shapes {a.shape} and {b.shape}")
    share = np.asarray((a == b).mean(-1))
    return float(share) if not share.ndim else share


def positive(name: str, value: int) -> int:
    """The value, or an error unless it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} is at least 1, got {value}")
    return int(value)


def check_seed(seed: int) -> int:
    """The seed, or an error unless it is a whole number of at least 0."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"seed is a whole number of at least 0, got {seed!r}")
    return int(seed)


@functools.lru_cache(16)
def _orders(permutations: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors from 1 and offsets from 0 up to the prime; more permutations begin with the fewer ones."""
    drawn = np.random.default_rng(seed).integers(0, PRIME - 1, (permutations, 2), dtype=np.uint64)
    factors, offsets = np.ascontiguousarray(drawn.T)
    return factors + np.uint64(1), offsets
