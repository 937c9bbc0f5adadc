"""Cross-entropy of logits against target ids, one loss a row, and its derivative.

The probabilities are never stored: forward keeps one number a row, the logarithm of the sum of exponentials,
and backward recomputes the rest, in the logits' own memory if asked to.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel
from .softmax import shift

IGNORED = -100  # a target that counts for nothing


@kernel
def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-log softmax(logits) at the target, row by row.

    logits (N, V), targets (N,) integers in [0, V) or -100 -> losses (N,), log_sum_exp (N,)

    A row whose target is -100 has loss 0 and log_sum_exp 0; any other target outside raises ValueError.

    >>> losses, _ = cross_entropy(np.log(np.array([[1.0, 3.0], [1.0, 1.0]])), np.array([1, -100]))
    >>> losses.round(4)                                                # -log(3 / 4), and an ignored row
    array([0.2877, 0.    ])
    """
    check(logits, targets)
    rows = np.flatnonzero(targets != IGNORED)
    kept = logits[rows]
    largest = shift(kept)
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.exp(kept - largest).sum(-1))
    largest = largest[:, 0]
    losses = np.zeros(len(logits), logits.dtype)
    log_sum_exp = np.zeros(len(logits), logits.dtype)
    losses[rows] = (largest - kept[np.arange(len(rows)), targets[rows]]) + logarithm
    log_sum_exp[rows] = largest + logarithm
    return losses, log_sum_exp


@kernel(writes=("out",))
def cross_entropy_backward(
    dlosses: np.ndarray,
    logits: np.ndarray,
    targets: np.ndarray,
    log_sum_exp: np.ndarray,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The gradient dlosses (softmax(logits) - onehot(targets)), zero in ignored rows.

    dlosses (N,), logits (N, V), targets (N,), log_sum_exp (N,) from the forward -> (N, V), written to `out`
    if given. `out` may be `logits` itself, which are then overwritten.

    >>> logits, targets = np.log(np.array([[1.0, 3.0]])), np.array([1])
    >>> cross_entropy_backward(np.ones(1), logits, targets, cross_entropy(logits, targets)[1])
    array([[ 0.25, -0.25]])
    """
    check(logits, targets, dlosses, log_sum_exp, out)
    kept = np.flatnonzero(targets != IGNORED)
    gradient = np.exp(logits[kept] - log_sum_exp[kept, None])
    gradient[np.arange(len(kept)), targets[kept]] -= 1
    if out is None:
        out = np.empty_like(logits)
    out[...] = 0
    out[kept] = gradient * dlosses[kept, None]
    return out


def check(logits: np.ndarray, targets: np.ndarray, *others: np.ndarray | None) -> None:
    """Raise ValueError unless the shapes fit together and every target is a column or -100."""
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ValueError(f"logits (N, V) and targets (N,) are needed, got {logits.shape} and {targets.shape}")
    for other in others:
        if other is not None and other.shape not in (logits.shape, targets.shape):
            raise ValueError(f"an array of shape {other.shape} does not fit logits {logits.shape}")
    wrong = np.flatnonzero(((targets < 0) | (targets >= logits.shape[1])) & (targets != IGNORED))
    if wrong.size:
        n = int(wrong[0])
        raise ValueError(
            f"targets[{n}] is {int(targets[n])}: expected 0 to {logits.shape[1] - 1}, or {IGNORED} to ignore"
        )


@cross_entropy.example
def _(rng):
    for rows, columns, scale in ((6, 5, 1.0), (40, 301, 20.0), (0, 3, 1.0)):
        targets = rng.integers(0, columns, rows)
        targets[1::4] = IGNORED
        yield (rng.normal(size=(rows, columns)) * scale, targets), {}


@cross_entropy_backward.example
def _(rng):
    for (logits, targets), _ in cross_entropy.examples(rng):
        log_sum_exp = cross_entropy.__wrapped__(logits, targets)[1]
        dlosses = rng.normal(size=len(targets))
        yield (dlosses, logits, targets, log_sum_exp), {}
        yield (dlosses, logits, targets.astype(np.int32), log_sum_exp), {"out": np.full_like(logits, 7.0)}
