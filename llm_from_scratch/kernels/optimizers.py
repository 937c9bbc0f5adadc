"""What optimisers do to the numbers: one step of AdamW, Adam, SGD or Lion, and the questions asked of a gradient first.

All work on flat arrays that may be slices of larger ones, and are serial: give each thread its own slice. In every step
`grad_scale` multiplies the gradient first (clipping costs no pass of its own), and subnormal numbers, into which the
moments of an unused parameter decay, become zero: arithmetic on them can be a hundred times slower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .dispatch import kernel

Arrays = tuple[np.ndarray, ...]  # a parameter, its gradient and what is kept for it


@kernel(writes=("param", "m", "v"))
def adamw(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    grad_scale: float = 1.0,
) -> None:
    """One step of Adam with decoupled weight decay, in place.

    param, grad, m, v (N,); step counts from 1. The decay is lr weight_decay param, taken from the parameter before the
    step; eps stands outside the square root of the bias-corrected second moment.

    >>> param, grad, m, v = np.array([1.0]), np.array([0.5]), np.zeros(1), np.zeros(1)
    >>> adamw(param, grad, m, v, lr=0.1, beta1=0.9, beta2=0.999, eps=0.0, weight_decay=0.0, step=1)
    >>> param                                # the first step has size lr, whatever the gradient
    array([0.9])

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with the rate folded into the decay.
    """
    with np.errstate(under="ignore"):
        move = _adam_move(grad * param.dtype.type(grad_scale), m, v, lr, beta1, beta2, eps, step)
        param *= 1 - lr * weight_decay
        param -= move
        flush(param)


@kernel(writes=("param", "m", "v"))
def adam(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
    grad_scale: float = 1.0,
) -> None:
    """One step of Adam, in place; weight decay is L2 regularisation, part of the gradient and of its moments.

    param, grad, m, v (N,); step counts from 1.

    >>> param, grad, m, v = np.array([4.0]), np.array([0.0]), np.zeros(1), np.zeros(1)
    >>> adam(param, grad, m, v, lr=0.1, beta1=0.9, beta2=0.999, eps=0.0, weight_decay=0.01, step=1)
    >>> param                                # the decay is divided by its own size too, so its strength is lost
    array([3.9])

    Source: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1; L2 as in Loshchilov & Hutter 2019, algorithm 2, line 6.
    """
    with np.errstate(under="ignore"):
        g = grad * param.dtype.type(grad_scale) + weight_decay * param
        param -= _adam_move(g, m, v, lr, beta1, beta2, eps, step)
        flush(param)


@kernel(writes=("param", "velocity"))
def sgd(
    param: np.ndarray,
    grad: np.ndarray,
    velocity: np.ndarray,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool = False,
    grad_scale: float = 1.0,
) -> None:
    """One step of gradient descent with momentum, in place; weight decay is part of the gradient.

    param, grad, velocity (N,); the velocity starts at zero and becomes momentum velocity + gradient. The parameter
    moves by lr times it, or with `nesterov` by lr times what it would become with the same gradient once more.

    >>> param, velocity = np.array([1.0]), np.array([2.0])
    >>> sgd(param, np.array([1.0]), velocity, lr=0.1, momentum=0.5, weight_decay=0.0)
    >>> param, velocity                      # 0.5 · 2 + 1 = 2, and 1 - 0.1 · 2 = 0.8
    (array([0.8]), array([2.]))

    Source: Sutskever et al. 2013, ICML, equations 1 to 4, with the rate outside the velocity as PyTorch has it.
    """
    with np.errstate(under="ignore"):
        g = grad * param.dtype.type(grad_scale) + weight_decay * param
        velocity *= momentum
        velocity += g
        flush(velocity)
        param -= lr * (momentum * velocity + g) if nesterov else lr * velocity
        flush(param)


@kernel(writes=("param", "m"))
def lion(
    param: np.ndarray,
    grad: np.ndarray,
    m: np.ndarray,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    grad_scale: float = 1.0,
) -> None:
    """One step of Lion, in place: each weight moves by lr in the direction of a mean of gradients, and decays.

    param, grad, m (N,). The direction weighs the new gradient by 1 - beta1, the mean that is kept by 1 - beta2. The
    decay is lr weight_decay param, taken from the parameter before the step.

    >>> param, m = np.array([1.0, 1.0]), np.array([0.1, 0.1])
    >>> lion(param, np.array([-0.5, -2.0]), m, lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.0)
    >>> param                                # 0.9 · 0.1 - 0.1 · 0.5 is positive, 0.9 · 0.1 - 0.1 · 2 negative
    array([0.9, 1.1])

    Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2.
    """
    with np.errstate(under="ignore"):
        g = grad * param.dtype.type(grad_scale)
        direction = np.sign(beta1 * m + (1 - beta1) * g)
        m *= beta2
        m += (1 - beta2) * g
        flush(m)
        param *= 1 - lr * weight_decay
        param -= lr * direction
        flush(param)


@kernel
def within(x: np.ndarray, limit: float) -> bool:
    """Whether every entry is finite and its size at most the limit.

    >>> within(np.array([1.0, -2.0]), 2.0), within(np.array([1.0, np.nan]), 2.0)
    (True, False)
    """
    return bool((np.abs(x) <= x.dtype.type(min(limit, np.finfo(x.dtype).max))).all())


@kernel
def sum_of_squares(x: np.ndarray) -> float:
    """The sum of the squared entries, added up in float64 in a fixed order.

    >>> sum_of_squares(np.array([3.0, 4.0], np.float32))
    25.0
    """
    wide = x.reshape(-1).astype(np.float64)
    return float((wide * wide).sum())


# A small model has a hundred parameters of a few thousand numbers each. To call a kernel for each of them would take
# longer than what is done there, so what a step asks of all of them it asks at once.


@kernel(writes=("pieces",))
def adamw_each(pieces: Sequence[Arrays], settings: Sequence[dict[str, Any]]) -> None:
    """One step of `adamw` for each of several (param, grad, m, v) with its settings, in order.

    >>> arrays = np.array([1.0]), np.array([0.5]), np.zeros(1), np.zeros(1)
    >>> one = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 0.0, "weight_decay": 0.0, "step": 1, "grad_scale": 1.0}
    >>> adamw_each([arrays], [one])
    >>> arrays[0]
    array([0.9])
    """
    for arrays, one in zip(pieces, settings):
        adamw.__wrapped__(*arrays, **one)


@kernel(writes=("pieces",))
def adam_each(pieces: Sequence[Arrays], settings: Sequence[dict[str, Any]]) -> None:
    """One step of `adam` for each of several (param, grad, m, v) with its settings, in order."""
    for arrays, one in zip(pieces, settings):
        adam.__wrapped__(*arrays, **one)


@kernel
def each_within(arrays: Sequence[np.ndarray], limits: Sequence[float]) -> list[bool]:
    """`within` of each of several arrays, each with its limit.

    >>> each_within([np.array([1.0, -2.0]), np.array([np.nan])], [2.0, 2.0])
    [True, False]
    """
    return [within.__wrapped__(x, limit) for x, limit in zip(arrays, limits)]


@kernel
def sums_of_squares(arrays: Sequence[np.ndarray]) -> list[float]:
    """`sum_of_squares` of each of several arrays.

    >>> sums_of_squares([np.array([3.0, 4.0]), np.zeros(0)])
    [25.0, 0.0]
    """
    return [sum_of_squares.__wrapped__(x) for x in arrays]


def _adam_move(
    g: np.ndarray, m: np.ndarray, v: np.ndarray, lr: float, beta1: float, beta2: float, eps: float, step: int
) -> np.ndarray:
    """How far weights move, once the moments m and v have taken in the gradient g (which is changed)."""
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    # From this |g| on (1 - beta2) g^2 is a normal number; below, it counts as 0.
    g[np.abs(g) < np.sqrt(np.finfo(g.dtype).tiny / max(1 - beta2, 1e-12)).item()] = 0
    v += (1 - beta2) * (g * g)
    flush(m)
    flush(v)
    return (lr / correction1) * (m / (np.sqrt(v) / np.sqrt(correction2).item() + eps))


def flush(x: np.ndarray) -> None:
    """Set entries too small for a normal number to zero, in place."""
    x[np.abs(x) < np.finfo(x.dtype).tiny] = 0


def _check_flat(*arrays: np.ndarray) -> None:
    shapes = [array.shape for array in arrays]
    if len(shapes[0]) != 1 or len(set(shapes)) != 1:
        raise ValueError(f"the parameter, its gradient and its moments must be flat and of one length, got {shapes}")


@adamw.check
@adam.check
def _(param, grad, m, v, *, step, **settings):
    _check_flat(param, grad, m, v)
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")


@adamw_each.check
@adam_each.check
def _(pieces, settings):
    if len(pieces) != len(settings):
        raise ValueError(f"each of {len(pieces)} parameters needs its settings, got {len(settings)}")
    for param, grad, m, v in pieces:
        if not param.shape == grad.shape == m.shape == v.shape or param.ndim != 1:
            _check_flat(param, grad, m, v)
        for array in (param, grad, m, v):
            if array.dtype.char not in "fd" or array.dtype != param.dtype:
                raise TypeError(f"a step works in float32 or float64, one of them, got {array.dtype} and {param.dtype}")
            if array is not grad and not (array.flags.carray and array.dtype.isnative):
                raise ValueError("a step changes parameters and moments in place: they must be contiguous and writable")
    for one in settings:
        if one["step"] < 1:
            raise ValueError(f"step counts from 1, got {one['step']}")


@each_within.check
def _(arrays, limits):
    if len(arrays) != len(limits):
        raise ValueError(f"each of {len(arrays)} arrays needs its limit, got {len(limits)}")
    _check_floats(arrays)


@sums_of_squares.check
def _check_floats(arrays):
    for x in arrays:
        if x.dtype.char not in "fd":
            raise TypeError(f"gradients are float32 or float64, got {x.dtype}: convert the array first")


@sgd.check
def _(param, grad, velocity, **settings):
    _check_flat(param, grad, velocity)


@lion.check
def _(param, grad, m, **settings):
    _check_flat(param, grad, m)


@adamw.example
@adam.example
def _(rng):
    settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
    for size, step, scale in ((5, 1, 1.0), (1000, 20, 0.3), (0, 1, 1.0)):
        param, grad, m = (rng.normal(size=size) for _ in range(3))
        yield (param, grad, m, rng.normal(size=size) ** 2), {**settings, "step": step, "grad_scale": scale}


@adamw_each.example
@adam_each.example
def _(rng):
    cases = list(adamw.examples(rng))
    yield ([arrays for arrays, _ in cases], [one for _, one in cases]), {}
    yield ([], []), {}


@sgd.example
def _(rng):
    for size, momentum, nesterov, scale in ((5, 0.0, False, 1.0), (1000, 0.9, False, 0.3), (1000, 0.9, True, 0.3)):
        settings = {"lr": 1e-2, "momentum": momentum, "weight_decay": 0.1, "nesterov": nesterov, "grad_scale": scale}
        yield tuple(rng.normal(size=size) for _ in range(3)), settings


@lion.example
def _(rng):
    for size, scale in ((5, 1.0), (1000, 0.3)):
        settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.98, "weight_decay": 0.1, "grad_scale": scale}
        yield tuple(rng.normal(size=size) for _ in range(3)), settings


@within.example
def _(rng):
    for limit in (10.0, 0.5):
        yield (rng.normal(size=(33, 100)), limit), {}
    for wrong in (np.nan, np.inf, -np.inf):
        yield (np.append(rng.normal(size=70), wrong), 1e30), {}


@sum_of_squares.example
def _(rng):
    for shape in ((7,), (33, 100), (0,), ()):
        yield (np.asarray(rng.normal(size=shape)),), {}


@each_within.example
def _(rng):
    cases = list(within.examples(rng))
    yield ([x for (x, _), _ in cases], [limit for (_, limit), _ in cases]), {}


@sums_of_squares.example
def _(rng):
    yield ([x for (x,), _ in sum_of_squares.examples(rng)],), {}
