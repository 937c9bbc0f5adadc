"""Compiled versions of `kernels.optimizers`: one pass over memory each."""

from __future__ import annotations

import math

import numpy as np

from ..dispatch import compiled


def adamw(param, grad, m, v, *, lr, beta1, beta2, eps, weight_decay, step, grad_scale=1.0):
    if param.ndim != 1 or not param.shape == grad.shape == m.shape == v.shape:
        raise ValueError(
            "param, grad, m and v must be flat and of one length, got "
            f"{param.shape}, {grad.shape}, {m.shape}, {v.shape}"
        )
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    tiny = float(np.finfo(param.dtype).tiny)
    constants = (
        grad_scale, beta1, 1 - beta1, beta2, 1 - beta2, 1 - lr * weight_decay,
        lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps, tiny,
        math.sqrt(tiny / max(1 - beta2, 1e-12)),  # see smallest_squared in the twin
    )  # fmt: skip
    with np.errstate(over="ignore"):  # a rate of 1e308 is infinite in float32, and then so are the weights
        in_format = np.array(constants, param.dtype)
    _adamw(param, grad, m, v, in_format)


def sum_of_squares(x):
    return _sum_of_squares(x.reshape(-1))


@compiled
def _adamw(param, grad, m, v, constants):
    zero = param.dtype.type(0.0)
    scale, beta1, rest1, beta2, rest2 = constants[0], constants[1], constants[2], constants[3], constants[4]
    keep, rate, root_correction, eps, tiny = (
        constants[5],
        constants[6],
        constants[7],
        constants[8],
        constants[9],
    )
    smallest_squared = constants[10]
    for i in range(param.size):
        g = grad[i] * scale
        first = beta1 * m[i] + rest1 * g
        g = zero if abs(g) < smallest_squared else g
        second = beta2 * v[i] + rest2 * (g * g)
        first = zero if abs(first) < tiny else first
        second = zero if abs(second) < tiny else second
        p = keep * param[i] - rate * (first / (math.sqrt(second) * root_correction + eps))
        m[i], v[i] = first, second
        param[i] = zero if abs(p) < tiny else p


@compiled
def _sum_of_squares(x):
    total = 0.0
    for i in range(x.size):
        wide = np.float64(x[i])
        total += wide * wide
    return total
