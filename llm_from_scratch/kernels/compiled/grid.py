"""Compiled versions of `kernels.grid`: a chunk's codes to a byte each, then eight inputs a pass.

Shifts are constants, one line a field, because a vector of bytes has no shift by a variable; and codes are unpacked
into an array of their own, of which LLVM knows that it overlaps nothing.
"""

from __future__ import annotations

import numpy as np

from ..dispatch import compiled

TILE = 64
U0, U1, U2, U3, U4, U5, U6, U7, U15 = (np.uint8(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 15))


def grid_matmul(x, codes, scale, zero):
    tiles, chunks, bits, rows, _ = codes.shape
    y = np.empty((len(x), tiles * TILE), x.dtype)
    flat = codes.reshape(-1), scale.reshape(-1), zero.reshape(-1)
    for row, out in zip(x, y):
        _matmul(row, *flat, out, chunks, scale.shape[1], bits, rows)
    return y


def grid_expand(codes, scale, zero):
    tiles, chunks, bits, rows, _ = codes.shape
    weights = np.empty((8 * chunks * rows, tiles * TILE), scale.dtype)
    flat = codes.reshape(-1), scale.reshape(-1), zero.reshape(-1)
    _expand(*flat, weights.reshape(-1), tiles, chunks, scale.shape[1], bits, rows)
    return weights


@compiled(inline="always")
def _field(a, shift, mask, out):
    for o in range(out.size):
        out[o] = (a[o] >> shift) & mask


@compiled(inline="always")
def _across(a, right, b, mask, left, out):
    """A field of which the low bits end one plane, the others begin the next."""
    for o in range(out.size):
        out[o] = (a[o] >> right) | ((b[o] & mask) << left)


@compiled
def _unpack(codes, at, bits, n, out):
    """A chunk's codes, one a byte: bits planes of n bytes from `at` on -> out (8 n,)."""
    a, b = codes[at : at + n], codes[at + n : at + 2 * n]
    if bits == 2:
        _field(a, U0, U3, out[:n])
        _field(a, U2, U3, out[n : 2 * n])
        _field(a, U4, U3, out[2 * n : 3 * n])
        _field(a, U6, U3, out[3 * n : 4 * n])
        _field(b, U0, U3, out[4 * n : 5 * n])
        _field(b, U2, U3, out[5 * n : 6 * n])
        _field(b, U4, U3, out[6 * n : 7 * n])
        _field(b, U6, U3, out[7 * n : 8 * n])
        return
    c = codes[at + 2 * n : at + 3 * n]
    if bits == 3:
        _field(a, U0, U7, out[:n])
        _field(a, U3, U7, out[n : 2 * n])
        _across(a, U6, b, U1, U2, out[2 * n : 3 * n])
        _field(b, U1, U7, out[3 * n : 4 * n])
        _field(b, U4, U7, out[4 * n : 5 * n])
        _across(b, U7, c, U3, U1, out[5 * n : 6 * n])
        _field(c, U2, U7, out[6 * n : 7 * n])
        _field(c, U5, U7, out[7 * n : 8 * n])
        return
    d = codes[at + 3 * n : at + 4 * n]
    _field(a, U0, U15, out[:n])
    _field(a, U4, U15, out[n : 2 * n])
    _field(b, U0, U15, out[2 * n : 3 * n])
    _field(b, U4, U15, out[3 * n : 4 * n])
    _field(c, U0, U15, out[4 * n : 5 * n])
    _field(c, U4, U15, out[5 * n : 6 * n])
    _field(d, U0, U15, out[6 * n : 7 * n])
    _field(d, U4, U15, out[7 * n : 8 * n])


@compiled(inline="always")
def _four(codes, at):
    """The codes of four neighbouring inputs."""
    return (
        codes[at : at + TILE],
        codes[at + TILE : at + 2 * TILE],
        codes[at + 2 * TILE : at + 3 * TILE],
        codes[at + 3 * TILE : at + 4 * TILE],
    )


@compiled
def _matmul(x, codes, scale, zero, y, chunks, groups, bits, rows):
    kind = x.dtype.type
    scratch, part = np.empty(8 * rows * TILE, np.uint8), np.empty(TILE, x.dtype)
    each = chunks // groups
    for t in range(y.size // TILE):
        total = y[t * TILE : (t + 1) * TILE]
        total[:] = 0
        for g in range(groups):
            part[:] = 0
            whole = x[0] * 0  # the sum of the group's inputs, which its zero point is multiplied with
            for chunk in range(g * each, (g + 1) * each):
                at = (t * chunks + chunk) * bits * rows * TILE
                fields = codes[at : at + 8 * rows * TILE] if bits == 8 else scratch
                if bits != 8:
                    _unpack(codes, at, bits, rows * TILE, scratch)
                for r in range(rows):
                    i = 8 * (chunk * rows + r)
                    x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
                    x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
                    whole += x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7
                    a, b, c, d = _four(fields, 8 * r * TILE)
                    e, f, h, k = _four(fields, (8 * r + 4) * TILE)
                    for o in range(TILE):
                        part[o] += (
                            x0 * kind(a[o]) + x1 * kind(b[o]) + x2 * kind(c[o]) + x3 * kind(d[o])
                            + x4 * kind(e[o]) + x5 * kind(f[o]) + x6 * kind(h[o]) + x7 * kind(k[o])
                        )  # fmt: skip
            at = (t * groups + g) * TILE
            s, z = scale[at : at + TILE], zero[at : at + TILE]
            for o in range(TILE):
                total[o] += s[o] * (part[o] - kind(z[o]) * whole)


@compiled
def _expand(codes, scale, zero, weights, tiles, chunks, groups, bits, rows):
    kind = scale.dtype.type
    scratch, row = np.empty(8 * rows * TILE, np.uint8), np.empty(TILE, scale.dtype)
    each = chunks // groups
    for t in range(tiles):
        for chunk in range(chunks):
            at = (t * chunks + chunk) * bits * rows * TILE
            fields = codes[at : at + 8 * rows * TILE] if bits == 8 else scratch
            if bits != 8:
                _unpack(codes, at, bits, rows * TILE, scratch)
            at = (t * groups + chunk // each) * TILE
            s, z = scale[at : at + TILE], zero[at : at + TILE]
            for i in range(8 * rows):
                code, to = fields[i * TILE : (i + 1) * TILE], ((chunk * 8 * rows + i) * tiles + t) * TILE
                for o in range(TILE):
                    row[o] = (kind(code[o]) - kind(z[o])) * s[o]
                out = weights[to : to + TILE]
                for o in range(TILE):
                    out[o] = row[o]
