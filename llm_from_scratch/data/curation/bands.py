"""Bands and rows: finding pairs of alike signatures without comparing all pairs.

A signature is cut into b bands of r rows. Two texts are a candidate pair when they agree in all rows of any one band.
Texts of Jaccard index s agree in one row with probability s, in all r rows of a band with sʳ, hence in

    1 - (1 - sʳ)ᵇ

of cases in at least one of b bands: an S-curve, steeper for more rows, further left for more bands. (Exchange the two
and it is another curve.)

Source: Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import math
import numbers

import numpy as np

from .signatures import positive


def candidate_probability(similarity: float | np.ndarray, bands: int, rows: int) -> float | np.ndarray:
    """How probably texts of this Jaccard index become a candidate pair: 1 - (1 - s**rows)**bands.

    >>> [round(candidate_probability(s, bands=21, rows=6), 4) for s in (0.4, 0.6, 0.8)]
    [0.0826, 0.6334, 0.9983]
    """
    return 1 - (1 - similarity**rows) ** bands


def choose_bands(threshold: float, permutations: int = 128, *, recall: float = 0.99) -> tuple[int, int]:
    """(bands, rows): as many rows as possible while pairs at the threshold are found with at least this probability.

    Candidates are verified, so that a wrong one costs time and a missed one stays in the corpus; more rows mean fewer
    wrong ones. Where even one row a band does not reach the recall, it is taken all the same: use more permutations.

    >>> choose_bands(0.8), choose_bands(0.5)
    ((21, 6), (42, 3))
    """
    check_threshold(threshold)
    permutations = positive("permutations", permutations)
    if isinstance(recall, bool) or not isinstance(recall, numbers.Real) or not 0 < recall < 1:
        raise ValueError(f"recall is a probability above 0 and below 1, got {recall!r}")
    for rows in range(permutations, 1, -1):
        if candidate_probability(threshold, permutations // rows, rows) >= recall:
            return permutations // rows, rows
    return permutations, 1


def band_keys(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """A hash of each band: signatures (n, at least bands x rows) -> (n, bands) uint64.

    Equal keys of one band mean equal rows, but for a chance of 2**-64 a pair.
    """
    values = signatures[:, : bands * rows].reshape(len(signatures), bands, rows).astype(np.uint64)
    keys = np.zeros((len(signatures), bands), np.uint64)
    for row in range(rows):
        keys = (keys ^ values[:, :, row]) * np.uint64(0xFF51AFD7ED558CCD)
        keys ^= keys >> np.uint64(32)
    return keys


def check_threshold(threshold: float) -> float:
    """The threshold, or an error unless it is a number above 0 and at most 1."""
    if isinstance(threshold, bool) or not isinstance(threshold, numbers.Real) or math.isnan(threshold):
        raise TypeError(f"threshold is a Jaccard index, a number above 0 and at most 1, got {threshold!r}")
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is a Jaccard index above 0 and at most 1, got {threshold}")
    return float(threshold)
