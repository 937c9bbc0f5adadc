"""Products with weights on a grid, codes of 2, 3, 4 or 8 bits: weight = (code - zero) · scale.

Codes lie in tiles of 64 outputs, side by side, as in `kernels.packed`: the innermost loop runs over outputs, nothing
is summed across. Along the inputs, 8 codes of b bits fill b bytes exactly, of which each is a plane of its own: three
bits take three bytes, and no bit is lost.

    codes     (tiles, chunks, b, R, 64) uint8; a chunk is 8 R inputs, the k-th of its eighths on bits k b … k b + b - 1,
              counted through the b planes from the lowest bit of the first
    scale     (tiles, groups, 64), for groups of one or more chunks
    zero      alike, uint8
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel
from .packed import TILE

WIDTHS = (2, 3, 4, 8)  # bits of a code


@kernel
def grid_matmul(x: np.ndarray, codes: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """x W with W on a grid: x (N, inputs) -> (N, tiles · 64). For few rows: each reads all codes anew.

    >>> codes = pack_codes(np.full((1, 8, 64), 5, np.uint8), 3, 1)                       # 8 inputs, 64 outputs: all 5
    >>> y = grid_matmul(np.ones((1, 8)), codes, np.full((1, 1, 64), 0.5), np.full((1, 1, 64), 3, np.uint8))
    >>> codes.shape, float(y[0, 0])                                                      # 8 · (5 - 3) · 0.5
    ((1, 1, 3, 1, 64), 8.0)
    """
    return x @ grid_expand.__wrapped__(codes, scale, zero)


@kernel
def grid_expand(codes: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """The weights as numbers, (inputs, tiles · 64).

    >>> codes = pack_codes(np.arange(8, dtype=np.uint8).reshape(1, 8, 1).repeat(64, axis=2), 3, 1)
    >>> grid_expand(codes, np.full((1, 1, 64), 0.5), np.full((1, 1, 64), 3, np.uint8))[:, 0]
    array([-1.5, -1. , -0.5,  0. ,  0.5,  1. ,  1.5,  2. ])
    """
    tiles, chunks, bits, rows, _ = codes.shape
    stream = np.unpackbits(codes, axis=2, bitorder="little")  # bit by bit through the planes
    fields = np.moveaxis(stream.reshape(tiles, chunks, 8, bits, rows, TILE), 3, 0)
    whole = sum(field << np.uint8(bit) for bit, field in enumerate(fields))
    grouped = whole.reshape(tiles, scale.shape[1], -1, TILE).astype(scale.dtype)
    weights = (grouped - zero[:, :, None]) * scale[:, :, None]
    return np.ascontiguousarray(weights.reshape(tiles, -1, TILE).swapaxes(0, 1)).reshape(-1, tiles * TILE)


def pack_codes(codes: np.ndarray, bits: int, rows: int) -> np.ndarray:
    """Codes (tiles, inputs, 64) uint8, below 2^bits, as they lie: (tiles, inputs / 8 rows, bits, rows, 64)."""
    tiles, inputs, _ = codes.shape
    eighths = codes.reshape(tiles, inputs // (8 * rows), 8, 1, rows, TILE)
    stream = np.unpackbits(eighths, axis=3, bitorder="little")[:, :, :, :bits]
    return np.packbits(stream.reshape(tiles, -1, 8 * bits, rows, TILE), axis=2, bitorder="little")


@grid_expand.check
def check_codes(codes: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> None:
    """ValueError unless the parts of a weight fit each other."""
    if codes.dtype != np.uint8 or codes.ndim != 5 or codes.shape[2] not in WIDTHS or codes.shape[4] != TILE:
        raise ValueError(f"codes must be uint8 (tiles, chunks, bits, rows, 64), got {codes.dtype} {codes.shape}")
    tiles, chunks = codes.shape[:2]
    groups = scale.shape[1] if scale.ndim == 3 else 0
    if scale.shape != (tiles, groups, TILE) or not groups or not chunks or chunks % groups or not codes.shape[3]:
        raise ValueError(f"scale {scale.shape} does not fit codes {codes.shape}: (tiles, groups, 64) for whole chunks")
    if zero.shape != scale.shape or zero.dtype != np.uint8:
        raise ValueError(f"zero must be uint8 and have the shape of scale {scale.shape}, got {zero.dtype} {zero.shape}")


@grid_matmul.check
def _(x, codes, scale, zero):
    check_codes(codes, scale, zero)
    inputs = 8 * codes.shape[1] * codes.shape[3]
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"x {x.shape} does not fit {inputs} inputs: (N, {inputs}) was expected")


def _cases(rng):
    for bits, tiles, groups, chunks, rows in ((2, 2, 3, 1, 2), (3, 1, 2, 2, 3), (4, 3, 1, 1, 8), (8, 1, 2, 1, 1)):
        codes = rng.integers(0, 256, (tiles, groups * chunks, bits, rows, TILE)).astype(np.uint8)
        scale = rng.normal(size=(tiles, groups, TILE))
        yield codes, scale, rng.integers(0, 2**bits, scale.shape).astype(np.uint8)


@grid_matmul.example
def _(rng):
    for rows, parts in zip((1, 3, 0, 2), _cases(rng)):
        yield (rng.normal(size=(rows, 8 * parts[0].shape[1] * parts[0].shape[3])), *parts), {}


@grid_expand.example
def _(rng):
    for parts in _cases(rng):
        yield parts, {}
