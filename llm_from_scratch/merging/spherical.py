"""SLERP: from one model to another along an arc instead of a line, tensor by tensor.

    cos θ = a·b / (|a| |b|)        merged = sin((1 - t) θ) / sin θ · a + sin(t θ) / sin θ · b

The mean of two vectors that point apart is shorter than either; on the arc the length stays (between those of the
two). a and b are the tensors as they are, not their directions. Source: Shoemake 1985, for rotations; for weights it
is custom.
"""

from __future__ import annotations

import math

import numpy as np

from .averages import combination
from .tensors import PIECE, Tensors, check_number, over_tensors, working

PARALLEL = 0.9995  # a cosine beyond which the arc is a line, or (opposite directions) not determined
_NO_LENGTH = 1e-8


def slerp(a: Tensors, b: Tensors, t: float) -> Tensors:
    """Between the models a (t = 0) and b (t = 1): each tensor on the arc between its two flattened vectors.

    Where these point in the same or in opposite directions (|cos| above 0.9995) it is the line between them.

    >>> slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5)
    array([0.70710678, 0.70710678])
    """
    share = check_number("t", t)
    if not 0 <= share <= 1:
        raise ValueError(f"t must lie between 0 (the first model) and 1 (the second), not {share}")
    return over_tensors(lambda x, y: combination([x, y], arc_shares(cosine(x, y), share)), a, b)


def arc_shares(cos: float, t: float) -> tuple[float, float]:
    """How much of each of two vectors stands at t of the way between them.

    >>> arc_shares(1.0, 0.25), [round(share, 3) for share in arc_shares(0.0, 0.5)]
    ((0.75, 0.25), [0.707, 0.707])
    """
    if abs(cos) > PARALLEL:
        return 1 - t, t
    angle = math.acos(cos)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between two tensors as flattened vectors; 0 where one has no length."""
    work = working(a.dtype, b.dtype)
    products = np.zeros(3)  # of a with a, b with b, a with b
    for start in range(0, a.size, PIECE):
        x, y = (array.reshape(-1)[start : start + PIECE].astype(work, copy=False) for array in (a, b))
        products += [np.dot(x, x), np.dot(y, y), np.dot(x, y)]
    norms = [norm if norm > _NO_LENGTH else 1.0 for norm in np.sqrt(products[:2])]
    return min(1.0, max(-1.0, float(products[2] / norms[0] / norms[1])))
