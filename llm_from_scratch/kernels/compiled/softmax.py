"""Compiled versions of `kernels.softmax`: three short passes over a row that stays in the nearest cache."""

from __future__ import annotations

import math

import numpy as np

from ..dispatch import compiled
from . import elementary


def _rows(x):
    if x.ndim == 0:
        raise ValueError("x must have at least one axis")
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _forward(loop):
    def function(x):
        rows = _rows(x)
        y = np.empty_like(x)
        loop(rows, x.dtype.type(np.finfo(x.dtype).tiny), y.reshape(rows.shape))
        return y

    return function


def _backward(loop):
    def function(dy, y):
        if dy.shape != y.shape:
            raise ValueError(f"dy and y must have one shape, got {dy.shape} and {y.shape}")
        rows = _rows(y)
        dx = np.empty_like(y)
        loop(dy.reshape(rows.shape), rows, dx.reshape(rows.shape))
        return dx

    return function


@compiled
def _softmax(x, tiny, y):
    kind = x.dtype.type
    zero, one = kind(0.0), kind(1.0)
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        largest = elementary.maximum(row)
        if largest == -np.inf:
            largest = zero
        total = zero
        for i in range(row.size):
            e = elementary.exp(row[i] - largest)
            total += e
            out[i] = e
        scale = zero if total == zero else one / total
        for i in range(row.size):
            p = out[i] * scale
            out[i] = zero if p < tiny else p


@compiled
def _softmax_backward(dy, y, dx):
    for n in range(y.shape[0]):
        grow, row, out = dy[n], y[n], dx[n]
        along = y.dtype.type(0.0)
        for i in range(row.size):
            along += grow[i] * row[i]
        for i in range(row.size):
            out[i] = row[i] * (grow[i] - along)


@compiled
def _log_softmax(x, tiny, y):
    kind = x.dtype.type
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        largest = elementary.maximum(row)
        if largest == -np.inf:
            for i in range(row.size):
                out[i] = kind(-np.inf)
            continue
        total = kind(0.0)
        for i in range(row.size):
            total += elementary.exp(row[i] - largest)
        logarithm = kind(math.log(total))
        for i in range(row.size):
            out[i] = (row[i] - largest) - logarithm


@compiled
def _log_softmax_backward(dy, y, dx):
    for n in range(y.shape[0]):
        grow, row, out = dy[n], y[n], dx[n]
        total = y.dtype.type(0.0)
        for i in range(row.size):
            total += grow[i]
        for i in range(row.size):
            out[i] = grow[i] - elementary.exp(row[i]) * total


softmax, log_softmax = _forward(_softmax), _forward(_log_softmax)
softmax_backward, log_softmax_backward = _backward(_softmax_backward), _backward(_log_softmax_backward)
