"""Compiled versions of `kernels.packed`: eight inputs a pass, so that sums are fetched and stored less often."""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled
from . import elementary

TILE = 64
LOW, FOUR = np.uint8(15), np.uint8(4)


def packed_matmul(x, codes, scale, minimum):
    tiles, inputs, _ = codes.shape
    y = np.empty((len(x), tiles * TILE), x.dtype)
    loop = _nibbles if codes.dtype == np.uint8 else _bytes
    flat = codes.reshape(-1), scale.reshape(-1), minimum.reshape(-1)
    for row, out in zip(x, y):
        loop(row, *flat, out, inputs, inputs // scale.shape[1])
    return y


def packed_expand(codes, scale, minimum):
    tiles, inputs, _ = codes.shape
    weights = np.empty((inputs, tiles * TILE), scale.dtype)
    loop = _expand_nibbles if codes.dtype == np.uint8 else _expand_bytes
    flat = codes.reshape(-1), scale.reshape(-1), minimum.reshape(-1)
    loop(*flat, weights.reshape(-1), tiles, inputs, inputs // scale.shape[1])
    return weights


def attention_inputs(x, norm, cos, sin, eps, heads, key_value_heads, *weights):
    width = 2 * cos.size
    y = [np.empty(weights[3 * i].shape[0] * TILE, x.dtype) for i in range(3)]
    counts = heads, key_value_heads, key_value_heads
    turned = heads * cos.size, key_value_heads * cos.size
    _attention_inputs(x, norm, cos, sin, x.dtype.type(eps), *turned, *_flat(weights), *y)
    return tuple(out[: count * width].reshape(count, width) for out, count in zip(y, counts))


def block_outputs(x, q, keys, values, norm, eps, scale, *weights):
    x, q, norm = (np.require(part, requirements=("C", "W")) for part in (x, q, norm))
    groups, length, width = keys.shape
    (keys, key_stride), (values, value_stride) = _heads(keys), _heads(values)
    out = np.empty_like(x)
    kind = x.dtype.type
    sizes = groups, length, width, key_stride, value_stride
    _block_outputs(x, q.reshape(-1), keys, values, norm, kind(eps), kind(scale), sizes, *_flat(weights), out)
    return out


def _flat(weights):
    """Each weight's parts as flat arrays, and the length of its groups."""
    flat = []
    for i in range(0, len(weights), 3):
        parts = [part if part.flags.carray else np.array(part, order="C") for part in weights[i : i + 3]]
        flat.append((*(part.reshape(-1) for part in parts), parts[0].shape[1] // parts[1].shape[1]))
    return flat


def _heads(x):
    """Keys or values (K, S, D) as one array from the first entry on, and how far apart the heads are in it."""
    groups, length, width = x.shape
    size = x.itemsize
    if x.strides[1:] != (width * size, size) or x.strides[0] % size or x.strides[0] < 0 or not x.flags.writeable:
        x = np.array(x, order="C")
    stride = x.strides[0] // size
    extent = (groups - 1) * stride + length * width
    return np.lib.stride_tricks.as_strided(x, (extent,), (size,)), stride


@compiled
def _rms_norm(x, weight, eps, y):
    total = x[0] * 0
    for i in range(x.size):
        total += x[i] * x[i]
    inverse = 1 / np.sqrt(total / x.dtype.type(x.size) + eps)
    for i in range(x.size):
        y[i] = x[i] * inverse * weight[i]


@compiled
def _product(x, weight, y):
    codes, scale, minimum, group = weight
    if 2 * codes.size == x.size * y.size:
        _nibbles(x, codes, scale, minimum, y, x.size, group)
    else:
        _bytes(x, codes, scale, minimum, y, x.size, group)


@compiled
def _turn(y, cos, sin, pairs):
    half = cos.size
    for i in range(pairs):
        at = i // half * 2 * half + i % half
        first, second = y[at], y[at + half]
        y[at] = first * cos[i % half] - second * sin[i % half]
        y[at + half] = second * cos[i % half] + first * sin[i % half]


@compiled
def _attention_inputs(x, norm, cos, sin, eps, query_pairs, key_pairs, query, key, value, q, k, v):
    h = np.empty_like(x)
    _rms_norm(x, norm, eps, h)
    _product(h, query, q)
    _product(h, key, k)
    _product(h, value, v)
    _turn(q, cos, sin, query_pairs)
    _turn(k, cos, sin, key_pairs)


@compiled
def _attend(q, keys, values, scores, out):
    """One head: q (D,), keys and values (S · D,); scores (S,) is scratch."""
    width = q.size
    highest = q.dtype.type(-np.inf)
    for s in range(scores.size):
        row = keys[s * width : (s + 1) * width]
        total = q[0] * 0
        for d in range(q.size):
            total += q[d] * row[d]
        scores[s] = total
        highest = max(highest, total)
    whole = q[0] * 0
    for s in range(scores.size):
        scores[s] = elementary.exp(scores[s] - highest)
    for s in range(scores.size):
        whole += scores[s]
    out[:] = 0
    for s in range(scores.size):
        row, p = values[s * width : (s + 1) * width], scores[s] / whole
        for d in range(out.size):
            out[d] += p * row[d]


@compiled
def _block_outputs(x, q, keys, values, norm, eps, scale, sizes, output, gate, up, down, y):
    groups, length, width, key_stride, value_stride = sizes
    mixed, scores = np.empty_like(q), np.empty(length, x.dtype)
    each = q.size // groups  # the query heads that share a key-value head
    for at in range(0, q.size, width):
        g = at // each
        k = keys[g * key_stride : g * key_stride + length * width]
        v = values[g * value_stride : g * value_stride + length * width]
        query = q[at : at + width] * scale
        _attend(query, k, v, scores, mixed[at : at + width])
    part = np.empty(output[1].size * output[3] // q.size, x.dtype)  # all its tiles
    _product(mixed, output, part)
    for i in range(x.size):
        y[i] = x[i] + part[i]
    h = np.empty_like(x)
    _rms_norm(y, norm, eps, h)
    first = np.empty(gate[1].size * gate[3] // h.size, x.dtype)
    second = np.empty(up[1].size * up[3] // h.size, x.dtype)
    _product(h, gate, first)
    _product(h, up, second)
    for i in range(first.size):
        first[i] = first[i] * elementary.sigmoid(first[i]) * second[i]
    inputs = down[1].size * down[3] // (-(-y.size // TILE) * TILE)
    last = np.empty(-(-y.size // TILE) * TILE, x.dtype)
    _product(first[:inputs], down, last)
    for i in range(y.size):
        y[i] += last[i]


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
