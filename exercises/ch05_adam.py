"""Chapter 5 exercises: the optimiser that trains every model of this book.

Everything here is a pure function: state goes in, new state comes out, and no array that was handed in is
changed. Steps of the optimiser are counted from 1, as in the paper; steps of the schedule from 0, as in a
training loop. float32 goes in, float32 comes out.

Symbols (Kingma & Ba 2014, arXiv:1412.6980): theta is `parameter`, g `gradient`, alpha `lr`, t `step`.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch05              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch05 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401

import numpy as np


# Task 1 of 4: medium, about 25 minutes, 3 points
def adam_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One update by Adam, with bias correction.

    parameter, gradient, m, v: (...), all of one shape and dtype; m and v are zeros before the first step
    step: 1 for the first update
    returns: the new parameter, m and v, as new arrays

    m and v are running averages of the gradient and of its square. Both start at zero and are therefore too
    small at first; what the parameter moves by uses them divided by 1 - beta**step. eps is added to the root
    of the corrected v.

    >>> zero = np.zeros(2)
    >>> parameter, m, v = adam_step(np.array([1.0, 1.0]), np.array([4.0, -0.01]), zero, zero, step=1, lr=0.1)
    >>> parameter.round(4), m.round(4), v.round(7)     # the first step is lr everywhere, whatever the scale
    (array([0.9, 1.1]), array([ 0.4  , -0.001]), array([1.6e-02, 1.0e-07]))
    """
    raise NotImplementedError("adam_step")


# Task 2 of 4: easy, about 15 minutes, 2 points
def adamw_step(
    parameter: np.ndarray,
    gradient: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    weight_decay: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One update by AdamW: Adam's step, and beside it a decay of lr * weight_decay * parameter.

    Shapes, dtypes and results as in `adam_step`, which does most of the work. The parameter that decays is
    the one that was handed in. m and v know nothing of the decay.

    >>> zero = np.zeros(1)
    >>> adamw_step(np.array([2.0]), zero, zero, zero, step=1, lr=0.1, weight_decay=0.5)[0]  # 2 - 0.1*0.5*2
    array([1.9])
    """
    raise NotImplementedError("adamw_step")


# Task 3 of 4: medium, about 25 minutes, 3 points
def clip_by_global_norm(gradients: list[np.ndarray], limit: float) -> tuple[list[np.ndarray], float]:
    """Scale all gradients by one factor so that their joint norm is at most `limit`.

    gradients: arrays of any shapes; limit: positive
    returns: new arrays of the same shapes and dtypes, and the norm before clipping as a Python float

    The joint norm is the root of the sum of the squares of all numbers in all arrays, summed in float64. At
    or below the limit the values stay exactly as they are. If the norm is inf or nan, raises ValueError.

    >>> clipped, norm = clip_by_global_norm([np.array([3.0]), np.array([[0.0, 4.0]])], limit=1.0)
    >>> [g.tolist() for g in clipped], norm
    ([[0.6000000000000001], [[0.0, 0.8]]], 5.0)
    """
    raise NotImplementedError("clip_by_global_norm")


# Task 4 of 4: easy, about 20 minutes, 2 points
def cosine_schedule(step: int, peak: float, warmup_steps: int, total_steps: int, floor: float = 0.0) -> float:
    """The learning rate at a step: a linear warmup, then half a cosine down to the floor.

    step: 0 for the first step of training; 0 <= warmup_steps <= total_steps
    returns: (step + 1) / warmup_steps of the peak while step < warmup_steps; then a cosine that is at the
        peak when step == warmup_steps and reaches the floor at total_steps; from there on the floor

    >>> [round(cosine_schedule(step, 1.0, 2, 6, floor=0.2), 3) for step in range(8)]
    [0.5, 1.0, 1.0, 0.883, 0.6, 0.317, 0.2, 0.2]
    """
    raise NotImplementedError("cosine_schedule")
