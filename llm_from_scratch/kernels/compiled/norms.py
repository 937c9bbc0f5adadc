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


def layer_norm(x, weight, bias, eps):
    rows, kind = _rows(x), x.dtype.type
    y, mean, inverse_std = np.empty_like(x), np.empty(x.shape[:-1], x.dtype), np.empty(x.shape[:-1], x.dtype)
    weight, bias = _parameter(weight, x, 1), _parameter(bias, x, 0)
    _layer_norm(rows, weight, bias, kind(eps), y.reshape(rows.shape), mean.reshape(-1), inverse_std.reshape(-1))
    return y, mean, inverse_std


def layer_norm_backward(dy, x, weight, mean, inverse_std, needs=(True, True, True)):
    rows = _rows(x)
    _same_rows(x, dy, mean, inverse_std)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    totals = np.zeros((2, x.shape[-1]), x.dtype)
    _layer_norm_backward(
        dy.reshape(rows.shape), rows, weight, mean.reshape(-1), inverse_std.reshape(-1),
        bool(needs[0]), bool(needs[1] or needs[2]), dx.reshape(-1, x.shape[-1]), totals,
    )  # fmt: skip
    return dx if needs[0] else None, totals[0] if needs[1] else None, totals[1] if needs[2] else None


def rms_norm(x, weight, eps):
    rows, kind = _rows(x), x.dtype.type
    y, inverse_rms = np.empty_like(x), np.empty(x.shape[:-1], x.dtype)
    _rms_norm(rows, _parameter(weight, x, 1), kind(eps), y.reshape(rows.shape), inverse_rms.reshape(-1))
    return y, inverse_rms


def rms_norm_backward(dy, x, weight, inverse_rms, needs=(True, True)):
    rows = _rows(x)
    _same_rows(x, dy, inverse_rms)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    total = np.zeros(x.shape[-1], x.dtype)
    _rms_norm_backward(
        dy.reshape(rows.shape), rows, weight, inverse_rms.reshape(-1),
        bool(needs[0]), bool(needs[1]), dx.reshape(-1, x.shape[-1]), total,
    )  # fmt: skip
    return dx if needs[0] else None, total if needs[1] else None


def rms_norm_outside(x, weight, eps):
    rows, kind = _rows(x), x.dtype.type
    y, rms = np.empty_like(x), np.empty(x.shape[:-1], x.dtype)
    _rms_norm_outside(rows, _parameter(weight, x, 1), kind(eps), y.reshape(rows.shape), rms.reshape(-1))
    return y, rms


def rms_norm_outside_backward(dy, x, weight, rms, eps, needs=(True, True)):
    rows = _rows(x)
    _same_rows(x, dy, rms)
    weight = _parameter(weight, x, 1)
    dx = np.empty(x.shape if needs[0] else (0, 0), x.dtype)
    total = np.zeros(x.shape[-1], x.dtype)
    _rms_norm_outside_backward(
        dy.reshape(rows.shape), rows, weight, rms.reshape(-1), x.dtype.type(eps),
        bool(needs[0]), bool(needs[1]), dx.reshape(-1, x.shape[-1]), total,
    )  # fmt: skip
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
