"""Compiled versions of `kernels.norms`: one row at a time, while it is in the nearest cache.

Weight gradients are summed over rows in a fixed order, in blocks of rows first, which keeps float32 sums over
many rows accurate.
"""

from __future__ import annotations

import math

import numpy as np

from ..dispatch import compiled

BLOCK = 32  # rows summed before they are added to the total


def _rows(x):
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"x must have a last axis of at least one entry, got shape {x.shape}")
    return x.reshape(x.size // x.shape[-1], x.shape[-1])


def _parameter(parameter, x, fill):
    """The parameter, or its neutral value where there is none: one compiled version then serves both."""
    if parameter is None:
        return np.full(x.shape[-1], fill, x.dtype)
    if parameter.shape != x.shape[-1:]:
        raise ValueError(f"weight and bias must have shape {x.shape[-1:]} to fit x {x.shape}, got {parameter.shape}")
    return parameter


def _same_rows(x, dy, *statistics):
    if dy.shape != x.shape or any(s.shape != x.shape[:-1] for s in statistics):
        raise ValueError(f"dy {dy.shape} or {[s.shape for s in statistics]} does not fit x {x.shape}")


def _out_of_range(rows, root, least):
    """As in the twin: rows to be done again, and what to divide them by."""
    info = np.finfo(rows.dtype)
    lowest = math.sqrt(info.tiny / info.eps)
    for n in np.flatnonzero(~((root > lowest) & (root < 1 / lowest))):
        largest = float(np.abs(rows[n]).max())
        m = max(largest, least)
        if 0 < largest and m < math.inf and m != 1:
            yield n, m


def layer_norm(x, weight, bias, eps):
    rows, kind = _rows(x), x.dtype.type
    y, mean, inverse_std = np.empty_like(x), np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    weight, bias = _parameter(weight, x, 1), _parameter(bias, x, 0)
    out, centres, inverses = y.reshape(rows.shape), mean.reshape(-1), inverse_std.reshape(-1)
    _layer_norm(rows, weight, bias, kind(eps), out, centres, inverses)
    for n, m in _out_of_range(rows, inverses, math.sqrt(eps)):
        one = slice(n, n + 1)
        _layer_norm(rows[one] / kind(m), weight, bias, kind(eps / m / m), out[one], centres[one], inverses[one])
        centres[n], inverses[n] = centres[n] * m, inverses[n] / m
    return y, mean, inverse_std


def layer_norm_backward(dy, x, weight, mean, inverse_std, needs=(True, True, True)):
    rows = _rows(x)
    _same_rows(x, dy, mean, inverse_std)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    totals = np.zeros((2, x.shape[-1]), x.dtype)
    given, centres, inverses = dy.reshape(rows.shape), mean.reshape(-1), inverse_std.reshape(-1)
    out, parameters = dx.reshape(-1, x.shape[-1]), bool(needs[1] or needs[2])
    _layer_norm_backward(given, rows, weight, centres, inverses, bool(needs[0]), parameters, out, totals)
    for n, m in _out_of_range(rows, inverses, 0.0) if needs[0] else ():
        one, m = slice(n, n + 1), x.dtype.type(m)
        scaled = rows[one] / m, weight, centres[one] / m, inverses[one] * m
        _layer_norm_backward(given[one], *scaled, True, False, out[one], totals)
        out[one] /= m
    return dx if needs[0] else None, totals[0] if needs[1] else None, totals[1] if needs[2] else None


def rms_norm(x, weight, eps):
    rows, kind = _rows(x), x.dtype.type
    y, inverse_rms = np.empty_like(x), np.empty(x.shape[:-1], x.dtype)
    weight, out, inverses = _parameter(weight, x, 1), y.reshape(rows.shape), inverse_rms.reshape(-1)
    _rms_norm(rows, weight, kind(eps), out, inverses)
    for n, m in _out_of_range(rows, inverses, math.sqrt(eps)):
        one = slice(n, n + 1)
        _rms_norm(rows[one] / kind(m), weight, kind(eps / m / m), out[one], inverses[one])
        inverses[n] /= m
    return y, inverse_rms


def rms_norm_backward(dy, x, weight, inverse_rms, needs=(True, True)):
    rows = _rows(x)
    _same_rows(x, dy, inverse_rms)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    total = np.zeros(x.shape[-1], x.dtype)
    given, inverses, out = dy.reshape(rows.shape), inverse_rms.reshape(-1), dx.reshape(-1, x.shape[-1])
    _rms_norm_backward(given, rows, weight, inverses, bool(needs[0]), bool(needs[1]), out, total)
    for n, m in _out_of_range(rows, inverses, 0.0) if needs[0] else ():
        one, m = slice(n, n + 1), x.dtype.type(m)
        _rms_norm_backward(given[one], rows[one] / m, weight, inverses[one] * m, True, False, out[one], total)
        out[one] /= m
    return dx if needs[0] else None, total if needs[1] else None


def rms_norm_outside(x, weight, eps):
    rows, kind = _rows(x), x.dtype.type
    y, rms = np.empty_like(x), np.empty(x.shape[:-1], x.dtype)
    weight, out, roots = _parameter(weight, x, 1), y.reshape(rows.shape), rms.reshape(-1)
    _rms_norm_outside(rows, weight, kind(eps), out, roots)
    for n, m in _out_of_range(rows, roots, eps):
        one = slice(n, n + 1)
        _rms_norm_outside(rows[one] / kind(m), weight, kind(eps / m), out[one], roots[one])
        roots[n] *= m
    return y, rms


def rms_norm_outside_backward(dy, x, weight, rms, eps, needs=(True, True)):
    rows = _rows(x)
    _same_rows(x, dy, rms)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    total = np.zeros(x.shape[-1], x.dtype)
    given, roots, out, kind = dy.reshape(rows.shape), rms.reshape(-1), dx.reshape(-1, x.shape[-1]), x.dtype.type
    _rms_norm_outside_backward(given, rows, weight, roots, kind(eps), bool(needs[0]), bool(needs[1]), out, total)
    for n, m in _out_of_range(rows, roots, eps) if needs[0] else ():
        one, eps_here, m = slice(n, n + 1), kind(eps / m), kind(m)
        scaled = rows[one] / m, weight, roots[one] / m, eps_here
        _rms_norm_outside_backward(given[one], *scaled, True, False, out[one], total)
        out[one] /= m
    return dx if needs[0] else None, total if needs[1] else None


@compiled
def _layer_norm(x, weight, bias, eps, y, mean, inverse_std):
    kind = x.dtype.type
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


@compiled
def _layer_norm_backward(dy, x, weight, mean, inverse_std, need_x, need_parameters, dx, totals):
    kind = x.dtype.type
    width = kind(x.shape[1])
    dweight, dbias = totals[0], totals[1]
    block = np.zeros_like(totals)
    block_weight, block_bias = block[0], block[1]
    for n in range(x.shape[0]):
        row, grow, centre, inverse = x[n], dy[n], mean[n], inverse_std[n]
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


@compiled
def _rms_norm(x, weight, eps, y, inverse_rms):
    kind = x.dtype.type
    one, width = kind(1.0), kind(x.shape[1])
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        square = kind(0.0)
        for i in range(row.size):
            square += row[i] * row[i]
        inverse = one / kind(math.sqrt(square / width + eps))
        for i in range(row.size):
            out[i] = row[i] * inverse * weight[i]
        inverse_rms[n] = inverse


@compiled
def _rms_norm_backward(dy, x, weight, inverse_rms, need_x, need_weight, dx, total):
    kind = x.dtype.type
    width = kind(x.shape[1])
    block = np.zeros_like(total)
    for n in range(x.shape[0]):
        row, grow, inverse = x[n], dy[n], inverse_rms[n]
        if need_x:
            out = dx[n]
            along = kind(0.0)
            for i in range(row.size):
                along += grow[i] * weight[i] * row[i]
            along = along * inverse / width
            for i in range(row.size):
                out[i] = inverse * (grow[i] * weight[i] - row[i] * inverse * along)
        if need_weight:
            for i in range(row.size):
                block[i] += grow[i] * (row[i] * inverse)
            if n % BLOCK == BLOCK - 1 or n == x.shape[0] - 1:
                for i in range(row.size):
                    total[i] += block[i]
                    block[i] = kind(0.0)


@compiled
def _rms_norm_outside(x, weight, eps, y, rms):
    kind = x.dtype.type
    one, width = kind(1.0), kind(x.shape[1])
    for n in range(x.shape[0]):
        row, out = x[n], y[n]
        square = kind(0.0)
        for i in range(row.size):
            square += row[i] * row[i]
        root = kind(math.sqrt(square / width))
        inverse = one / (root + eps)
        for i in range(row.size):
            out[i] = row[i] * inverse * weight[i]
        rms[n] = root


@compiled
def _rms_norm_outside_backward(dy, x, weight, rms, eps, need_x, need_weight, dx, total):
    kind = x.dtype.type
    one, width = kind(1.0), kind(x.shape[1])
    block = np.zeros_like(total)
    for n in range(x.shape[0]):
        row, grow, root = x[n], dy[n], rms[n]
        inverse = one / (root + eps)
        if need_x:
            out = dx[n]
            along = kind(0.0)
            for i in range(row.size):
                along += grow[i] * weight[i] * row[i]
            along = along * inverse / (root * width) if root > kind(0.0) else kind(0.0)
            for i in range(row.size):
                out[i] = inverse * (grow[i] * weight[i] - row[i] * along)
        if need_weight:
            for i in range(row.size):
                block[i] += grow[i] * (row[i] * inverse)
            if n % BLOCK == BLOCK - 1 or n == x.shape[0] - 1:
                for i in range(row.size):
                    total[i] += block[i]
                    block[i] = kind(0.0)
