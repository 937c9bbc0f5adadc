"""Encoders of GGUF's K-quants: blocks of 256 numbers, whose groups have scales that are small whole numbers themselves.

Rounding to a given grid is easy; the art is in the grid. Each group of 32 (or 16) numbers tries a few grids around the
one from its smallest to its largest number, fits scale and minimum to the codes of each by least squares, and keeps the
best. Then the scales of a block are rounded, and the block's own scale is fitted to what came of it.

The reference quantisation of github.com/ggml-org/ggml searches in the same way, but weighs numbers by their size
(squares, or size plus root mean square) and leaves the block's scale as it is; here every number counts alike, which is
what the mean squared error asks for. The bytes differ therefore, and who reads them needs to know nothing of it.
"""

from __future__ import annotations

import itertools

import numpy as np

_STEPS = np.linspace(-4.0, 1.0, 31, dtype=np.float32)  # how many codes fewer or more than the widest grid may use
_ROUNDS = 3


def encode_q4_k(values: np.ndarray) -> np.ndarray:
    """(n, 256) float32 -> blocks (n, 144): 8 groups of 32 codes 0 … 15."""
    scale, minimum, d, least, codes = _affine(values, 15)
    low, high = codes[:, 0::2], codes[:, 1::2]  # neighbouring groups share their bytes
    return np.concatenate(
        [_half(d), _half(least), _six_bit_pairs(scale, minimum), (low | (high << 4)).reshape(-1, 128)], 1
    )


def encode_q5_k(values: np.ndarray) -> np.ndarray:
    """(n, 256) float32 -> blocks (n, 176): 8 groups of 32 codes 0 … 31, the fifth bits apart."""
    scale, minimum, d, least, codes = _affine(values, 31)
    fifth = np.bitwise_or.reduce((codes >> 4) << np.arange(8, dtype=np.uint8)[:, None], axis=1)
    nibbles = (codes[:, 0::2] & 15) | ((codes[:, 1::2] & 15) << 4)
    pairs = _six_bit_pairs(scale, minimum)
    return np.concatenate([_half(d), _half(least), pairs, fifth, nibbles.reshape(-1, 128)], axis=1)


