"""The steps of one token, each on a share of its outputs: norms, products, attention over what is remembered.

A step is described by a row of integers (addresses and sizes) and a row of numbers, which `kernels.token_steps` makes
from arrays whose shapes it has checked; nothing here checks again. All arrays are float32.
"""

from __future__ import annotations

import math

import numpy as np
from numba import carray

from ..dispatch import compiled
from . import elementary, products
from .activations import log1p
from .atomics import bytes_at, floats, whole
from .products import TILE
from .vectors import ROWS, add_rows, spread_each, store
from .vectors import load as vector_at

f4 = np.float32
AHEAD = 80_000


@compiled
def normed(norm, eps, x, y):
    """y = the norm of x. Squares are added in float64, where none of a float32 is too large or too small."""
    kind, weight, bias, plus_one, outside = norm[0], norm[2], norm[3], norm[4], norm[5]
    size = x.size
    mean = 0.0
    if kind == 1:
        for i in range(x.size):
            mean += np.float64(x[i])
        mean /= size
    total = 0.0
    for i in range(x.size):
        from_mean = np.float64(x[i]) - mean
        total += from_mean * from_mean
    centre = f4(mean)
    if outside:
        inverse = f4(1.0 / (math.sqrt(total / size) + eps))
    else:
        inverse = f4(1.0 / math.sqrt(total / size + eps))
    for i in range(x.size):
        y[i] = (x[i] - centre) * inverse
    if weight:
        w, one = carray(floats(weight), (size,)), f4(plus_one)
        for i in range(y.size):
            y[i] *= w[i] + one
    if bias:
        b = carray(floats(bias), (size,))
        for i in range(y.size):
            y[i] += b[i]


