"""Cross-entropy of logits against target ids. (`linear_cross_entropy` fuses it with the head before it.)"""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import check_targets, floating
from ..kernels import losses as kernels

IGNORED = -100


@primitive
def cross_entropy(logits, targets, /, *, ignore_index=IGNORED, reduction="mean", normaliser=None):
    """-log softmax(logits) at the target: how many nats the model was surprised by.

    logits (..., V), targets (...) integers in [0, V) or `ignore_index` -> one number, or (...) for reduction
    "none".

    reduction:   "mean" over the targets that are not ignored, "sum", or "none" (ignored targets then have
                 loss 0).
    normaliser:  divide the sum by this number instead of the count of targets ("mean" only); accumulating
                 gradients over unequal batches needs the count over all of them.

    Raises ValueError for targets out of range or of a wrong shape, and when there is nothing to average over.

    >>> logits = np.log([[1.0, 3.0], [1.0, 1.0]])
    >>> cross_entropy(logits, np.array([1, 0]))              # (ln 4/3 + ln 2) / 2
    Tensor(0.4904)
    >>> cross_entropy(logits, np.array([1, -100]))           # the second target is ignored
    Tensor(0.2877)
    """
    targets = _checked(logits, targets, ignore_index, reduction, normaliser)
    rows, flat = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
    token_losses, log_sum_exp = kernels.cross_entropy(rows, flat)
    scale = 1.0
    if reduction == "mean":
        count = int((flat != IGNORED).sum()) if normaliser is None else normaliser
        if not count > 0:
            raise ValueError(
                f"cross_entropy: a mean over {count} targets is undefined: all are ignored, or there are none"
            )
        scale = 1.0 / count
    saved = (logits.shape, rows, flat, log_sum_exp, reduction, scale)
    if reduction == "none":
        return token_losses.reshape(targets.shape), saved
    # Added up in float64: a float32 sum of thousands of losses loses digits that resumed runs compare.
    return np.asarray(token_losses.sum(dtype=np.float64) * scale, logits.dtype), saved


@cross_entropy.backward
def _(dy, saved, needs):
    shape, rows, targets, log_sum_exp, reduction, scale = saved
    if reduction == "none":
        each = dy.reshape(-1)
    else:
        each = np.full(len(targets), dy * scale, rows.dtype)
    return kernels.cross_entropy_backward(each, rows, targets, log_sum_exp).reshape(shape), None


@cross_entropy.example
def _(rng):
    return (rng.normal(size=(2, 3, 5)), np.array([[0, 4, -100], [2, 2, 1]])), {}


@cross_entropy.example
def _(rng):
    return (rng.normal(size=(4, 3)), np.array([0, 2, 1, 1])), {"reduction": "none", "ignore_index": 1}


@cross_entropy.example
def _(rng):
    return (rng.normal(size=(4, 3)), np.array([0, -100, 1, 1])), {"normaliser": 7}


@cross_entropy.example
def _(rng):
    return (rng.normal(size=(4, 3)), np.array([0, -100, 1, 1])), {"reduction": "sum"}


def _checked(logits, targets, ignore_index, reduction, normaliser):
    """The targets with the usual number for those ignored; an error unless all arguments fit each other."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"cross_entropy: reduction must be 'mean', 'sum' or 'none', not {reduction!r}")
    if normaliser is not None and reduction != "mean":
        raise ValueError(f"cross_entropy: a normaliser goes with reduction='mean', not {reduction!r}")
    floating("cross_entropy", logits)
    if logits.ndim == 0:
        raise ValueError("cross_entropy needs logits (..., V), got a single number")
    if ignore_index != IGNORED and np.asarray(targets).dtype.kind in "iu":
        if np.any(targets == IGNORED):
            raise ValueError(f"cross_entropy: a target is {IGNORED}, but ignore_index is {ignore_index}")
        targets = np.where(targets == ignore_index, IGNORED, targets)
    check_targets(targets, logits.shape[:-1], logits.shape[-1])
    return targets
