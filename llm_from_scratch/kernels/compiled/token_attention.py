"""Attention of one new token over all that is remembered, one head a share; rows as in `token_steps`."""

from __future__ import annotations

import numpy as np
from numba import carray

from ..dispatch import compiled
from . import elementary
from .atomics import floats, whole
from .token_steps import dot, normed

f4 = np.float32


@compiled
def _head(raw, norm, norms, eps, clip, at, width):
    """One head of the query or key: clipped and normed, by itself or with all heads of the token."""
    x = np.empty(raw.size if norm >= 0 and norms[norm, 1] != width else width, np.float32)
    if x.size > width:
        for i in range(x.size):
            x[i] = raw[i]
    else:
        for i in range(width):
            x[i] = raw[at + i]
    if clip > 0:
        for i in range(x.size):
            x[i] = min(max(x[i], -clip), clip)
    if norm >= 0:
        normed(norms[norm], eps[norm], x, x)
    return x[at : at + width] if x.size > width else x


@compiled
def _turn(x, cos, sin, interleaved):
    """Turn the first pairs of coordinates, (2i, 2i + 1) or (i, i + pairs), by their angles."""
    if interleaved:
        for i in range(cos.size):
            first, second = x[2 * i], x[2 * i + 1]
            x[2 * i] = first * cos[i] - second * sin[i]
            x[2 * i + 1] = second * cos[i] + first * sin[i]
    else:
        a, b = x[: cos.size], x[cos.size : 2 * cos.size]
        for i in range(cos.size):
            first, second = a[i], b[i]
            a[i] = first * cos[i] - second * sin[i]
            b[i] = second * cos[i] + first * sin[i]


@compiled
def _bfloat16(x):
    """The nearest bfloat16 (ties to even), as a float32."""
    bits = np.float32(x).view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return np.uint32(bits & np.uint32(0xFFFF0000)).view(np.float32)


@compiled
def _scores(q, keys, scores):
    """scores[s] = q · keys[s]: four keys a pass."""
    width = q.size
    fours = scores.size // 4 * 4
    for s in range(0, fours, 4):
        at = s * width
        a, b = keys[at : at + width], keys[at + width : at + 2 * width]
        c, d = keys[at + 2 * width : at + 3 * width], keys[at + 3 * width : at + 4 * width]
        t0 = t1 = t2 = t3 = f4(0.0)
        for i in range(q.size):
            x = q[i]
            t0 += x * a[i]
            t1 += x * b[i]
            t2 += x * c[i]
            t3 += x * d[i]
        scores[s], scores[s + 1], scores[s + 2], scores[s + 3] = t0, t1, t2, t3
    for s in range(fours, scores.size):
        scores[s] = dot(q, keys[s * width : (s + 1) * width])


@compiled
def _mix(scores, values, out):
    """out = Σ_s scores[s] · values[s]: eight remembered tokens a pass."""
    width = out.size
    out[:] = f4(0.0)
    eights = scores.size // 8 * 8
    for s in range(0, eights, 8):
        at = s * width
        a, b = values[at : at + width], values[at + width : at + 2 * width]
        c, d = values[at + 2 * width : at + 3 * width], values[at + 3 * width : at + 4 * width]
        at += 4 * width
        e, f = values[at : at + width], values[at + width : at + 2 * width]
        g, h = values[at + 2 * width : at + 3 * width], values[at + 3 * width : at + 4 * width]
        p0, p1, p2, p3 = scores[s], scores[s + 1], scores[s + 2], scores[s + 3]
        p4, p5, p6, p7 = scores[s + 4], scores[s + 5], scores[s + 6], scores[s + 7]
        for i in range(out.size):
            out[i] += (
                (p0 * a[i] + p1 * b[i]) + (p2 * c[i] + p3 * d[i]) + (p4 * e[i] + p5 * f[i]) + (p6 * g[i] + p7 * h[i])
            )
    for s in range(eights, scores.size):
        a, p = values[s * width : (s + 1) * width], scores[s]
        for i in range(out.size):
            out[i] += p * a[i]


@compiled
def _softmax(scores):
    highest, total = elementary.maximum(scores), f4(0.0)
    for s in range(scores.size):
        scores[s] = elementary.exp(scores[s] - highest)
    for s in range(scores.size):
        total += scores[s]
    inverse = f4(1.0) / total
    for s in range(scores.size):
        scores[s] *= inverse


@compiled(inline="always")
def attend(row, number, norms, eps, head):
    """One head: query and key are normed and turned, the key and value remembered, and all values mixed."""
    heads, groups, width = row[6], row[7], row[8]
    each = heads // groups
    group = head // each
    start, stop = row[12], row[13]
    scale, clip, factor = f4(number[0]), f4(number[1]), f4(number[2])
    q = _head(carray(floats(row[3]), (heads * width,)), row[18], norms, eps, clip, head * width, width)
    k = _head(carray(floats(row[4]), (groups * width,)), row[19], norms, eps, clip, group * width, width)
    v = _head(carray(floats(row[5]), (groups * width,)), -1, norms, eps, clip, group * width, width)
    pairs = row[16]
    if pairs:
        cos, sin = carray(floats(row[14]), (pairs,)), carray(floats(row[15]), (pairs,))
        _turn(q, cos, sin, row[17])
        _turn(k, cos, sin, row[17])
    first = group * row[11] + start * width  # of the memory's columns
    count = stop - start
    keys = carray(floats(row[9]), (groups * row[11],))[first : first + count * width]
    values = carray(floats(row[10]), (groups * row[11],))[first : first + count * width]
    if head % each == 0:  # the others do not read it: they have the new key and value at hand
        last = (count - 1) * width
        for i in range(width):
            keys[last + i] = k[i]
            values[last + i] = v[i]
    scores, content = np.empty(count, np.float32), q
    if row[25]:  # relative positions
        u, w = carray(floats(row[27]), (heads * width,)), carray(floats(row[28]), (heads * width,))
        content, place = np.empty(width, np.float32), np.empty(width, np.float32)
        for i in range(width):
            content[i], place[i] = q[i] + u[head * width + i], q[i] + w[head * width + i]
        distances = carray(floats(row[25]), (heads * row[26],))[head * row[26] : head * row[26] + count * width]
        _scores(content, keys[: (count - 1) * width], scores[: count - 1])
        scores[count - 1] = dot(content, k)
        for s in range(count):
            at = (count - 1 - s) * width
            scores[s] += dot(place, distances[at : at + width])
    else:
        _scores(content, keys[: (count - 1) * width], scores[: count - 1])
        scores[count - 1] = dot(content, k)
    scale *= factor
    for s in range(scores.size):
        scores[s] *= scale
    if row[20]:
        slope = carray(floats(row[20]), (heads,))[head]
        if row[21]:
            places, slope = carray(whole(row[22]), (count,)), _bfloat16(slope)
            for s in range(count):
                scores[s] += _bfloat16(slope * _bfloat16(f4(places[s]))) * f4(number[0])
        else:
            for s in range(scores.size):
                scores[s] -= slope * f4(count - 1 - s)
    _softmax(scores)
    out = carray(floats(row[24]), (heads * width,))[head * width : (head + 1) * width]
    mixed = np.empty(width, np.float32)
    _mix(scores[: count - 1], values[: (count - 1) * width], mixed)
    p = scores[count - 1]
    for i in range(width):
        out[i] = mixed[i] + p * v[i]
