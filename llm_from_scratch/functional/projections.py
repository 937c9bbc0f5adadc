"""The matrix products of a model: the linear layer, and the head fused with its loss."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import check_targets, floating, shapes
from ..kernels import losses


@primitive
def linear(x, weight, bias=None, /, *, transposed=False):
    """y = x W + b, with W stored (in, out).

    x (..., I), weight (I, O), bias (O,) or None -> (..., O). transposed: the weight is stored (O, I) and y = x Wᵀ + b,
    which is how an embedding serves as a tied head.

    >>> linear([[1.0, 2.0]], [[1.0, 0.0, 3.0], [0.0, 1.0, 1.0]], [0.5, 0.5, 0.5])
    Tensor([[1.5, 2.5, 5.5]])
    """
    matrix = _matrix("linear", x, weight, bias, transposed)
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ matrix
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], matrix.shape[1]), (x, weight, transposed)


@linear.backward
def _(dy, saved, needs):
    x, weight, transposed = saved
    rows, dy2 = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    matrix = weight.T if transposed else weight
    dx = (dy2 @ matrix.T).reshape(x.shape) if needs[0] else None
    dweight = None
    if needs[1]:
        dweight = dy2.T @ rows if transposed else rows.T @ dy2
    return dx, dweight, dy2.sum(axis=0) if needs[2] else None


linear.example(lambda rng: ((rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 5)), rng.normal(size=5)), {}))
linear.example(lambda rng: ((rng.normal(size=(3, 4)), rng.normal(size=(5, 4))), {"transposed": True}))


@primitive
def linear_cross_entropy(x, weight, targets, bias=None, /, *, normaliser=None, transposed=False):
    """Cross-entropy of the head's logits, without ever handing the logits out.

    x (N, D), weight (D, V), targets (N,) of integers, -100 ignored, bias (V,) or None -> the sum of the token losses /
    normaliser (default: the number of targets that count). transposed: the weight is stored (V, D), as a tied embedding
    is.

    The logits are the largest array of a training step; here they are turned into their own gradient in place, so only
    one array of (N, V) exists where `linear` followed by `cross_entropy` would hold two.

    >>> linear_cross_entropy([[1.0, 0.0]], [[2.0, 0.0], [0.0, 1.0]], np.array([0]))    # logits 2, 0: ln(1 + e^-2)
    Tensor(0.1269)
    """
    matrix = _matrix("linear_cross_entropy", x, weight, bias, transposed)
    check_targets(targets, x.shape[:-1], matrix.shape[1])
    if x.ndim != 2:
        raise ValueError(f"linear_cross_entropy: inputs are rows (N, in), got {x.shape}: reshape them")
    if normaliser is None:
        normaliser = int((targets != -100).sum())
    if not normaliser > 0:
        raise ValueError("no target counts: all are -100, and a mean over nothing is undefined")
    logits = x @ matrix
    if bias is not None:
        logits += bias
    token_losses, log_sum_exp = losses.cross_entropy(logits, targets)
    # Summed in float64: a float32 sum of thousands of losses loses digits that resuming and accumulation compare.
    total = np.asarray(token_losses.sum(dtype=np.float64) / normaliser, dtype=x.dtype)
    return total, (x, weight, targets, logits, log_sum_exp, normaliser, transposed)


@linear_cross_entropy.backward
def _(dy, saved, needs):
    x, weight, targets, logits, log_sum_exp, normaliser, transposed = saved
    each = np.full(len(targets), dy / normaliser, x.dtype)
    dlogits = losses.cross_entropy_backward(each, logits, targets, log_sum_exp, logits)  # in place: logits are ours
    dx = dlogits @ (weight if transposed else weight.T) if needs[0] else None
    dweight = None
    if needs[1]:
        dweight = dlogits.T @ x if transposed else x.T @ dlogits
    return dx, dweight, None, dlogits.sum(axis=0) if needs[3] else None


@linear_cross_entropy.example
def _(rng):
    return (rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), np.array([0, 3, -100, 1, 1])), {}


@linear_cross_entropy.example
def _(rng):
    settings = {"transposed": True, "normaliser": 7}
    return (rng.normal(size=(3, 2)), rng.normal(size=(4, 2)), np.array([2, 0, 3])), settings


@linear_cross_entropy.example
def _(rng):
    return (rng.normal(size=(3, 2)), rng.normal(size=(2, 4)), np.array([2, -100, 3]), rng.normal(size=4)), {}


def _matrix(name, x, weight, bias, transposed):
    """The weight as (in, out); an error unless input and bias fit it."""
    floating(name, x, weight)
    matrix = weight.T if transposed else weight
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != matrix.shape[0]:
        raise ValueError(f"{name}: an input {x.shape} does not fit a weight of (in, out) = {matrix.shape}")
    shapes(name, bias=(bias, matrix.shape[1:]))
    return matrix
