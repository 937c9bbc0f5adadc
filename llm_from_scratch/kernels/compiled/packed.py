"""Compiled versions of `kernels.packed`: eight inputs a pass, so that sums are fetched and stored less often."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

TILE = 64
LOW, FOUR = np.uint8(15), np.uint8(4)


def packed_matmul(x, codes, scale, minimum):
    _check(codes, scale, minimum, x)
    tiles, inputs, _ = codes.shape
    y = np.empty((len(x), tiles * TILE), x.dtype)
    loop = _nibbles if codes.dtype == np.uint8 else _bytes
    flat = codes.reshape(-1), scale.reshape(-1), minimum.reshape(-1)
    for row, out in zip(x, y):
        loop(row, *flat, out, inputs, inputs // scale.shape[1])
    return y


def packed_expand(codes, scale, minimum):
    _check(codes, scale, minimum, None)
    tiles, inputs, _ = codes.shape
    weights = np.empty((inputs, tiles * TILE), scale.dtype)
    loop = _expand_nibbles if codes.dtype == np.uint8 else _expand_bytes
    flat = codes.reshape(-1), scale.reshape(-1), minimum.reshape(-1)
    loop(*flat, weights.reshape(-1), tiles, inputs, inputs // scale.shape[1])
    return weights


def _check(codes, scale, minimum, x):
    width = {"uint8": TILE // 2, "int8": TILE}.get(str(codes.dtype))
    if codes.ndim != 3 or codes.shape[2] != width:
        raise ValueError(f"codes must be int8 (tiles, inputs, 64) or uint8 (…, 32), got {codes.dtype} {codes.shape}")
    tiles, inputs, _ = codes.shape
    groups = scale.shape[1] if scale.ndim == 3 else 0
    if scale.shape != (tiles, groups, TILE) or not groups or inputs % (8 * groups):
        raise ValueError(f"scale {scale.shape} does not fit codes {codes.shape}: (tiles, inputs / g, 64), 8 divides g")
    if minimum.size and minimum.shape != scale.shape:
        raise ValueError(f"minimum {minimum.shape} must have the shape of scale {scale.shape}, or size 0")
    if x is not None and (x.ndim != 2 or x.shape[1] != inputs):
        raise ValueError(f"x {x.shape} does not fit {inputs} inputs: (N, {inputs}) was expected")


@compiled
def _sums(x, group):
    """The sum of each group of inputs, which a group's minimum is multiplied with."""
    sums = np.zeros(x.size // group, x.dtype)
    for g in range(sums.size):
        part = x[g * group : (g + 1) * group]
        total = sums[g]
        for i in range(part.size):
            total += part[i]
        sums[g] = total
    return sums


@compiled(inline="always")
def _close_group(total, part, scale, minimum, at, sums, g):
    """total += scale · part + minimum · (sum of the group's inputs), for one tile."""
    s = scale[at : at + TILE]
    for o in range(TILE):
        total[o] += s[o] * part[o]
    if minimum.size:
        m, x = minimum[at : at + TILE], sums[g]
        for o in range(TILE):
            total[o] += m[o] * x


@compiled(inline="always")
def _four(codes, at, width):
    """The codes of four neighbouring inputs."""
    return (
        codes[at : at + width],
        codes[at + width : at + 2 * width],
        codes[at + 2 * width : at + 3 * width],
        codes[at + 3 * width : at + 4 * width],
    )


@compiled
def _nibbles(x, codes, scale, minimum, y, inputs, group):
    kind = x.dtype.type
    part, groups, sums = np.empty(TILE, x.dtype), inputs // group, _sums(x, group)
    low, high = part[:32], part[32:]
    for t in range(y.size // TILE):
        total = y[t * TILE : (t + 1) * TILE]
        total[:] = 0
        for g in range(groups):
            part[:] = 0
            for i in range(g * group, (g + 1) * group, 8):
                at = (t * inputs + i) * 32
                a, b, c, d = _four(codes, at, 32)
                e, f, h, k = _four(codes, at + 128, 32)
                x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
                x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
                for o in range(32):
                    low[o] += (
                        x0 * kind(a[o] & LOW) + x1 * kind(b[o] & LOW) + x2 * kind(c[o] & LOW) + x3 * kind(d[o] & LOW)
                        + x4 * kind(e[o] & LOW) + x5 * kind(f[o] & LOW) + x6 * kind(h[o] & LOW) + x7 * kind(k[o] & LOW)
                    )  # fmt: skip
                for o in range(32):
                    high[o] += (
                        x0 * kind(a[o] >> FOUR) + x1 * kind(b[o] >> FOUR)
                        + x2 * kind(c[o] >> FOUR) + x3 * kind(d[o] >> FOUR)
                        + x4 * kind(e[o] >> FOUR) + x5 * kind(f[o] >> FOUR)
                        + x6 * kind(h[o] >> FOUR) + x7 * kind(k[o] >> FOUR)
                    )  # fmt: skip
            _close_group(total, part, scale, minimum, (t * groups + g) * TILE, sums, g)


@compiled
def _bytes(x, codes, scale, minimum, y, inputs, group):
    kind = x.dtype.type
    part, groups, sums = np.empty(TILE, x.dtype), inputs // group, _sums(x, group)
    for t in range(y.size // TILE):
        total = y[t * TILE : (t + 1) * TILE]
        total[:] = 0
        for g in range(groups):
            part[:] = 0
            for i in range(g * group, (g + 1) * group, 8):
                at = (t * inputs + i) * TILE
                a, b, c, d = _four(codes, at, TILE)
                e, f, h, k = _four(codes, at + 4 * TILE, TILE)
                x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
                x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
                for o in range(TILE):
                    part[o] += (
                        x0 * kind(a[o]) + x1 * kind(b[o]) + x2 * kind(c[o]) + x3 * kind(d[o])
                        + x4 * kind(e[o]) + x5 * kind(f[o]) + x6 * kind(h[o]) + x7 * kind(k[o])
                    )  # fmt: skip
            _close_group(total, part, scale, minimum, (t * groups + g) * TILE, sums, g)


# The row is made in an array of its own, of which LLVM knows that it overlaps nothing: else it would not vectorise.


@compiled
def _expand_nibbles(codes, scale, minimum, weights, tiles, inputs, group):
    kind = scale.dtype.type
    zero, row = np.zeros(TILE, scale.dtype), np.empty(TILE, scale.dtype)
    low, high = row[:32], row[32:]
    for t in range(tiles):
        for i in range(inputs):
            code = codes[(t * inputs + i) * 32 : (t * inputs + i + 1) * 32]
            at, to = (t * (inputs // group) + i // group) * TILE, (i * tiles + t) * TILE
            m = minimum[at : at + TILE] if minimum.size else zero
            s = scale[at : at + TILE]
            for o in range(32):
                low[o] = s[o] * kind(code[o] & LOW) + m[o]
            s, m = s[32:], m[32:]
            for o in range(32):
                high[o] = s[o] * kind(code[o] >> FOUR) + m[o]
            out = weights[to : to + TILE]
            for o in range(TILE):
                out[o] = row[o]


@compiled
def _expand_bytes(codes, scale, minimum, weights, tiles, inputs, group):
    kind = scale.dtype.type
    zero, row = np.zeros(TILE, scale.dtype), np.empty(TILE, scale.dtype)
    for t in range(tiles):
        for i in range(inputs):
            code = codes[(t * inputs + i) * TILE : (t * inputs + i + 1) * TILE]
            at, to = (t * (inputs // group) + i // group) * TILE, (i * tiles + t) * TILE
            m = minimum[at : at + TILE] if minimum.size else zero
            s = scale[at : at + TILE]
            for o in range(TILE):
                row[o] = s[o] * kind(code[o]) + m[o]
            out = weights[to : to + TILE]
            for o in range(TILE):
                out[o] = row[o]
