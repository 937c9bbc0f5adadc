"""The length of the whole gradient, and cutting it back to a maximum.

One bad batch can produce a gradient that undoes an hour of training; clipping keeps its direction and limits its
length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..autograd import Tensor
from ..kernels import optimizers
from .workers import balanced_shares, resolve_threads, run_by_share, run_over, worth_threads

_LOWEST = 1e-146  # the square of what is shorter loses digits


def grad_norm(params: Iterable[Tensor], *, threads: int | None = None) -> float:
    """The Euclidean length of all gradients taken as one vector; parameters without a gradient count as zero.

    Squares are added in float64, a parameter at a time and always in the same order, so the result depends on neither
    chance nor the number of threads.

    >>> w = Tensor(np.zeros(2), requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0])
    >>> grad_norm([w])
    5.0
    """
    return joint_length([p.grad for p in _tensors(params) if p.grad is not None], threads=threads)


def joint_length(
    arrays: Sequence[np.ndarray],
    *,
    threads: int | None = None,
    total: Callable[[float], float] = float,
    most: Callable[[float], float] = float,
) -> float:
    """The Euclidean length of all arrays as one vector.

    total, most: from what is here to what there is in all, for a vector of which others have the rest.

    >>> joint_length([np.array([3.0]), np.array([4.0])])
    5.0
    """
    sizes = [array.size for array in arrays]
    count = worth_threads(sum(sizes), resolve_threads(threads))
    shares = balanced_shares(sizes, count)

    def squares(divisor: float) -> float:
        scaled = (lambda a: a) if divisor == 1 else (lambda a: a / divisor)
        return total(sum(run_by_share(arrays, shares, lambda some: optimizers.sums_of_squares([*map(scaled, some)]))))

    with np.errstate(over="ignore", invalid="ignore"):
        length = math.sqrt(squares(1))
        if _LOWEST < length < math.inf:
            return length
        # Squares of float64 numbers beyond 1e154 are none any more: divided by the largest first, they are.
        largest = most(max(run_over(arrays, shares, lambda a: float(np.abs(a).max(initial=0.0))), default=0.0))
        if not 0 < largest < math.inf:
            return length
        return largest * math.sqrt(squares(largest))


def clip_scale(norm: float, max_norm: float) -> float:
    """The factor that brings a gradient of length `norm` down to `max_norm`: at most 1.

    >>> clip_scale(0.5, 1.0), round(clip_scale(4.0, 1.0), 6)
    (1.0, 0.25)
    """
    scale = max_norm / (norm + 1e-6)
    return 1.0 if scale > 1.0 else scale  # not min(): a NaN must stay one


def clip_grad_norm(
    params: Iterable[Tensor], max_norm: float, *, error_if_nonfinite: bool = False, threads: int | None = None
) -> float:
    """Scale all gradients in place so that their joint length is at most `max_norm`; return the length before.

    As in PyTorch the factor is max_norm / (length + 1e-6), never above 1. A length that is infinite or not a number
    raises ValueError with `error_if_nonfinite=True`, gradients unchanged; otherwise it makes the gradients NaN or zero,
    and the returned length tells. `AdamW.step(grad_scale=clip_scale(grad_norm(params), max_norm))` does the same
    without a pass of its own over the gradients.

    >>> w = Tensor(np.zeros(2), requires_grad=True)
    >>> w.grad = np.array([3.0, 4.0])
    >>> clip_grad_norm([w], 1.0)
    5.0
    >>> w.grad.round(5)
    array([0.6, 0.8])

    Source: Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063, algorithm 1.
    """
    params = _tensors(params)
    max_norm = float(max_norm)
    if not max_norm >= 0:
        raise ValueError(f"max_norm must be a number of at least 0, got {max_norm}")
    norm = grad_norm(params, threads=threads)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(
            f"the gradient's length is {norm}: some gradient is not finite, so it cannot be clipped; "
            "look at the loss and the learning rate, or pass error_if_nonfinite=False"
        )
    scale = clip_scale(norm, max_norm)
    if scale != 1.0:
        gradients = [p.grad for p in params if p.grad is not None]
        sizes = [g.size for g in gradients]
        count = worth_threads(sum(sizes), resolve_threads(threads))
        with np.errstate(invalid="ignore"):  # infinity times zero: the caller is told by the returned length
            run_over(gradients, balanced_shares(sizes, count), lambda g: np.multiply(g, g.dtype.type(scale), out=g))
    return norm


def _tensors(params: Iterable[Tensor]) -> list[Tensor]:
    params = [params] if isinstance(params, Tensor) else list(params)
    for p in params:
        if not isinstance(p, Tensor):
            raise TypeError(f"expected Tensors, for example model.parameters(); got {type(p).__name__}")
    return params