@compiled
def _columns(x, weight, place, following, outputs, first, part):
    """part = x W for some neighbouring columns of W (inputs, outputs), which lies at `place`: sixteen rows a pass.

    The processor foresees reads that follow one another, but not the jump to the next rows: what is read AHEAD bytes
    later is asked for, behind the last row the beginning of what is read next, which lies at `following` (or 0).
    """
    part[:] = f4(0.0)
    vectors_end, rows_end = part.size // 16 * 16, x.size // ROWS * ROWS
    early = ROWS * max(1, AHEAD // (4 * ROWS * outputs))  # rows
    far = 4 * early * outputs
    for i in range(0, rows_end, ROWS):
        at = i * outputs + first
        ahead = place + far
        if i + early >= rows_end:
            ahead = following - 4 * (rows_end - early) * outputs if following else place
        each = spread_each(x, i)
        for o in range(0, vectors_end, 16):
            store(part, o, add_rows(vector_at(part, o), weight, at + o, outputs, each, ahead))
        for row in range(ROWS):
            for o in range(vectors_end, part.size):
                part[o] += x[i + row] * weight[at + row * outputs + o]
    for i in range(rows_end, x.size):
        for o in range(part.size):
            part[o] += x[i] * weight[i * outputs + first + o]


@compiled
def dot(a, b):
    """The sum of a_i b_i."""
    total = f4(0.0)
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@compiled
def _rows(x, weight, first, part):
    """part = W x for some neighbouring rows of W (outputs, inputs)."""
    for o in range(part.size):
        at = (first + o) * x.size
        part[o] = dot(x, weight[at : at + x.size])


@compiled
def product(matrix, x, split, first, part):
    """part = x W for the outputs from `first` on, as many as there is room for; whole tiles where W is packed.

    split: the same x as packed codes meet it, see `products.split_activations`.
    """
    kind, inputs, outputs = matrix[0], matrix[1], matrix[2]
    if kind == 0:
        values = carray(floats(matrix[3]), (inputs * outputs,))
        _columns(x, values, matrix[3], matrix[8], outputs, first, part)
    elif kind == 1:
        _rows(x, carray(floats(matrix[3]), (inputs * outputs,)), first, part)
    else:
        group = matrix[6]
        tile, tiles = first // TILE, part.size // TILE
        scales = tiles * (inputs // group) * TILE
        at = tile * (inputs // group) * TILE
        scale = carray(floats(matrix[4] + 4 * at), (scales,))
        minimum = carray(floats(matrix[5] + 4 * at), (scales,)) if matrix[5] else scale[:0]
        width = 32 if kind == 2 else 64  # bytes of an input's codes in a tile
        codes = carray(bytes_at(matrix[3] + tile * inputs * width), (tiles * inputs * width,))
        words, scales_of_words, sums = split
        products.multiply(
            words[: 2 * inputs], scales_of_words[: -(-inputs // products.BLOCK)], sums[: inputs // 8],
            codes, scale, minimum, group, part, 0, tiles,
        )  # fmt: skip
    if matrix[7]:
        bias = carray(floats(matrix[7]), (outputs,))
        for o in range(min(part.size, outputs - first)):
            part[o] += bias[first + o]


@compiled
def activate(kind, y):
    """y = activation(y)."""
    half, one = f4(0.5), f4(1.0)
    if kind == 1:
        for i in range(y.size):
            y[i] = y[i] * elementary.sigmoid(y[i])
    elif kind == 2:
        for i in range(y.size):
            y[i] = y[i] * elementary.normal(y[i])[0]
    elif kind == 3:
        for i in range(y.size):
            x = y[i]
            y[i] = half * x * (one + elementary.tanh(f4(0.7978845608028654) * (x + f4(0.044715) * x * x * x)))
    elif kind == 4:
        for i in range(y.size):
            y[i] = max(y[i], f4(0.0))
    elif kind == 5:  # softplus: max(x, 0) + log(1 + exp(-|x|))
        for i in range(y.size):
            y[i] = max(y[i], f4(0.0)) + log1p(elementary.exp(-abs(y[i])))


@compiled(inline="always")
def project(row, number, matrices, x, split, share):
    """Share of: out = alpha · residual + factor · act(x W + b), or … · act(x G) ⊙ (x W) where there is a gate G."""
    outputs, columns = row[11], row[12]
    which = row[6]
    gate = row[7]
    if row[13]:  # one of several matrices, chosen for this token
        chosen = carray(whole(row[13]), (1,))[0] * row[14]
        which, gate = which + chosen, gate + chosen if gate >= 0 else gate
    first = share * columns
    count = min(columns, outputs - first)
    tiles = -(-count // TILE) * TILE
    part = np.empty(count if matrices[which, 0] < 2 else tiles, np.float32)
    product(matrices[which], x, split, first, part)
    if gate >= 0:
        other = np.empty(count if matrices[gate, 0] < 2 else tiles, np.float32)
        product(matrices[gate], x, split, first, other)
        activate(row[8], other)
        for o in range(count):
            part[o] *= other[o]
    elif row[8]:
        activate(row[8], part)
    if row[15]:
        factor = carray(floats(row[15]), (1,))[0]
        for o in range(count):
            part[o] *= factor
    out = carray(floats(row[10]), (outputs,))[first : first + count]
    if row[9]:
        residual, alpha = carray(floats(row[9]), (outputs,))[first : first + count], f4(number[0])
        for o in range(out.size):
            part[o] += alpha * residual[o]
    for o in range(out.size):
        out[o] = part[o]


@compiled(inline="always")
def add_norm(row, number, norms, eps):
    """out = alpha · residual + norm(x)."""
    size = row[4]
    x, out = carray(floats(row[3]), (size,)), carray(floats(row[10]), (size,))
    y = np.empty(size, np.float32)
    normed(norms[row[5]], eps[row[5]], x, y)
    if row[9]:
        residual, alpha = carray(floats(row[9]), (size,)), f4(number[0])
        for i in range(y.size):
            y[i] += alpha * residual[i]
    for i in range(y.size):
        out[i] = y[i]


@compiled(inline="always")
def route(row):
    """The k best of E scores, best first (ties: the lower number), and the softmax over them."""
    scores, chosen = carray(floats(row[3]), (row[4],)), carray(whole(row[9]), (row[5],))
    weights = carray(floats(row[10]), (row[5],))
    for k in range(chosen.size):
        best = -1
        for e in range(scores.size):
            taken = False
            for before in range(k):
                taken |= chosen[before] == e
            if not taken and (best < 0 or scores[e] > scores[best]):
                best = e
        chosen[k] = best
    highest, total = scores[chosen[0]], f4(0.0)
    for k in range(chosen.size):
        weights[k] = elementary.exp(scores[chosen[k]] - highest)
        total += weights[k]
    for k in range(chosen.size):
        weights[k] /= total


@compiled(inline="always")
def convolve(row, share):
    """Share of: out = act(bias + Σ_k weight[:, W - 1 - k] x[t - k]); the tail (W - 1, C) moves on by x."""
    channels, width, block = row[4], row[5], row[12]
    low = share * block
    high = min(channels, low + block)
    x, out = carray(floats(row[3]), (channels,)), carray(floats(row[10]), (channels,))
    weight, tail = carray(floats(row[6]), (channels, width)), carray(floats(row[9]), (width - 1, channels))
    y = np.zeros(high - low, np.float32)
    if row[7]:
        bias = carray(floats(row[7]), (channels,))
        for c in range(y.size):
            y[c] = bias[low + c]
    for c in range(y.size):
        total = y[c] + weight[low + c, width - 1] * x[low + c]
        for k in range(width - 1):
            total += weight[low + c, k] * tail[k, low + c]
        y[c] = total
    for k in range(width - 2):
        for c in range(low, high):
            tail[k, c] = tail[k + 1, c]
    if width > 1:
        for c in range(low, high):
            tail[width - 2, c] = x[c]
    activate(row[8], y)
    for c in range(y.size):
        out[low + c] = y[c]


@compiled(inline="always")
def scan(row, share):
    """Share of one step of the selective scan: h = exp(Δ A) h + Δ B u, out = (C · h + D u) ⊙ gate."""
    channels, width, block = row[4], row[5], row[12]
    low = share * block
    high = min(channels, low + block)
    u, delta = carray(floats(row[3]), (channels,)), carray(floats(row[6]), (channels,))
    logs, state = carray(floats(row[7]), (channels * width,)), carray(floats(row[9]), (channels * width,))
    B, C = carray(floats(row[14]), (width,)), carray(floats(row[15]), (width,))
    D, gate, out = (
        carray(floats(row[16]), (channels,)),
        carray(floats(row[17]), (channels,)),
        carray(floats(row[10]), (channels,)),
    )
    for c in range(low, high):
        rate, h = logs[c * width : (c + 1) * width], state[c * width : (c + 1) * width]
        step, entering = delta[c], delta[c] * u[c]
        for n in range(h.size):
            h[n] = elementary.exp(-step * elementary.exp(rate[n])) * h[n] + entering * B[n]
        out[c] = (dot(h, C) + D[c] * u[c]) * gate[c]


@compiled(inline="always")
def recur(row, share):
    """Share of one step of Hyena: w = x1 ⊙ v, s = p s + w, out = (Re Σ R s + D w) ⊙ x2; u holds x2, x1, v."""
    channels, width, block = row[4], row[5], row[12]
    low = share * block
    high = min(channels, low + block)
    u = carray(floats(row[3]), (3 * channels,))
    poles, residues = carray(floats(row[6]), (channels, width, 2)), carray(floats(row[7]), (channels, width, 2))
    D, state = carray(floats(row[14]), (channels,)), carray(floats(row[9]), (channels, width, 2))
    out = carray(floats(row[10]), (channels,))
    for c in range(low, high):
        w = u[channels + c] * u[2 * channels + c]
        y = D[c] * w
        for n in range(width):
            real, imaginary = state[c, n, 0], state[c, n, 1]
            p, q = poles[c, n, 0], poles[c, n, 1]
            state[c, n, 0] = p * real - q * imaginary + w
            state[c, n, 1] = p * imaginary + q * real
            y += residues[c, n, 0] * state[c, n, 0] - residues[c, n, 1] * state[c, n, 1]
        out[c] = y * u[c]
