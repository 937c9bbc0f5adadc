"""Other right answers of chapter 24.

Fractions and a search from below, loops over rows, columns deleted and put beside, a table of distances, divmod.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np


def float_bits(x, exponent_bits, mantissa_bits):
    sign = 1 if math.copysign(1, x) < 0 else 0
    bias = 2 ** (exponent_bits - 1) - 1
    top = 2**exponent_bits - 1
    field, mantissa = top, 0
    if not math.isinf(x):
        size = Fraction(abs(x))
        field = 1
        while size >= 2 * Fraction(2) ** (field - bias) and field < top:
            field += 1
        mantissa = round(size / Fraction(2) ** (field - bias - mantissa_bits)) - 2**mantissa_bits
        if mantissa < 0:
            field, mantissa = 0, mantissa + 2**mantissa_bits
        if mantissa == 2**mantissa_bits:
            field, mantissa = field + 1, 0
        if field >= top:
            field, mantissa = top, 0
    return int(f"{sign}{field:0{exponent_bits}b}{mantissa:0{mantissa_bits}b}", 2)


def quantize_rows(weight):
    codes, absmax = np.zeros(weight.shape, np.int8), np.zeros(len(weight), np.float32)
    for row, out, n in zip(weight, codes, range(len(weight)), strict=True):
        absmax[n] = max(row.max(), -row.min())
        if absmax[n]:
            out[:] = np.round(row * (np.float32(127) / absmax[n]))
    return codes, absmax


def int8_matmul(x, codes, absmax, threshold=6.0):
    columns = np.flatnonzero(np.abs(x).max(axis=0) >= threshold)
    small = x * (np.abs(x) < threshold)
    x_codes, x_absmax = quantize_rows(small.astype(np.float32))
    left = np.delete(x_codes, columns, axis=1).astype(np.int64) @ np.delete(codes, columns, axis=1).astype(np.int64).T
    y = left * (x_absmax.astype(np.float64)[:, None] * absmax / 127**2)
    y += x[:, columns].astype(np.float64) @ (codes[:, columns] / 127.0 * absmax[:, None].astype(np.float64)).T
    return y.astype(np.float32)


def pack_nf4(weight, table, block_size=64):
    flat, codes, absmax = weight.ravel(), [], []
    for start in range(0, len(flat), block_size):
        block = flat[start : start + block_size]
        absmax.append(np.abs(block).max())
        scaled = block / absmax[-1] if absmax[-1] else block
        codes += np.abs(scaled[:, None].astype(np.float64) - table).argmin(axis=1).tolist()
    if len(codes) % 2:
        codes.append(int(np.abs(table).argmin()))
    pairs = np.array(codes, np.uint8).reshape(-1, 2)
    return pairs[:, 0] * np.uint8(16) + pairs[:, 1], np.array(absmax, np.float32)


def quantize_q4_1(values):
    out = np.zeros((len(values), 20), np.uint8)
    for block, row in zip(values, out, strict=True):
        low, high = block.min(), block.max()
        d = (high - low) / np.float32(15)
        row[:4] = np.frombuffer(np.array([d, low], "<f2").tobytes(), np.uint8)
        codes = ((block - low) / d + np.float32(0.5)).astype(int).clip(0, 15) if d else np.zeros(32, int)
        row[4:] = codes[:16] + 16 * codes[16:]
    return out
