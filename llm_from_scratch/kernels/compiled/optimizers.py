"""Compiled versions of `kernels.optimizers`: one pass over memory each."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from ..dispatch import SETTINGS, compiled


def adamw(param, grad, m, v, *, lr, beta1, beta2, eps, weight_decay, step, grad_scale=1.0):
    constants = _adam_constants(param, lr, beta1, beta2, eps, step)
    _adamw(param, grad, m, v, constants, _in_format(param, grad_scale, 1 - lr * weight_decay))


def adam(param, grad, m, v, *, lr, beta1, beta2, eps, weight_decay, step, grad_scale=1.0):
    constants = _adam_constants(param, lr, beta1, beta2, eps, step)
    _adam(param, grad, m, v, constants, _in_format(param, grad_scale, weight_decay))


def sgd(param, grad, velocity, *, lr, momentum, weight_decay, nesterov=False, grad_scale=1.0):
    # What enters a step: the new velocity alone, or (Nesterov) its continuation by one more step and the gradient.
    ahead, now = (momentum, 1.0) if nesterov else (1.0, 0.0)
    _sgd(param, grad, velocity, _in_format(param, grad_scale, weight_decay, momentum, lr * ahead, lr * now))


def lion(param, grad, m, *, lr, beta1, beta2, weight_decay, grad_scale=1.0):
    betas = beta1, 1 - beta1, beta2, 1 - beta2
    _lion(param, grad, m, _in_format(param, grad_scale, *betas, lr, 1 - lr * weight_decay))


def within(x, limit):
    return _within(x.reshape(-1), x.dtype.type(min(limit, np.finfo(x.dtype).max)))


def sum_of_squares(x):
    return _sum_of_squares(x.reshape(-1))


def _in_format(param, *numbers):
    """The numbers and the smallest normal one as an array of the parameter's dtype."""
    with np.errstate(over="ignore"):  # a rate of 1e308 is infinite in float32, and then so are the weights
        return np.array([*numbers, np.finfo(param.dtype).tiny], param.dtype)


def _adam_constants(param, lr, beta1, beta2, eps, step):
    smallest_squared = math.sqrt(float(np.finfo(param.dtype).tiny) / max(1 - beta2, 1e-12))  # see the twin
    rate, root_correction = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return _in_format(param, beta1, 1 - beta1, beta2, 1 - beta2, rate, root_correction, eps, smallest_squared)


@register_jitable(error_model="numpy", fastmath=SETTINGS["fastmath"])
def _moments(g, first, second, constants):
    """Both moments moved by one gradient, and how far the weight moves."""
    zero = constants.dtype.type(0.0)
    beta1, rest1, beta2, rest2 = constants[0], constants[1], constants[2], constants[3]
    rate, root_correction, eps, smallest_squared, tiny = (
        constants[4],
        constants[5],
        constants[6],
        constants[7],
        constants[8],
    )
    first = beta1 * first + rest1 * g
    g = zero if abs(g) < smallest_squared else g
    second = beta2 * second + rest2 * (g * g)
    first = zero if abs(first) < tiny else first
    second = zero if abs(second) < tiny else second
    return first, second, rate * (first / (math.sqrt(second) * root_correction + eps))


@compiled
def _adamw(param, grad, m, v, constants, settings):
    zero, scale, keep, tiny = param.dtype.type(0.0), settings[0], settings[1], settings[2]
    for i in range(param.size):
        m[i], v[i], move = _moments(grad[i] * scale, m[i], v[i], constants)
        p = keep * param[i] - move
        param[i] = zero if abs(p) < tiny else p


@compiled
def _adam(param, grad, m, v, constants, settings):
    zero, scale, decay, tiny = param.dtype.type(0.0), settings[0], settings[1], settings[2]
    for i in range(param.size):
        m[i], v[i], move = _moments(grad[i] * scale + decay * param[i], m[i], v[i], constants)
        p = param[i] - move
        param[i] = zero if abs(p) < tiny else p


@compiled
def _sgd(param, grad, velocity, settings):
    zero, scale, decay, momentum, ahead, now, tiny = (
        param.dtype.type(0.0),
        settings[0],
        settings[1],
        settings[2],
        settings[3],
        settings[4],
        settings[5],
    )
    for i in range(param.size):
        g = grad[i] * scale + decay * param[i]
        v = momentum * velocity[i] + g
        v = zero if abs(v) < tiny else v
        p = param[i] - (ahead * v + now * g)
        velocity[i] = v
        param[i] = zero if abs(p) < tiny else p


@compiled
def _lion(param, grad, m, settings):
    zero, scale = param.dtype.type(0.0), settings[0]
    beta1, rest1, beta2, rest2, rate, keep, tiny = (
        settings[1],
        settings[2],
        settings[3],
        settings[4],
        settings[5],
        settings[6],
        settings[7],
    )
    for i in range(param.size):
        g = grad[i] * scale
        direction = beta1 * m[i] + rest1 * g
        move = rate if direction > zero else direction  # which is 0, or not a number
        move = -rate if direction < zero else move
        p = keep * param[i] - move
        first = beta2 * m[i] + rest2 * g
        m[i] = zero if abs(first) < tiny else first
        param[i] = zero if abs(p) < tiny else p


@compiled
def _within(x, limit):
    all_are = True
    for i in range(x.size):
        all_are = all_are & (abs(x[i]) <= limit)  # no early end: that would stop vectorisation
    return all_are


@compiled
def _sum_of_squares(x):
    total = 0.0
    for i in range(x.size):
        wide = np.float64(x[i])
        total += wide * wide
    return total
