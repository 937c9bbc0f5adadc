"""Chapter 9 exercises: telling a model where its tokens stand, and what happens beyond the length it was trained on.

Everything here is a pure function on arrays; nothing that was handed in is changed. Positions count from 0. Angles are
worked out in float64, results come back in the dtype of the array that was handed in.

Symbols: theta is `base`, the width of a head (all of it rotary here) is D, T counts tokens, H heads.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch09              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch09 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401

import numpy as np


# Task 1 of 5: medium, about 25 minutes, 3 points
def rotate(x: np.ndarray, positions: np.ndarray, base: float = 10000.0, interleaved: bool = False) -> np.ndarray:
    """Rotary position embedding of queries or keys.

    x: (..., T, D) with D even; positions: (T,) integers
    interleaved: False pairs coordinate i with i + D/2 (the Hugging Face layout of LLaMA), True pairs 2i with 2i + 1
    returns: (..., T, D), of x's dtype

    Pair i = 0 .. D/2 - 1 of the token at position m turns by the angle m * base ** (-2 * i / D).

    >>> rotate(np.array([[1.0, 0.0]]), np.array([1])).round(4)      # one radian: (cos 1, sin 1)
    array([[0.5403, 0.8415]])
    >>> rotate(np.array([[1.0, 5.0, 0.0, 7.0]]), np.array([1]), base=1e12).round(2)   # the second pair hardly turns
    array([[0.54, 5.  , 0.84, 7.  ]])
    """
    raise NotImplementedError("rotate")


# Task 2 of 5: medium, about 15 minutes, 2 points
def neighbours_to_halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Permute the rows of a query or key matrix made for interleaved pairs (2i, 2i + 1) to pairs (i, i + D/2).

    weight: (heads * D, in), stored (out, in), head after head
    returns: (heads * D, in)

    Afterwards `rotate(x @ weight.T per head, ..., interleaved=False)` gives the same scores q.k as the original did
    with interleaved=True.

    >>> neighbours_to_halves(np.array([[0], [10], [1], [11]]), heads=1).ravel()
    array([ 0,  1, 10, 11])
    """
    raise NotImplementedError("neighbours_to_halves")


# Task 3 of 5: easy, about 15 minutes, 2 points
def alibi_slopes(heads: int, bias_max: float = 8.0) -> np.ndarray:
    """ALiBi's slopes for any number of heads.

    returns: (heads,) float64

    If heads is a power of two: 2 ** (-bias_max * a / heads) for a = 1 .. heads. Otherwise, with p the largest power of
    two below heads: the p slopes of p heads, then of the slopes for 2p heads the 1st, 3rd, 5th ... as many as it takes.

    >>> alibi_slopes(4)
    array([0.25      , 0.0625    , 0.015625  , 0.00390625])
    >>> alibi_slopes(6)[4:]
    array([0.5  , 0.125])
    """
    raise NotImplementedError("alibi_slopes")


# Task 4 of 5: easy, about 15 minutes, 2 points
def dynamic_base(base: float, width: int, length: int, trained: int, factor: float = 1.0) -> float:
    """The rotary base for a sequence of `length` tokens, by the dynamic NTK rule.

    base: as trained; width: D, rotary coordinates of a head; trained: the trained length
    returns: a float

    Up to the trained length: base. Beyond it: base * s ** (D / (D - 2)), s = factor * length / trained - (factor - 1).

    >>> dynamic_base(10000.0, 4, 200, trained=100)          # s = 2, and 2 ** (4 / 2) = 4
    40000.0
    """
    raise NotImplementedError("dynamic_base")


# Task 5 of 5: hard, about 30 minutes, 3 points
def relative_shift(scores: np.ndarray) -> np.ndarray:
    """From scores by distance to scores by key, as in Transformer-XL.

    scores: (..., T, T); scores[..., i, d] is for query i and a key that stands T - 1 - d positions before it
    returns: (..., T, T) with entry [..., i, j] for query i and key j where j <= i, and zeros where j > i

    >>> relative_shift(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
    array([[3, 0, 0],
           [5, 6, 0],
           [7, 8, 9]])
    """
    raise NotImplementedError("relative_shift")
