"""Chapter 13 exercises: from what a model expects to what it says.

V is the size of the vocabulary, B the number of texts side by side. float32 goes in, float32 comes out, and nothing
that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch13              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch13 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401
from collections.abc import Sequence

import numpy as np


# Task 1 of 6: medium, about 20 minutes, 3 points
def top_p(logits: np.ndarray, p: float) -> np.ndarray:
    """The probabilities to draw from, if only the most probable tokens may be drawn whose probabilities reach p.

    logits: (V,), -inf for a token that may not be drawn; p: in (0, 1]
    returns: (V,), of the dtype of logits. Kept are the fewest of the most probable tokens that add up to at least p (of
    equally probable ones those with smaller ids); their probabilities are scaled to add up to 1, all others are 0

    >>> top_p(np.log(np.array([0.2, 0.5, 0.3])), 0.6).round(3)              # 0.5 is not enough, 0.5 + 0.3 is
    array([0.   , 0.625, 0.375])
    """
    raise NotImplementedError("top_p")


# Task 2 of 6: easy, about 10 minutes, 2 points
def penalise(logits: np.ndarray, seen: Sequence[int], penalty: float) -> np.ndarray:
    """Make tokens that were seen less probable: a positive logit is divided by the penalty, another one multiplied.

    logits: (V,); seen: ids of the text so far, any number of them, also none; one that comes again counts once
    penalty: above 1; returns: (V,)

    >>> penalise(np.array([2.0, -2.0, 1.0]), [0, 1, 1], 2.0)
    array([ 1., -4.,  1.])
    """
    raise NotImplementedError("penalise")


# Task 3 of 6: hard, about 35 minutes, 4 points
def cached_step(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, keys: np.ndarray, values: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One step of one attention head for B texts side by side: what the new tokens see, and the longer cache.

    q, k, v: (B, D), of one new token in each text; keys, values: (B, S, D), of the S before, S may be 0
    real: (B, S), False where a text was filled up in front: such a place is not seen. The new token is always real
    returns: y (B, D), the mean of all values, weighted with the softmax of q · key / sqrt(D) over the text;
    keys and values (B, S + 1, D), the new ones last

    >>> one = np.ones((1, 2))
    >>> y, keys, values = cached_step(one, one, 4 * one, np.ones((1, 1, 2)), np.zeros((1, 1, 2)), np.array([[True]]))
    >>> y, keys.shape
    (array([[2., 2.]]), (1, 2, 2))
    """
    raise NotImplementedError("cached_step")


# Task 4 of 6: hard, about 35 minutes, 4 points
def shown(pieces: Sequence[str], stops: Sequence[str]) -> list[str]:
    """What a reader sees of a text that comes in pieces, and ends where the first stop string is complete.

    pieces: texts, some may be empty; stops: texts, none of them empty
    returns: len(pieces) + 1 texts: what is newly shown after each piece, and what is left to show when no more comes.
    No letter of the stop string is ever shown (of several that end at the same letter, the longest counts), nothing
    after it either; and every letter that cannot belong to one is shown at once

    >>> shown(["Good night. Th", "ey slept. Th", "e End", ". More"], ["The End"])
    ['Good night. ', 'They slept. ', '', '', '']
    """
    raise NotImplementedError("shown")


# Task 5 of 6: medium, about 25 minutes, 3 points
def beam_step(
    scores: np.ndarray, log_probabilities: np.ndarray, end: int, beams: int
) -> tuple[list[tuple[int, int, float]], list[tuple[int, int, float]]]:
    """One step of beam search: the continuations that stay open, and those that have ended.

    scores: (K,), of the beams so far, -inf for one that is dead; K may be larger than `beams`
    log_probabilities: (K, V), of the next token in each, -inf for a forbidden one
    returns: two lists of (beam, token, score), best first, a score being the beam's plus the token's. The first: the
    best `beams` continuations by another token than `end`. The second: those by `end` that are among the best `beams`
    of all continuations. Of equal scores the smaller beam comes first, then the smaller token; -inf is in no list

    >>> open_, ended = beam_step(np.array([0.0, -1.0]), np.array([[-2.0, -1.5, -0.5], [-0.25, -3.0, -2.0]]), 2, 2)
    >>> open_
    [(1, 0, -1.25), (0, 1, -1.5)]
    >>> ended
    [(0, 2, -0.5)]
    """
    raise NotImplementedError("beam_step")


# Task 6 of 6: medium, about 25 minutes, 3 points
def accept(p: np.ndarray, q: np.ndarray, guess: int, u: float, w: float) -> int:
    """Find the bug: the token that comes next, if a draft guessed one. It must be distributed as p, and is not.

    p, q: (V,), the probabilities of the model and of the draft, each adding up to 1; guess: what the draft drew from q
    u, w: numbers drawn evenly from [0, 1), u for the question whether the guess is kept, w for drawing another: of
    weights in a row the first whose running sum is above w times their total. Here is the program as it was found:

        def accept(p, q, guess, u, w):
            if u < p[guess] / q[guess]:
                return guess
            return int(np.searchsorted(np.cumsum(p), w, side="right"))

    It runs, its texts look fine, and a draft that is nearly as good as the model hides the fault. Write it right.

    >>> accept(np.array([0.5, 0.25, 0.25]), np.array([1.0, 0.0, 0.0]), 0, 0.4, 0.9)     # 0.4 < 0.5 / 1: it is kept
    0
    >>> accept(np.array([0.5, 0.25, 0.25]), np.array([1.0, 0.0, 0.0]), 0, 0.6, 0.1)     # it is not, nor comes it again
    1
    """
    raise NotImplementedError("accept")
