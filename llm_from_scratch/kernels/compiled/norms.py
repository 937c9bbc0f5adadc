"""Compiled versions of `kernels.norms`: one row at a time, while it is in the nearest cache.

Weight gradients are summed over rows in a fixed order, in blocks of rows first, which keeps float32 sums over
many rows accurate.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from ..dispatch import compiled

BLOCK = 32  # rows summed before they are added to the total


def _rows(x):
    return x.reshape(x.size // x.shape[-1], x.shape[-1])


def _parameter(parameter, x, fill):
    """The parameter, or its neutral value where there is none: one compiled version then serves both."""
    return np.full(x.shape[-1], fill, x.dtype) if parameter is None else parameter


@functools.cache
def _range(dtype):
    """Between which numbers the root of a row's mean square, and its inverse, have all their digits."""
    info = np.finfo(dtype)
    lowest = math.sqrt(info.tiny / info.eps)
    return dtype.type(lowest), dtype.type(1 / lowest)


def _out_of_range(rows, root, least):
    """As in the twin: rows to be done again, and what to divide them by. Asked where a loop has met such a row."""
    lowest, highest = _range(rows.dtype)
    for n in np.flatnonzero(~((root > lowest) & (root < highest))):
        largest = float(np.abs(rows[n]).max())
        m = max(largest, least)
        if 0 < largest and m < math.inf and m != 1:
            yield n, m


def layer_norm(x, weight, bias, eps):
    """Compiled twin of `kernels.norms.layer_norm`."""
    rows, kind = _rows(x), x.dtype.type
    y, mean, inverse_std = np.empty_like(x), np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    weight, bias = _parameter(weight, x, 1), _parameter(bias, x, 0)
    out, centres, inverses = y.reshape(rows.shape), mean.reshape(-1), inverse_std.reshape(-1)
    bounds = _range(x.dtype)
    strange = _layer_norm(rows, weight, bias, kind(eps), bounds, out, centres, inverses)
    for n, m in _out_of_range(rows, inverses, math.sqrt(eps)) if strange else ():
        one = slice(n, n + 1)
        _layer_norm(rows[one] / kind(m), weight, bias, kind(eps / m / m), bounds, out[one], centres[one], inverses[one])
        centres[n], inverses[n] = centres[n] * m, inverses[n] / m
    return y, mean, inverse_std


def layer_norm_backward(dy, x, weight, mean, inverse_std, needs=(True, True, True)):
    """Compiled twin of `kernels.norms.layer_norm_backward`."""
    rows = _rows(x)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    totals = np.zeros((2, x.shape[-1]), x.dtype)
    given, centres, inverses = dy.reshape(rows.shape), mean.reshape(-1), inverse_std.reshape(-1)
    out, parameters = dx.reshape(-1, x.shape[-1]), bool(needs[1] or needs[2])
    bounds = _range(x.dtype)
    wanted = bool(needs[0]), parameters
    strange = _layer_norm_backward(given, rows, weight, centres, inverses, *wanted, bounds, out, totals)
    for n, m in _out_of_range(rows, inverses, 0.0) if strange and needs[0] else ():
        one, m = slice(n, n + 1), x.dtype.type(m)
        scaled = rows[one] / m, weight, centres[one] / m, inverses[one] * m
        _layer_norm_backward(given[one], *scaled, True, False, bounds, out[one], totals)
        out[one] /= m
    return dx if needs[0] else None, totals[0] if needs[1] else None, totals[1] if needs[2] else None


def rms_norm(x, weight, eps, outer=0.0):
    """Compiled twin of `kernels.norms.rms_norm`."""
    rows, kind = _rows(x), x.dtype.type
    y, inverse = np.empty_like(x), np.empty(x.shape[:-1], x.dtype)
    weight, out, inverses = _parameter(weight, x, 1), y.reshape(rows.shape), inverse.reshape(-1)
    bounds = _range(x.dtype)
    strange = _rms_norm(rows, weight, kind(eps), kind(outer), bounds, out, inverses)
    for n, m in _out_of_range(rows, inverses, max(math.sqrt(eps), outer)) if strange else ():
        one = slice(n, n + 1)
        _rms_norm(rows[one] / kind(m), weight, kind(eps / m / m), kind(outer / m), bounds, out[one], inverses[one])
        inverses[n] /= m
    return y, inverse


