"""Products with weights that stay packed: small whole codes in tiles of 64 outputs, with a scale a group of inputs.

A row of a block format belongs to one output, so the obvious loop over it ends in a sum across a vector register. Here
64 neighbouring outputs lie side by side: a tile holds, for each input, the codes of its 64 outputs, and the innermost
loop runs over outputs with the activation spread over them; nothing is ever summed across.

In float32, codes meet *whole* activations: 32 neighbours share a power of two as their scale, and each is split into
two words of 16 bits (`split_activations`), so that products and sums are those of integers: exact, and several times as
fast as with numbers made of the codes. Of an activation nothing is lost but what is below 2^-29 of the largest of its
block (or of 2^-87), less than a float32 product rounds off. One word would be twice as fast in the cache, but no faster
from memory on two cores, and off by 2^-15; llama.cpp's bytes are off by 2^-8. A block in which something is infinite or
NaN makes all outputs NaN. Float64 is not split.

    codes     (tiles, inputs / 2, 128) int8: the two inputs of a pair side by side, output after output; or
              (tiles, inputs / 2, 64) uint8, 32 words, little end first: bits 4 n … 4 n + 3 of word 2 o + k are the code
              of output 16 n + o for input k of the pair
    scale     (tiles, inputs / g, 64) for groups of g inputs, g a multiple of 8
    minimum   alike: weight = scale · code + minimum; or of size 0: weight = scale · code, and four-bit codes count
              from -8, weight = scale · (code - 8)
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel

TILE = 64  # outputs
BLOCK = 32  # activations that share a scale


@kernel
def packed_matmul(x: np.ndarray, codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """x W with W packed: x (N, inputs) -> (N, tiles · 64). For few rows: each reads all weights anew.

    >>> codes = np.full((1, 4, 64), 0x21, np.uint8)              # outputs 0-15 and 32-47 have the code 1, others 2
    >>> y = packed_matmul(np.ones((1, 8)), codes, np.full((1, 1, 64), 0.5), np.full((1, 1, 64), -1.0))
    >>> float(y[0, 0]), float(y[0, 16])                          # 8 · (0.5 · 1 - 1), 8 · (0.5 · 2 - 1)
    (-4.0, 0.0)
    """
    if x.dtype == np.float32:
        x = np.array([_rounded(*split_activations(row)[:2]) for row in x], np.float32).reshape(x.shape)
    return x @ packed_expand.__wrapped__(codes, scale, minimum)


@kernel
def packed_product(x: np.ndarray, codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """x W with W packed, for many rows: each weight is made a number once, and meets all rows as one.

    x (N, inputs) -> (N, tiles · 64). Compiled, a row is the same whatever other rows there are, bit for bit.

    >>> parts = np.full((1, 4, 64), 0x21, np.uint8), np.full((1, 1, 64), 0.5), np.full((1, 1, 64), -1.0)
    >>> packed_product(np.ones((20, 8)), *parts)[19, [0, 16]]                       # as above
    array([-4.,  0.])
    """
    return x @ packed_expand.__wrapped__(codes, scale, minimum)


def split_activations(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (inputs,) float32 -> whole (2 · inputs,) int16, a scale for each 32 inputs, and the sums of each eight.

    x = scale · (high + low / 2^15), all high words before all low ones, up to 2^-29 of the largest of the 32; the scale
    is the power of two that brings the largest to 2^13 … 2^14. The last block may be short.

    >>> whole, scale, sums = split_activations(np.array([1, -0.5, 1e-4, 0, 0, 0, 0, 0], np.float32))
    >>> whole.reshape(2, 8)[:, :3].tolist(), float(scale[0] * 2**13), round(float(sums[0]), 4)
    ([[8192, -4096, 1], [0, 0, -5924]], 1.0, 0.5001)
    """
    blocks = np.zeros((-(-x.size // BLOCK), BLOCK), np.float32)
    blocks.reshape(-1)[: x.size] = x
    finite = np.isfinite(blocks).all(axis=1)
    blocks[~finite] = 0
    _, exponent = np.frexp(np.maximum(np.abs(blocks).max(axis=1), np.float32(2.0**-87)))  # largest < 2^exponent
    scaled = np.ldexp(blocks, 14 - exponent[:, None])
    high = np.rint(scaled)
    low = np.rint((scaled - high) * np.float32(2**15))
    whole = np.concatenate([part.reshape(-1)[: x.size] for part in (high, low)]).astype(np.int16)
    scale = np.where(finite, np.ldexp(np.float32(1), exponent - 14), np.float32(np.nan))
    return whole, scale.astype(np.float32), x.reshape(-1, 8).sum(axis=1)


def _rounded(whole: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The numbers that split activations stand for."""
    high, low = whole.reshape(2, -1).astype(np.float32)
    return (high + low / np.float32(2**15)) * np.repeat(scale, BLOCK)[: high.size]


@kernel(writes=("out",))
def packed_expand(
    codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """The weights as numbers, (inputs, tiles · 64), into `out` if given: exactly what the block format stands for.

    >>> packed_expand(np.full((1, 4, 64), 0x21, np.uint8), np.full((1, 1, 64), 0.5), np.zeros((0, 0, 0)))[0, [0, 16]]
    array([-3.5, -3. ])
    """
    straight = unpack_codes(codes)
    if codes.dtype == np.uint8 and not minimum.size:
        straight -= np.int8(8)
    tiles, inputs, _ = straight.shape
    grouped = straight.reshape(tiles, scale.shape[1], -1, TILE).astype(scale.dtype)
    weights = grouped * scale[:, :, None]
    if minimum.size:
        weights += minimum[:, :, None]
    out = np.empty((inputs, tiles * TILE), scale.dtype) if out is None else out
    out.reshape(inputs, tiles, TILE)[...] = weights.reshape(tiles, inputs, TILE).swapaxes(0, 1)
    return out


def pack_codes(codes: np.ndarray, four_bits: bool) -> np.ndarray:
    """Codes (tiles, inputs, 64) int8 as they lie, in pairs of inputs; four bits for codes 0 … 15.

    >>> pack_codes(np.arange(16, dtype=np.int8).repeat(16).reshape(1, 4, 64), True)[0, 0, :4]       # 0 4, 1 5, 2 6, 3 7
    array([ 16,  50,  84, 118], dtype=uint8)
    """
    tiles, inputs, _ = codes.shape
    pairs = codes.reshape(tiles, inputs // 2, 2, TILE).swapaxes(2, 3)  # (…, output, 2)
    if not four_bits:
        return np.ascontiguousarray(pairs).reshape(tiles, -1, 2 * TILE)
    a, b, c, d = np.moveaxis(pairs.reshape(tiles, inputs // 2, 4, TILE // 2).astype("<u2"), 2, 0)
    return (a | b << 4 | c << 8 | d << 12).view(np.uint8)


def unpack_codes(codes: np.ndarray) -> np.ndarray:
    """The codes (tiles, inputs, 64) int8 again, those of four bits as 0 … 15.

    >>> unpack_codes(pack_codes(np.full((1, 8, 64), 3, np.int8), True)).shape
    (1, 8, 64)
    """
    tiles, pairs, _ = codes.shape
    if codes.dtype == np.uint8:
        words = np.ascontiguousarray(codes).view("<u2")
        codes = np.stack([words >> (4 * n) & 15 for n in range(4)], axis=2).astype(np.int8)
    straight = codes.reshape(tiles, pairs, TILE, 2).swapaxes(2, 3)
    return np.ascontiguousarray(straight).reshape(tiles, 2 * pairs, TILE)


@packed_expand.check
def _(codes, scale, minimum, out=None):
    check_packed(codes, scale, minimum)
    if out is not None and out.shape != (2 * codes.shape[1], len(codes) * TILE):
        raise ValueError(f"out {out.shape} does not hold ({2 * codes.shape[1]}, {len(codes) * TILE}) weights")


def check_packed(codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> None:
    """ValueError unless the parts of a weight fit each other."""
    width = TILE if codes.dtype == np.uint8 else 2 * TILE if codes.dtype == np.int8 else None
    if codes.ndim != 3 or codes.shape[2] != width:
        raise ValueError(
            f"codes must be int8 (tiles, inputs / 2, 128) or uint8 (…, 64), got {codes.dtype} {codes.shape}"
        )
    tiles, inputs = len(codes), 2 * codes.shape[1]
    groups = scale.shape[1] if scale.ndim == 3 else 0
    if scale.shape != (tiles, groups, TILE) or not groups or not inputs or inputs % (8 * groups):
        raise ValueError(
            f"scale {scale.shape} does not fit codes {codes.shape} ({inputs} inputs): (tiles, inputs / g, 64)"
        )
    if minimum.size and minimum.shape != scale.shape:
        raise ValueError(f"minimum {minimum.shape} must have the shape of scale {scale.shape}, or size 0")


@packed_matmul.check
@packed_product.check
def _(x, codes, scale, minimum):
    check_packed(codes, scale, minimum)
    inputs = 2 * codes.shape[1]
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"x {x.shape} does not fit {inputs} inputs: (N, {inputs}) was expected")


def _cases(rng):
    for tiles, inputs, group, nibbles, shifted in (
        (2, 64, 32, True, True),
        (1, 32, 16, False, False),
        (3, 24, 8, True, False),
        (2, 32, 32, False, True),
    ):
        codes = rng.integers(0 if nibbles else -128, 16 if nibbles else 128, (tiles, inputs, TILE)).astype(np.int8)
        scale = rng.normal(size=(tiles, inputs // group, TILE))
        minimum = rng.normal(size=scale.shape) if shifted else np.zeros((0, 0, 0))
        yield inputs, (pack_codes(codes, nibbles), scale, minimum)


@packed_matmul.example
def _(rng):
    for rows, (inputs, parts) in zip((1, 3, 1, 0), _cases(rng)):
        yield (rng.normal(size=(rows, inputs)), *parts), {}


@packed_product.example
def _(rng):
    for rows, (inputs, parts) in zip((13, 30, 4, 0), _cases(rng)):
        yield (rng.normal(size=(rows, inputs)), *parts), {}


@packed_expand.example
def _(rng):
    for inputs, parts in _cases(rng):
        yield parts, {}
        yield parts, {"out": np.full((inputs, len(parts[0]) * TILE), np.nan)}  # whatever stood there, it is gone
