"""Chapter 26 exercises: one model out of several.

A task vector is what a fine-tune learnt: its weights less those of the base. Several of them, or several models, are
stacked along the first axis: (N, ...), and each may be of any shape. float32 goes in, float32 comes out, and no array
that was handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch26              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch26 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401

import numpy as np


# Task 1 of 6: medium, about 20 minutes, 3 points
def trim(tau: np.ndarray, density: float) -> np.ndarray:
    """Keep the largest entries of a task vector, and set the others to zero.

    tau: any shape, n entries in all; density: in (0, 1], the share kept: int(density * n) entries, at least 1
    returns: as tau; the largest by magnitude, of equal ones those that come first in tau.reshape(-1)

    >>> trim(np.array([1.0, -5.0, 2.0, -2.0]), 0.5)
    array([ 0., -5.,  2.,  0.])
    """
    raise NotImplementedError("trim")


# Task 2 of 6: easy, about 10 minutes, 2 points
def elect(taus: np.ndarray) -> np.ndarray:
    """The sign that wins in each entry: that of the sum over the task vectors; where the sum is 0, +1.

    taus: (N, ...); returns: (...), 1.0 or -1.0, of the dtype of taus

    >>> elect(np.array([[3.0, 1.0, 0.0], [-1.0, -4.0, 0.0]]))
    array([ 1., -1.,  1.])
    """
    raise NotImplementedError("elect")


# Task 3 of 6: medium, about 20 minutes, 3 points
def merge_agreeing(taus: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """In each entry the mean of those task vectors that have the elected sign; 0 where none has.

    taus: (N, ...), trimmed, so that many entries are 0; sign: (...), 1.0 or -1.0; returns: (...)

    >>> merge_agreeing(np.array([[3.0, 1.0, 0.0], [1.0, -4.0, 0.0], [-2.0, -2.0, 5.0]]), np.array([1.0, -1.0, 1.0]))
    array([ 2., -3.,  5.])
    """
    raise NotImplementedError("merge_agreeing")


# Task 4 of 6: medium, about 20 minutes, 3 points
def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """On the arc from tensor a (t = 0) to tensor b (t = 1), both taken as one flattened vector, neither of length 0.

    sin((1 - t) θ) / sin θ · a + sin(t θ) / sin θ · b, where θ is the angle between them; where |cos θ| > 0.9995 it is
    the line, (1 - t) · a + t · b. a, b: the same shape; returns: that shape.

    >>> slerp(np.array([2.0, 0.0]), np.array([0.0, 2.0]), 0.5).round(4)
    array([1.4142, 1.4142])
    """
    raise NotImplementedError("slerp")


# Task 5 of 6: medium, about 15 minutes, 3 points
def fisher_average(models: np.ndarray, fishers: np.ndarray) -> np.ndarray:
    """The mean of models, weighted entry by entry with their Fisher informations; the plain mean where all are 0.

    models, fishers: (N, ...), no entry of fishers negative; returns: (...)

    >>> fisher_average(np.array([[0.0, 0.0], [4.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 0.0]]))
    array([3., 2.])
    """
    raise NotImplementedError("fisher_average")


# Task 6 of 6: easy, about 10 minutes, 2 points
def drop_and_rescale(tau: np.ndarray, density: float, uniform: np.ndarray) -> np.ndarray:
    """DARE's thinning of a task vector: drop entries at random and enlarge the rest, so that its mean stays.

    density: in (0, 1], the share that is kept; uniform: as tau, drawn evenly from [0, 1): an entry stays where
    its number is below density; returns: as tau

    >>> drop_and_rescale(np.array([1.0, 2.0, 3.0]), 0.5, np.array([0.1, 0.9, 0.4]))
    array([2., 0., 6.])
    """
    raise NotImplementedError("drop_and_rescale")
