"""Compiled versions of `kernels.optimizers`: one pass over memory each."""

from __future__ import annotations

import functools
import math

import numpy as np
from numba.extending import register_jitable

from ..dispatch import SETTINGS, compiled


def adamw(param, grad, m, v, *, lr, beta1, beta2, eps, weight_decay, step, grad_scale=1.0):
    """Compiled twin of `kernels.optimizers.adamw`."""
    constants = _adam_constants(param.dtype, lr, beta1, beta2, eps, step)
    _adamw(param, grad, m, v, constants, _in_format(param.dtype, grad_scale, 1 - lr * weight_decay))


def adam(param, grad, m, v, *, lr, beta1, beta2, eps, weight_decay, step, grad_scale=1.0):
    """Compiled twin of `kernels.optimizers.adam`."""
    constants = _adam_constants(param.dtype, lr, beta1, beta2, eps, step)
    _adam(param, grad, m, v, constants, _in_format(param.dtype, grad_scale, weight_decay))


def sgd(param, grad, velocity, *, lr, momentum, weight_decay, nesterov=False, grad_scale=1.0):
    """Compiled twin of `kernels.optimizers.sgd`."""
    # What enters a step: the new velocity alone, or (Nesterov) its continuation by one more step and the gradient.
    ahead, now = (momentum, 1.0) if nesterov else (1.0, 0.0)
    _sgd(param, grad, velocity, _in_format(param.dtype, grad_scale, weight_decay, momentum, lr * ahead, lr * now))


def lion(param, grad, m, *, lr, beta1, beta2, weight_decay, grad_scale=1.0):
    """Compiled twin of `kernels.optimizers.lion`."""
    betas = beta1, 1 - beta1, beta2, 1 - beta2
    _lion(param, grad, m, _in_format(param.dtype, grad_scale, *betas, lr, 1 - lr * weight_decay))


def within(x, limit):
    """Compiled twin of `kernels.optimizers.within`."""
    return _within(x.reshape(-1), x.dtype.type(min(limit, np.finfo(x.dtype).max)))


def sum_of_squares(x):
    """Compiled twin of `kernels.optimizers.sum_of_squares`."""
    return _sum_of_squares(x.reshape(-1))


def adamw_each(pieces, settings):
    """Compiled twin of `kernels.optimizers.adamw_each`."""
    _each(_adamw, pieces, settings, lambda one: 1 - one["lr"] * one["weight_decay"])


def adam_each(pieces, settings):
    """Compiled twin of `kernels.optimizers.adam_each`."""
    _each(_adam, pieces, settings, lambda one: one["weight_decay"])


def each_within(arrays, limits):
    """Compiled twin of `kernels.optimizers.each_within`."""
    return [_within(_flat(x), x.dtype.type(min(limit, np.finfo(x.dtype).max))) for x, limit in zip(arrays, limits)]


def sums_of_squares(arrays):
    """Compiled twin of `kernels.optimizers.sums_of_squares`."""
    return [_sum_of_squares(_flat(x)) for x in arrays]


def _each(loop, pieces, settings, decay):
    known = constants = rest = None  # neighbours mostly share their settings, one dictionary
    for (param, grad, *moments), one in zip(pieces, settings):
        dtype = param.dtype
        if one is not known or constants is None or dtype != constants.dtype:
            numbers = (one[name] for name in ("lr", "beta1", "beta2", "eps", "step"))
            known, constants = one, _adam_constants(dtype, *numbers)
            rest = _in_format(dtype, one["grad_scale"], decay(one))
        loop(param, _flat(grad), *moments, constants, rest)


def _flat(x):
    return x.reshape(-1) if x.flags.carray and x.dtype.isnative else np.array(x, x.dtype.newbyteorder("=")).reshape(-1)


@functools.lru_cache(maxsize=64)  # a model has many parameters, and one set of numbers a step
def _in_format(dtype, *numbers):
    """The numbers and the smallest normal one as an array of that dtype."""
    with np.errstate(over="ignore"):  # a rate of 1e308 is infinite in float32, and then so are the weights
        return np.array([*numbers, np.finfo(dtype).tiny], dtype)


@functools.lru_cache(maxsize=64)
def _adam_constants(dtype, lr, beta1, beta2, eps, step):
    smallest_squared = math.sqrt(float(np.finfo(dtype).tiny) / max(1 - beta2, 1e-12))  # see the twin
    rate, root_correction = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return _in_format(dtype, beta1, 1 - beta1, beta2, 1 - beta2, rate, root_correction, eps, smallest_squared)


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


# Reading alone waits for memory, and a core waits for several places at once as long as for one: an array is read in
# four places side by side. (The updates above walk through four arrays anyway.)


@compiled
def _within(x, limit):
    quarter = x.size // 4
    a, b, c, d = x[:quarter], x[quarter : 2 * quarter], x[2 * quarter : 3 * quarter], x[3 * quarter : 4 * quarter]
    all_are = True
    for i in range(a.size):  # no early end: that would stop vectorisation
        all_are = all_are & (abs(a[i]) <= limit) & (abs(b[i]) <= limit) & (abs(c[i]) <= limit) & (abs(d[i]) <= limit)
    rest = x[4 * quarter :]
    for i in range(rest.size):
        all_are = all_are & (abs(rest[i]) <= limit)
    return all_are


@compiled
def _sum_of_squares(x):
    quarter = x.size // 4
    a, b, c, d = x[:quarter], x[quarter : 2 * quarter], x[2 * quarter : 3 * quarter], x[3 * quarter : 4 * quarter]
    total = 0.0
    for i in range(a.size):
        first, second, third, fourth = np.float64(a[i]), np.float64(b[i]), np.float64(c[i]), np.float64(d[i])
        total += first * first + second * second + third * third + fourth * fourth
    rest = x[4 * quarter :]
    for i in range(rest.size):
        wide = np.float64(rest[i])
        total += wide * wide
    return total
