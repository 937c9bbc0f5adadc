"""Products with weights that stay packed: small whole codes in tiles of 64 outputs, with a scale a group of inputs.

A row of a block format belongs to one output, so the obvious loop over it ends in a sum across a vector register. Here
64 neighbouring outputs lie side by side: a tile holds, for each input, the codes of its 64 outputs, and the innermost
loop runs over outputs with the activation broadcast; nothing is ever summed across. Measured on one core: 20 G weights
a second, against 2 for rows.

    codes     (tiles, inputs, 64) int8, or (tiles, inputs, 32) uint8 of nibbles: byte o holds output o (low half) and
              output o + 32 (high half) of the tile
    scale     (tiles, inputs / g, 64) for groups of g inputs, g a multiple of 8
    minimum   alike, or of size 0 where it is zero; weight = scale · code + minimum

Where a kernel takes several weights, they come as such triples, one after the other.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel

TILE = 64  # outputs


@kernel
def packed_matmul(x: np.ndarray, codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """x W with W packed: x (N, inputs) -> (N, tiles · 64). For few rows: each reads all weights anew.

    >>> codes = np.full((1, 8, 32), 0x21, np.uint8)              # the first 32 outputs have the code 1, the others 2
    >>> y = packed_matmul(np.ones((1, 8)), codes, np.full((1, 1, 64), 0.5), np.full((1, 1, 64), -1.0))
    >>> float(y[0, 0]), float(y[0, 63])                          # 8 · (0.5 · 1 - 1), 8 · (0.5 · 2 - 1)
    (-4.0, 0.0)
    """
    return x @ packed_expand.__wrapped__(codes, scale, minimum)


@kernel
def packed_expand(codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """The weights as numbers, (inputs, tiles · 64): exactly what the block format stands for.

    >>> packed_expand(np.full((1, 8, 32), 0x21, np.uint8), np.full((1, 1, 64), 0.5), np.zeros((0, 0, 0)))[0, [0, 63]]
    array([0.5, 1. ])
    """
    if codes.dtype == np.uint8:
        codes = np.concatenate([codes & 0x0F, codes >> 4], axis=2)
    tiles, inputs, _ = codes.shape
    grouped = codes.reshape(tiles, scale.shape[1], -1, TILE).astype(scale.dtype)
    weights = grouped * scale[:, :, None]
    if minimum.size:
        weights += minimum[:, :, None]
    return np.ascontiguousarray(weights.reshape(tiles, inputs, TILE).swapaxes(0, 1)).reshape(inputs, tiles * TILE)


@packed_expand.check
def check_packed(codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> None:
    """ValueError unless the parts of a weight fit each other."""
    width = TILE // 2 if codes.dtype == np.uint8 else TILE if codes.dtype == np.int8 else None
    if codes.ndim != 3 or codes.shape[2] != width:
        raise ValueError(f"codes must be int8 (tiles, inputs, 64) or uint8 (…, 32), got {codes.dtype} {codes.shape}")
    tiles, inputs, _ = codes.shape
    groups = scale.shape[1] if scale.ndim == 3 else 0
    if scale.shape != (tiles, groups, TILE) or not groups or inputs % (8 * groups):
        raise ValueError(f"scale {scale.shape} does not fit codes {codes.shape}: (tiles, inputs / g, 64), 8 divides g")
    if minimum.size and minimum.shape != scale.shape:
        raise ValueError(f"minimum {minimum.shape} must have the shape of scale {scale.shape}, or size 0")


@packed_matmul.check
def _(x, codes, scale, minimum):
    check_packed(codes, scale, minimum)
    inputs = codes.shape[1]
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"x {x.shape} does not fit {inputs} inputs: (N, {inputs}) was expected")


def _cases(rng):
    for tiles, inputs, group, nibbles, shifted in (
        (2, 64, 32, True, True),
        (1, 32, 16, False, False),
        (3, 24, 8, True, False),
        (2, 32, 32, False, True),
    ):
        high = 256 if nibbles else 128
        codes = rng.integers(0 if nibbles else -128, high, (tiles, inputs, TILE // 2 if nibbles else TILE))
        scale = rng.normal(size=(tiles, inputs // group, TILE))
        minimum = rng.normal(size=scale.shape) if shifted else np.zeros((0, 0, 0))
        yield inputs, (codes.astype(np.uint8 if nibbles else np.int8), scale, minimum)


@packed_matmul.example
def _(rng):
    for rows, (inputs, parts) in zip((1, 3, 1, 0), _cases(rng)):
        yield (rng.normal(size=(rows, inputs)), *parts), {}


@packed_expand.example
def _(rng):
    for _, parts in _cases(rng):
        yield parts, {}


# --- One token through one LLaMA block, in two calls: before the key-value memory, and after it. Decoding a
# small model is a few hundred small products a token; in calls of their own, Python around them takes longer than they.


@kernel
def attention_inputs(x, norm, cos, sin, eps, heads, key_value_heads, *weights):
    """Query, key and value of one token: RMS norm, three products, rotary turn of query and key (pairs i, i + D/2).

    x, norm (hidden,); cos, sin (D/2,) -> q (H, D), k (K, D), v (K, D); weights: query, key, value.
    """
    h, width = _rms_norm(x, norm, eps), 2 * cos.size
    q, k, v = (
        _product(h, weights[3 * i : 3 * i + 3])[: count * width].reshape(count, width)
        for i, count in enumerate((heads, key_value_heads, key_value_heads))
    )
    half = cos.size
    for y in (q, k):
        first, second = y[:, :half].copy(), y[:, half:].copy()
        y[:, :half], y[:, half:] = first * cos - second * sin, second * cos + first * sin
    return q, k, v


@kernel(contiguous=False)
def block_outputs(x, q, keys, values, norm, eps, scale, *weights):
    """The rest of the block: attention of one query over all keys, then SwiGLU, each added to x.

    x (hidden,), q (H, D), keys and values (K, S, D) in any strides -> (hidden,); weights: output, gate, up, down.
    """
    heads, width = q.shape
    grouped = q.reshape(len(keys), heads // len(keys), width)
    scores = grouped @ keys.swapaxes(1, 2) * scale  # (K, G, S)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (scores / scores.sum(-1, keepdims=True)) @ values
    x = x + _product(np.ascontiguousarray(mixed).reshape(-1), weights[0:3])[: x.size]
    h = _rms_norm(x, norm, eps)
    gate, up = (_product(h, weights[3 * i : 3 * i + 3]) for i in (1, 2))
    inner = gate / (1 + np.exp(-gate)) * up
    return x + _product(inner[: weights[9].shape[1]], weights[9:12])[: x.size]


def _rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x) + x.dtype.type(eps)) * weight


def _product(x, weight):
    return packed_matmul.__wrapped__(x[None], *weight)[0]


def _check_block(x, norm, weights, readers, count):
    """Every weight by itself; those that read the token take all of it, and each other gives as much."""
    if x.ndim != 1 or norm.shape != x.shape or len(weights) != 3 * count:
        raise ValueError(f"one token (hidden,) and {count} weights are needed, got {x.shape} and {len(weights)} arrays")
    for number in range(count):
        check_packed(*weights[3 * number : 3 * number + 3])
        tiles, inputs, _ = weights[3 * number].shape
        if number in readers and inputs != x.size:
            raise ValueError(f"a weight takes {inputs} inputs, the token has {x.size}")
        if number not in readers and tiles != -(-x.size // TILE):
            raise ValueError(f"a weight has {tiles} tiles of outputs, the token {x.size} entries")


@attention_inputs.check
def _(x, norm, cos, sin, eps, heads, key_value_heads, *weights):
    _check_block(x, norm, weights, (0, 1, 2), 3)
    counts, width = (heads, key_value_heads, key_value_heads), 2 * cos.size
    outputs = [TILE * len(codes) for codes in weights[::3]]
    if cos.size != sin.size or any(has < count * width for has, count in zip(outputs, counts)):
        raise ValueError(f"weights of {outputs} outputs do not hold {counts} heads of {width}")


@block_outputs.check
def _(x, q, keys, values, norm, eps, scale, *weights):
    _check_block(x, norm, weights, (1, 2), 4)
    if keys.ndim != 3 or keys.shape != values.shape or 0 in keys.shape:
        raise ValueError(f"keys and values must be (K, S, D), alike and not empty, got {keys.shape} and {values.shape}")
    groups, _, width = keys.shape
    joined, gate, up, down = weights[::3]
    wrong = q.size != joined.shape[1] or q.shape[1:] != (width,) or len(q) % groups
    if wrong or len(gate) != len(up) or len(gate) * TILE < down.shape[1]:
        raise ValueError(f"q {q.shape}, {groups} key-value heads of {width} and the weights do not fit together")


def _weight(rng, inputs, outputs, nibbles):
    tiles = -(-outputs // 64)
    codes = rng.integers(0, 16 if nibbles else 100, (tiles, inputs, 32 if nibbles else 64))
    scale = rng.normal(size=(tiles, inputs // 8, 64)) / (50 if nibbles else 500)
    minimum = -7 * scale if nibbles else np.zeros((0, 0, 0))
    return codes.astype(np.uint8 if nibbles else np.int8), scale, minimum


@attention_inputs.example
def _(rng):
    sizes = ((32, 64, True), (32, 16, False), (32, 16, True))
    angles = rng.normal(size=4)
    weights = [part for size in sizes for part in _weight(rng, *size)]
    yield (rng.normal(size=32), rng.normal(size=32), np.cos(angles), np.sin(angles), 1e-5, 8, 2, *weights), {}


@block_outputs.example
def _(rng):
    sizes = ((64, 32, True), (32, 72, True), (32, 72, True), (72, 32, False))
    weights = [part for size in sizes for part in _weight(rng, *size)]
    for length, step in ((5, 1), (40, 2)):
        keys, values = rng.normal(size=(2, 2, 2 * length, 8))[:, :, :: 3 - step]
        yield (rng.normal(size=32), rng.normal(size=(8, 8)), keys, values, rng.normal(size=32), 1e-5, 0.3, *weights), {}
