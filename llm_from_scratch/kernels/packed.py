"""Products with weights that stay packed: small whole codes in tiles of 64 outputs, with a scale a group of inputs.

A row of a block format belongs to one output, so the obvious loop over it ends in a sum across a vector register. Here
64 neighbouring outputs lie side by side: a tile holds, for each input, the codes of its 64 outputs, and the innermost
loop runs over outputs with the activation broadcast; nothing is ever summed across. Measured on one core: 20 G weights
a second, against 2 for rows.

    codes     (tiles, inputs, 64) int8, or (tiles, inputs, 32) uint8 of nibbles: byte o holds output o (low half) and
              output o + 32 (high half) of the tile
    scale     (tiles, inputs / g, 64) for groups of g inputs, g a multiple of 8
    minimum   alike, or of size 0 where it is zero; weight = scale · code + minimum
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
    check(codes, scale, minimum, x)
    return x @ packed_expand.__wrapped__(codes, scale, minimum)


@kernel
def packed_expand(codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """The weights as numbers, (inputs, tiles · 64): exactly what the block format stands for.

    >>> packed_expand(np.full((1, 8, 32), 0x21, np.uint8), np.full((1, 1, 64), 0.5), np.zeros((0, 0, 0)))[0, [0, 63]]
    array([0.5, 1. ])
    """
    check(codes, scale, minimum)
    if codes.dtype == np.uint8:
        codes = np.concatenate([codes & 0x0F, codes >> 4], axis=2)
    tiles, inputs, _ = codes.shape
    grouped = codes.reshape(tiles, scale.shape[1], -1, TILE).astype(scale.dtype)
    weights = grouped * scale[:, :, None]
    if minimum.size:
        weights += minimum[:, :, None]
    return np.ascontiguousarray(weights.reshape(tiles, inputs, TILE).swapaxes(0, 1)).reshape(inputs, tiles * TILE)


def check(codes: np.ndarray, scale: np.ndarray, minimum: np.ndarray, x: np.ndarray | None = None) -> None:
    """Raise ValueError unless the parts fit together (and x to them)."""
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
