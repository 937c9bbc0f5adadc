"""The AdamW update and the squared norm of a gradient, on flat arrays that may be slices of larger ones.

Both are serial: give each thread its own slice. Subnormal numbers, into which the moments of an unused
parameter decay, are flushed to zero: arithmetic on them can be a hundred times slower.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel


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

    param, grad, m, v (N,); step counts from 1; grad_scale multiplies the gradient first (clipping costs no
    pass of its own). The decay is lr weight_decay param, taken from the parameter before the step; eps stands
    outside the square root of the bias-corrected second moment.

    >>> param, grad, m, v = np.array([1.0]), np.array([0.5]), np.zeros(1), np.zeros(1)
    >>> adamw(param, grad, m, v, lr=0.1, beta1=0.9, beta2=0.999, eps=0.0, weight_decay=0.0, step=1)
    >>> param                                # the first step has size lr, whatever the gradient
    array([0.9])

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with the rate folded into the decay.
    """
    check_adamw(param, grad, m, v, step)
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    with np.errstate(under="ignore"):
        g = grad * param.dtype.type(grad_scale)
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        g[np.abs(g) < smallest_squared(beta2, g.dtype)] = 0
        v += (1 - beta2) * (g * g)
        flush(m)
        flush(v)
        param *= 1 - lr * weight_decay
        param -= (lr / correction1) * (m / (np.sqrt(v) / np.sqrt(correction2).item() + eps))
        flush(param)


@kernel
def sum_of_squares(x: np.ndarray) -> float:
    """The sum of the squared entries, added up in float64 in a fixed order.

    >>> sum_of_squares(np.array([3.0, 4.0], np.float32))
    25.0
    """
    wide = x.reshape(-1).astype(np.float64)
    return float((wide * wide).sum())


def flush(x: np.ndarray) -> None:
    """Set entries too small for a normal number to zero, in place."""
    x[np.abs(x) < np.finfo(x.dtype).tiny] = 0


def smallest_squared(beta2: float, dtype: np.dtype) -> float:
    """From what |g| on (1 - beta2) g^2 is a normal number; below, it counts as 0 in the second moment."""
    return float(np.sqrt(np.finfo(dtype).tiny / max(1 - beta2, 1e-12)))


def check_adamw(param: np.ndarray, grad: np.ndarray, m: np.ndarray, v: np.ndarray, step: int) -> None:
    """Raise ValueError unless the four arrays are flat and equally long and the step counts from 1."""
    if param.ndim != 1 or not param.shape == grad.shape == m.shape == v.shape:
        raise ValueError(
            "param, grad, m and v must be flat and of one length, got "
            f"{param.shape}, {grad.shape}, {m.shape}, {v.shape}"
        )
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")


@adamw.example
def _(rng):
    settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
    for size, step, scale in ((5, 1, 1.0), (1000, 20, 0.3), (0, 1, 1.0)):
        param, grad, m = (rng.normal(size=size) for _ in range(3))
        yield (param, grad, m, rng.normal(size=size) ** 2), {**settings, "step": step, "grad_scale": scale}


@sum_of_squares.example
def _(rng):
    for shape in ((7,), (33, 100), (0,), ()):
        yield (np.asarray(rng.normal(size=shape)),), {}