def rms_norm_backward(dy, x, weight, inverse, needs=(True, True), outer=0.0):
    """Compiled twin of `kernels.norms.rms_norm_backward`."""
    rows, kind = _rows(x), x.dtype.type
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    total = np.zeros(x.shape[-1], x.dtype)
    given, inverses, out = dy.reshape(rows.shape), inverse.reshape(-1), dx.reshape(-1, x.shape[-1])
    bounds, wanted = _range(x.dtype), (bool(needs[0]), bool(needs[1]))
    strange = _rms_norm_backward(given, rows, weight, inverses, kind(outer), *wanted, bounds, out, total)
    for n, m in _out_of_range(rows, inverses, outer) if strange and needs[0] else ():
        one, outer_here, m = slice(n, n + 1), kind(outer / m), kind(m)
        scaled = rows[one] / m, weight, inverses[one] * m, outer_here
        _rms_norm_backward(given[one], *scaled, True, False, bounds, out[one], total)
        out[one] /= m
    return dx if needs[0] else None, total if needs[1] else None


@compiled
def _layer_norm(x, weight, bias, eps, bounds, y, mean, inverse_std):
    kind, strange = x.dtype.type, False
    one, width = kind(1.0), kind(x.shape[1])
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        total = kind(0.0)
        for i in range(row.size):
            total += row[i]
        centre = total / width
        square = kind(0.0)
        for i in range(row.size):
            square += (row[i] - centre) * (row[i] - centre)
        inverse = one / kind(math.sqrt(square / width + eps))
        for i in range(row.size):
            out[i] = (row[i] - centre) * inverse * weight[i] + bias[i]
        mean[n], inverse_std[n] = centre, inverse
        strange = strange or not (bounds[0] < inverse < bounds[1])
    return strange


@compiled
def _layer_norm_backward(dy, x, weight, mean, inverse_std, need_x, need_parameters, bounds, dx, totals):
    kind, strange = x.dtype.type, False
    width = kind(x.shape[1])
    dweight, dbias = totals[0], totals[1]
    block = np.zeros_like(totals)
    block_weight, block_bias = block[0], block[1]
    for n in range(x.shape[0]):
        row, grow, centre, inverse = x[n], dy[n], mean[n], inverse_std[n]
        strange = strange or not (bounds[0] < inverse < bounds[1])
        if need_x:
            out = dx[n]
            plain, along = kind(0.0), kind(0.0)
            for i in range(row.size):
                g = grow[i] * weight[i]
                plain += g
                along += g * (row[i] - centre)
            plain = plain / width
            along = along * inverse / width
            for i in range(row.size):
                out[i] = inverse * (grow[i] * weight[i] - plain - (row[i] - centre) * inverse * along)
        if need_parameters:
            for i in range(row.size):
                block_weight[i] += grow[i] * ((row[i] - centre) * inverse)
                block_bias[i] += grow[i]
            if n % BLOCK == BLOCK - 1 or n == x.shape[0] - 1:
                for i in range(row.size):
                    dweight[i] += block_weight[i]
                    dbias[i] += block_bias[i]
                    block_weight[i] = kind(0.0)
                    block_bias[i] = kind(0.0)
    return strange


@compiled
def _rms_norm(x, weight, eps, outer, bounds, y, inverses):
    kind, strange = x.dtype.type, False
    one, width = kind(1.0), kind(x.shape[1])
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        square = kind(0.0)
        for i in range(row.size):
            square += row[i] * row[i]
        inverse = one / (kind(math.sqrt(square / width + eps)) + outer)
        for i in range(row.size):
            out[i] = row[i] * inverse * weight[i]
        inverses[n] = inverse
        strange = strange or not (bounds[0] < inverse < bounds[1])
    return strange


@compiled
def _rms_norm_backward(dy, x, weight, inverses, outer, need_x, need_weight, bounds, dx, total):
    kind, strange = x.dtype.type, False
    one, width = kind(1.0), kind(x.shape[1])
    block = np.zeros_like(total)
    for n in range(x.shape[0]):
        row, grow, inverse = x[n], dy[n], inverses[n]
        strange = strange or not (bounds[0] < inverse < bounds[1])
        if need_x:
            out = dx[n]
            along = kind(0.0)
            for i in range(row.size):
                along += grow[i] * weight[i] * row[i]
            root = one - outer * inverse  # the root's part of what the row was divided by
            along = along * inverse / (width * root if root > kind(0.0) else kind(np.inf))
            for i in range(row.size):
                out[i] = inverse * (grow[i] * weight[i] - row[i] * inverse * along)
        if need_weight:
            for i in range(row.size):
                block[i] += grow[i] * (row[i] * inverse)
            if n % BLOCK == BLOCK - 1 or n == x.shape[0] - 1:
                for i in range(row.size):
                    total[i] += block[i]
                    block[i] = kind(0.0)
    return strange