def encode_q6_k(values: np.ndarray) -> np.ndarray:
    """(n, 256) float32 -> blocks (n, 210): 16 groups of 16 codes -32 … 31."""
    groups = values.reshape(-1, 16, 16)

    def coded(d: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = (d * scale)[..., None]
        codes = _rounded(groups * _inverse(step), -32, 31)
        return codes, ((step * codes - groups) ** 2).sum(-1)

    fine = _signed_scales(groups)
    d = _stored(np.take_along_axis(fine, np.abs(fine).argmax(1)[:, None], 1) / np.float32(-128))
    nearest = scale = _rounded(fine * _inverse(d), -128, 127)
    codes, error = coded(d, scale)
    for up in (-1, 1):  # the nearest whole number need not be the best one
        tried = np.clip(nearest + up, -128, 127)
        found = coded(d, tried)
        take = found[1] < error
        scale, error, codes = _where(take, (tried, found[1], found[0]), (scale, error, codes))
    for _ in range(_ROUNDS):
        grid = scale[..., None] * codes
        tried = _stored(_ratio((groups * grid).sum((1, 2)), (grid * grid).sum((1, 2)))[:, None])
        found = coded(tried, scale)
        take = found[1].sum(-1, keepdims=True) < error.sum(-1, keepdims=True)
        d, error, codes = _where(take, (tried, found[1], found[0]), (d, error, codes))
    shifted = (codes + 32).astype(np.uint8).reshape(-1, 2, 4, 32)  # two halves, each of four runs of 32
    low = (shifted[:, :, :2] & 15) | ((shifted[:, :, 2:] & 15) << 4)
    high = np.bitwise_or.reduce((shifted >> 4) << np.array([0, 2, 4, 6], np.uint8)[:, None], axis=2)
    parts = [low.reshape(-1, 128), high.reshape(-1, 64), scale.astype(np.int8).view(np.uint8), _half(d)]
    return np.concatenate(parts, axis=1)


def _affine(values: np.ndarray, highest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """value = d · scale · code - least · minimum: scale and minimum (n, 8) of 6 bits, d and least (n, 1), codes."""
    groups = values.reshape(-1, 8, 32)

    def coded(
        d: np.ndarray, least: np.ndarray, scale: np.ndarray, minimum: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        step, below = (d * scale)[..., None], (least * minimum)[..., None]
        codes = _rounded((groups + below) * _inverse(step), 0, highest)
        return codes, ((step * codes - below - groups) ** 2).sum(-1)

    fine, offset = _ranged_scales(groups, highest)
    d, least = (_stored(part.max(1, keepdims=True) / np.float32(63)) for part in (fine, offset))
    scale, minimum = _rounded(fine * _inverse(d), 0, 63), _rounded(offset * _inverse(least), 0, 63)
    codes, error = coded(d, least, scale, minimum)
    for _ in range(_ROUNDS):
        nearest = scale, minimum
        for up, out in itertools.product((0, -1, 1), repeat=2):  # the nearest whole numbers need not be the best ones
            tried = np.clip(nearest[0] + up, 0, 63), np.clip(nearest[1] + out, 0, 63)
            found = coded(d, least, *tried)
            take = found[1] < error
            scale, minimum, error, codes = _where(take, (*tried, found[1], found[0]), (scale, minimum, error, codes))
        # The two numbers of the block, by least squares.
        pair = _fitted(groups, scale[..., None] * codes, -minimum[..., None])
        found = coded(*pair, scale, minimum)
        take = found[1].sum(-1, keepdims=True) < error.sum(-1, keepdims=True)
        take &= (pair[0] >= 0) & (pair[1] >= 0)
        d, least, error, codes = _where(take, (*pair, found[1], found[0]), (d, least, error, codes))
    return scale, minimum, d, least, codes.astype(np.uint8)


def _fitted(values: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The (n, 1) numbers x and y with the least squared error of x a + y b; a alone where b is 0 or like it."""
    aa, bb, ab, av, bv = ((p * q + 0 * a).sum((1, 2)) for p, q in ((a, a), (b, b), (a, b), (a, values), (b, values)))
    determinant = aa * bb - ab * ab
    solvable = determinant > 1e-6 * aa * bb
    x = np.where(solvable, _ratio(av * bb - bv * ab, determinant), _ratio(av, aa))
    y = np.where(solvable, _ratio(aa * bv - ab * av, determinant), 0)
    return _stored(x[:, None]), _stored(y[:, None])


def _where(take: np.ndarray, new: tuple[np.ndarray, ...], old: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Each of `new` where `take` says so, else of `old`; what has more axes is taken along them."""
    return [
        np.where(take.reshape(take.shape + (1,) * (a.ndim - take.ndim)), a, b) for a, b in zip(new, old, strict=True)
    ]


def _ranged_scales(groups: np.ndarray, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """Scale and negated minimum of each group, both >= 0, with the least squared error: (…, g) -> (…) twice."""
    lowest = np.minimum(groups.min(-1), 0)
    span = np.maximum(groups.max(-1), 0) - lowest  # a minimum above 0 cannot be said
    best_scale, best_offset = span / np.float32(highest), -lowest
    plain = _rounded((groups - lowest[..., None]) * _inverse(best_scale)[..., None], 0, highest)
    best = ((best_scale[..., None] * plain + lowest[..., None] - groups) ** 2).sum(-1)
    total, count = groups.sum(-1), np.float32(groups.shape[-1])
    for step in _STEPS:
        codes = _rounded((groups - lowest[..., None]) * ((highest + step) * _inverse(span))[..., None], 0, highest)
        q, qq, qx = codes.sum(-1), (codes * codes).sum(-1), (codes * groups).sum(-1)
        determinant = count * qq - q * q
        scale = _ratio(count * qx - q * total, determinant)
        offset = _ratio(q * qx - qq * total, determinant)  # minus the intercept
        # A minimum above 0, or a scale below, is not to be had: the line through 0 then.
        through = (offset < 0) | (determinant <= 0)
        scale, offset = np.where(through, _ratio(qx, qq), scale), np.where(through, np.float32(0), offset)
        error = ((scale[..., None] * codes - offset[..., None] - groups) ** 2).sum(-1)
        take = (error < best) & (scale >= 0)
        best, best_scale = np.where(take, error, best), np.where(take, scale, best_scale)
        best_offset = np.where(take, offset, best_offset)
    return best_scale, best_offset


def _signed_scales(groups: np.ndarray) -> np.ndarray:
    """The scale of each group, of either sign, with the least squared error for codes -32 … 31: (…, g) -> (…)."""
    largest = np.take_along_axis(groups, np.abs(groups).argmax(-1)[..., None], -1)[..., 0]
    best_scale, best = np.zeros_like(largest), np.full(largest.shape, np.inf, np.float32)
    for step in _STEPS:
        codes = _rounded(groups * (-(np.float32(32) + step) * _inverse(largest))[..., None], -32, 31)
        scale = _ratio((codes * groups).sum(-1), (codes * codes).sum(-1))
        error = ((scale[..., None] * codes - groups) ** 2).sum(-1)
        best_scale, best = np.where(error < best, scale, best_scale), np.minimum(error, best)
    return best_scale


def _rounded(x: np.ndarray, low: int, high: int) -> np.ndarray:
    return np.clip(np.rint(x), np.float32(low), np.float32(high))


def _inverse(x: np.ndarray) -> np.ndarray:
    return _ratio(np.ones_like(x), x)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def _stored(x: np.ndarray) -> np.ndarray:
    """As float16 will have it: codes are chosen for the scale that is read, not for the one that was meant."""
    return x.astype(np.float16).astype(np.float32)


def _half(x: np.ndarray) -> np.ndarray:
    return x.astype("<f2").view(np.uint8)


def _six_bit_pairs(scale: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """8 scales and 8 minima of 6 bits in 12 bytes: (n, 8) twice -> (n, 12). See `blocks._six_bit_pairs`."""
    s, m = scale.astype(np.uint8), minimum.astype(np.uint8)
    first = [part[:, :4] | ((part[:, 4:] >> 4) << 6) for part in (s, m)]
    return np.concatenate([*first, (s[:, 4:] & 15) | ((m[:, 4:] & 15) << 4)], axis=1)
