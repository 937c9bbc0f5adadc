"""Chapter 12 exercises: the loop around the model.

Losses are in nats. A target of -100 is not to be predicted: it counts in no sum and in no mean. No array that was
handed in is changed.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch12              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch12 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import numpy as np


# Task 1 of 6: easy, about 15 minutes, 3 points
def masked_loss(logits: np.ndarray, targets: np.ndarray, normaliser: float | None = None) -> float:
    """Cross-entropy of the targets that are not -100: their sum divided by the normaliser, by default their number.

    logits: (B, T, V); targets: (B, T) integers; returns: a float. Without a target it is 0.0 if a normaliser is given,
    otherwise ValueError.

    >>> logits = np.log(np.array([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))
    >>> round(masked_loss(logits, np.array([[0, -100]])), 4)
    0.6931
    """
    raise NotImplementedError("masked_loss")


# Task 2 of 6: medium, about 15 minutes, 3 points
def accumulate(losses: np.ndarray, gradients: np.ndarray, counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and gradient of one large batch, from those of its parts.

    losses: (N,), the mean loss of each part; gradients: (N, D), of these means; counts: (N,) integers, each part's
    targets. A part without targets has count 0, and NaN for its mean: it must not count. At least one has some. What is
    no number in a part *with* targets is a run that broke: it stays one in the result.
    returns: the mean loss over all targets, and its gradient (D,), of the dtype of gradients

    >>> accumulate(np.array([2.0, 6.0]), np.array([[1.0], [5.0]]), np.array([3, 1]))
    (3.0, array([2.]))
    """
    raise NotImplementedError("accumulate")


# Task 3 of 6: medium, about 20 minutes, 3 points
def batch_rows(rows: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Which rows of the data batch number `step` (0, 1, …) consists of.

    An epoch goes through the rows in the order np.random.default_rng((seed, epoch)).permutation(rows), batch_size at a
    time; rows that do not fill a last batch are left out of that epoch. returns: (batch_size,) integers

    >>> [batch_rows(5, 2, 0, step).tolist() for step in range(4)]
    [[2, 4], [3, 0], [1, 4], [3, 0]]
    """
    raise NotImplementedError("batch_rows")


# Task 4 of 6: medium, about 20 minutes, 3 points
def deal(weights: np.ndarray, rows: int) -> np.ndarray:
    """Which source each of so many rows comes from: always the one that is furthest behind its share.

    weights: (S,), summing to 1. Before row k (0, 1, …) source s is behind by weights[s] · (k + 1) less the rows it has
    had; of equals the first is taken (differences below 1e-9 are rounding). returns: (rows,) integers

    >>> deal(np.array([0.5, 0.25, 0.25]), 8)
    array([0, 1, 2, 0, 0, 1, 2, 0])
    """
    raise NotImplementedError("deal")


# Task 5 of 6: medium, about 15 minutes, 3 points
def stage_at(stages: list[tuple[int, int, int]], step: int) -> tuple[int, int]:
    """The stage (0, 1, …) that step number `step` (0, 1, …) belongs to, and how many tokens were read before it.

    stages: (steps, rows a batch, tokens a row), one after the other; the last goes on without end

    >>> [stage_at([(2, 8, 64), (3, 8, 128)], step) for step in (0, 1, 2, 9)]
    [(0, 0), (0, 512), (1, 1024), (1, 8192)]
    """
    raise NotImplementedError("stage_at")


def somebodys_step(weights, momentum, gradients, counts, *, lr, beta, clip):
    """A step of a training script that was found on the network. It crashes nothing, and the loss falls.

    gradients: (N, D), of the mean loss of each part; counts: (N,), the parts' targets.
    """
    total = np.zeros_like(weights)
    for gradient, count in zip(gradients, counts):
        norm = np.sqrt((gradient**2).sum())
        if norm > clip:
            gradient = gradient * (clip / norm)
        total = total + gradient * (count / counts.sum())
    momentum = beta * momentum + total
    return weights - lr * momentum, momentum


# Task 6 of 6: hard, about 20 minutes, 3 points
def repaired_step(
    weights: np.ndarray,
    momentum: np.ndarray,
    gradients: np.ndarray,
    counts: np.ndarray,
    *,
    lr: float,
    beta: float,
    clip: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the bug in `somebodys_step` above, and write the step as it should be.

    A step must not depend on how its batch was cut into parts, and clips as `clip_grad_norm` does: the gradient of the
    whole batch, if it is longer than `clip`, is made that long. weights, momentum: (D,); gradients: (N, D); counts:
    (N,) integers above 0; returns: new weights and momentum, (D,)

    >>> one = np.array([[3.0, 4.0]])
    >>> repaired_step(np.zeros(2), np.zeros(2), one, np.array([7]), lr=1.0, beta=0.9, clip=1.0)
    (array([-0.6, -0.8]), array([0.6, 0.8]))
    """
    raise NotImplementedError("repaired_step")
