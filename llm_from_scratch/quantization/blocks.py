"""GGUF's block formats: numbers as small whole codes with a scale, block by block.

Every format comes to one equation, value = scale · code + minimum, with one scale (and minimum) for each group of
neighbouring numbers in a row. `decode` unpacks bytes into these parts, `dequantize` carries the equation out, bit for
bit as the `gguf` package does, and `quantize` goes the other way: the simple formats alike, bit for bit, the K-quants
by a search of its own (`k_quants.py`). What this module does not do: files, or products with packed weights
(`packed.py`).

    format   numbers a block   bytes   bits a number   codes        scale, minimum
    Q4_0     32                18      4.5             -8 … 7       float16, none
    Q4_1     32                20      5               0 … 15       float16, float16
    Q5_0     32                22      5.5             -16 … 15     float16, none
    Q5_1     32                24      6               0 … 31       float16, float16
    Q8_0     32                34      8.5             -128 … 127   float16, none
    Q4_K     256               144     4.5             0 … 15       per 32: 6 bits of a float16 each
    Q5_K     256               176     5.5             0 … 31       per 32: 6 bits of a float16 each
    Q6_K     256               210     6.5625          -32 … 31     per 16: 8 bits of a float16, none

Source: the reference quantisation of github.com/ggml-org/ggml.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import ml_dtypes
import numpy as np

from ..files.gguf import TYPES
from .k_quants import encode_q4_k, encode_q5_k, encode_q6_k

FLOATS = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F64": np.dtype("<f8"),
}
"""The types that are plain numbers."""


class Codes(NamedTuple):
    """Unpacked blocks: values = scale · codes + minimum, one scale a group of codes.

    codes (..., n) int8; scale (..., n / g) float32 for groups of g; minimum alike, or None where it is zero.
    """

    codes: np.ndarray
    scale: np.ndarray
    minimum: np.ndarray | None

    @property
    def group(self) -> int:
        """How many neighbouring codes share a scale."""
        return self.codes.shape[-1] // self.scale.shape[-1]

    def values(self) -> np.ndarray:
        """The numbers, (..., n) float32."""
        shape = self.codes.shape
        values = self.codes.reshape(*self.scale.shape, self.group).astype(np.float32)
        values *= self.scale[..., None]
        if self.minimum is not None:
            values += self.minimum[..., None]
        return values.reshape(shape)


def dequantize(data: np.ndarray, kind: str) -> np.ndarray:
    """The numbers in rows of blocks: bytes (..., b) uint8 -> (..., n) float32 (float64 for F64).

    kind: one of GGUF's types. Raises ValueError for a kind that holds no real numbers or bytes that are no whole
    blocks, TypeError for anything but bytes.

    >>> block = np.array([0, 60, 0, 188, *range(16)], np.uint8)        # Q4_1: scale 1.0, minimum -1.0, nibbles
    >>> dequantize(block, "Q4_1").tolist()[:17]                        # low nibbles first, then the high ones
    [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, -1.0]
    """
    _check_bytes(data, kind)
    if kind in FLOATS:
        stored = np.ascontiguousarray(data).view(FLOATS[kind])
        return stored.astype(np.float64 if kind == "F64" else np.float32)
    return decode(data, kind).values()


def decode(data: np.ndarray, kind: str) -> Codes:
    """Unpack rows of blocks, bytes (..., b) uint8, into codes, scales and minima. Not for plain numbers.

    >>> decode(np.array([0, 60, 0, 188, *range(16)], np.uint8), "Q4_1").scale
    array([1.], dtype=float32)
    """
    _check_bytes(data, kind)
    if kind not in _DECODERS:
        raise ValueError(f"{kind} holds plain numbers, not blocks of codes; blocks are {', '.join(_DECODERS)}")
    size = TYPES[kind].bytes
    blocks = np.ascontiguousarray(data).reshape(-1, size)
    codes, scale, minimum = _DECODERS[kind](blocks)
    count = data.shape[-1] // size  # blocks a row
    groups = count * (scale.size // len(blocks) if len(blocks) else 1)
    return Codes(
        codes.reshape(*data.shape[:-1], count * TYPES[kind].values),
        scale.reshape(*data.shape[:-1], groups),
        None if minimum is None else minimum.reshape(*data.shape[:-1], groups),
    )


def quantize(values: np.ndarray, kind: str) -> np.ndarray:
    """Numbers as rows of blocks: (..., n) float32 -> bytes (..., b) uint8, for F32, F16, BF16, Q4_0 to Q6_K.

    Raises ValueError where n is no multiple of the block, for numbers that are not finite or too large for the
    format's float16 scales, and for other kinds.

    >>> dequantize(quantize(np.linspace(-1, 2, 32, dtype=np.float32), "Q4_1"), "Q4_1")[[0, 31]].round(2)
    array([-1.,  2.], dtype=float32)
    """
    values = np.asarray(values)
    if values.dtype != np.float32:
        raise TypeError(f"quantize takes float32, not {values.dtype}: convert first")
    if kind not in _ENCODERS and kind not in ("F32", "F16", "BF16"):
        raise ValueError(f"{kind!r} is not written here; known: F32, F16, BF16, {', '.join(_ENCODERS)}")
    if not np.isfinite(values).all():
        raise ValueError("quantize: there are numbers that are not finite")
    if values.ndim == 0 or values.shape[-1] % TYPES[kind].values:
        raise ValueError(f"rows of {values.shape} are not whole {kind} blocks of {TYPES[kind].values}")
    with np.errstate(over="raise"):
        try:
            if kind in FLOATS:
                stored = np.ascontiguousarray(values).astype(FLOATS[kind])
                if not np.isfinite(stored).all():  # bfloat16 does not report it
                    raise FloatingPointError
                return stored.view(np.uint8)
            blocks = _ENCODERS[kind](np.ascontiguousarray(values).reshape(-1, TYPES[kind].values))
        except FloatingPointError:
            raise ValueError(f"quantize: there are numbers too large for {kind}") from None
    return blocks.reshape(*values.shape[:-1], -1)


def _check_bytes(data: np.ndarray, kind: str) -> None:
    if kind not in _DECODERS and kind not in FLOATS:
        raise ValueError(f"{kind!r} is not a type of real numbers; known: {', '.join([*FLOATS, *_DECODERS])}")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8:
        raise TypeError(f"blocks are bytes: an array of uint8 was expected, not {getattr(data, 'dtype', type(data))}")
    if data.ndim == 0 or data.shape[-1] % TYPES[kind].bytes:
        raise ValueError(f"rows of {data.shape} bytes are not whole {kind} blocks of {TYPES[kind].bytes}")


# --- Unpacking: blocks (n, bytes) -> codes (n, values), scale (n, groups), minimum (n, groups) or None

Parts = tuple[np.ndarray, np.ndarray, "np.ndarray | None"]


def _half(blocks: np.ndarray, at: int) -> np.ndarray:
    """The float16 at byte `at` of every block, (n, 1) float32."""
    return blocks[:, at : at + 2].copy().view("<f2").astype(np.float32)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """(n, b) bytes -> (n, 2b) numbers 0 … 15: all low halves, then all high halves."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=1)


def _fifth_bits(mask: np.ndarray) -> np.ndarray:
    """(n, 4) bytes, little-endian -> (n, 32): bit i belongs to number i; worth 16."""
    return np.unpackbits(mask, axis=1, bitorder="little") << 4


def _q4_0(blocks: np.ndarray) -> Parts:
    return _nibbles(blocks[:, 2:]).view(np.int8) - np.int8(8), _half(blocks, 0), None


def _q4_1(blocks: np.ndarray) -> Parts:
    return _nibbles(blocks[:, 4:]).view(np.int8), _half(blocks, 0), _half(blocks, 2)


def _q5_0(blocks: np.ndarray) -> Parts:
    codes = (_nibbles(blocks[:, 6:]) | _fifth_bits(blocks[:, 2:6])).view(np.int8)
    return codes - np.int8(16), _half(blocks, 0), None


def _q5_1(blocks: np.ndarray) -> Parts:
    codes = (_nibbles(blocks[:, 8:]) | _fifth_bits(blocks[:, 4:8])).view(np.int8)
    return codes, _half(blocks, 0), _half(blocks, 2)


def _q8_0(blocks: np.ndarray) -> Parts:
    return blocks[:, 2:].copy().view(np.int8), _half(blocks, 0), None


def _six_bit_pairs(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 8 scales and 8 minima of a K-quant super-block, 6 bits each in 12 bytes: (n, 12) -> (n, 8), (n, 8) float32.

    The first four of each keep their 6 bits in bytes 0-3 and 4-7; those of the last four are shared out, 4 bits to
    bytes 8-11 and 2 to what the first four left free.
    """
    scales, minima, shared = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scale = np.concatenate([scales & 0x3F, (shared & 0x0F) | ((scales >> 2) & 0x30)], axis=1)
    minimum = np.concatenate([minima & 0x3F, (shared >> 4) | ((minima >> 2) & 0x30)], axis=1)
    return scale.astype(np.float32), minimum.astype(np.float32)


def _q4_k(blocks: np.ndarray) -> Parts:
    scale, minimum = _six_bit_pairs(blocks[:, 4:16])
    packed = blocks[:, 16:].reshape(-1, 4, 32)  # each 32 bytes: low halves are one group, high halves the next
    codes = np.stack([packed & 0x0F, packed >> 4], axis=2).view(np.int8)
    return codes, _half(blocks, 0) * scale, -(_half(blocks, 2) * minimum)


def _q5_k(blocks: np.ndarray) -> Parts:
    scale, minimum = _six_bit_pairs(blocks[:, 4:16])
    high, packed = blocks[:, None, 16:48], blocks[:, 48:].reshape(-1, 4, 32)
    low = np.stack([packed & 0x0F, packed >> 4], axis=2).reshape(-1, 8, 32)
    fifth = (high >> np.arange(8, dtype=np.uint8)[:, None]) & 1  # bit g of byte i belongs to number i of group g
    return (low | (fifth << 4)).view(np.int8), _half(blocks, 0) * scale, -(_half(blocks, 2) * minimum)


def _q6_k(blocks: np.ndarray) -> Parts:
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None]
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None]
    codes = (low & 0x0F).reshape(-1, 8, 32) | ((high & 3).reshape(-1, 8, 32) << 4)
    scale = blocks[:, 192:208].copy().view(np.int8).astype(np.float32)
    return codes.view(np.int8) - np.int8(32), _half(blocks, 208) * scale, None


_DECODERS: dict[str, Callable[[np.ndarray], Parts]] = {
    "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "Q8_0": _q8_0,
    "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
}  # fmt: skip
BLOCKS = tuple(_DECODERS)
"""The types that are blocks of codes."""


# --- Packing: values (n, 32) float32 -> blocks (n, bytes). Codes come from the float32 scale, stored as float16.


def _bytes(half: np.ndarray) -> np.ndarray:
    return half.astype("<f2").view(np.uint8)


def _inverse(scale: np.ndarray) -> np.ndarray:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _joined(codes: np.ndarray) -> np.ndarray:
    """(n, 32) -> (n, 16): number i in the low half, number i + 16 in the high half (only 4 bits of each)."""
    return (codes[:, :16] & 0x0F) | (codes[:, 16:] << 4)


def _signed(values: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes 0 … 2·levels - 1 around `levels`: the number of largest magnitude gets code 0, exactly."""
    largest = np.take_along_axis(values, np.abs(values).argmax(1, keepdims=True), 1)
    scale = largest / np.float32(-levels)
    rounded = np.trunc(values * _inverse(scale) + np.float32(levels + 0.5))
    return scale, rounded.astype(np.uint8).clip(0, 2 * levels - 1)


def _ranged(values: np.ndarray, highest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes 0 … highest from the smallest number to the largest."""
    minimum = values.min(1, keepdims=True)
    scale = (values.max(1, keepdims=True) - minimum) / np.float32(highest)
    rounded = np.trunc((values - minimum) * _inverse(scale) + np.float32(0.5))
    return scale, minimum, rounded.astype(np.uint8).clip(0, highest)


def _to_q4_0(values: np.ndarray) -> np.ndarray:
    scale, codes = _signed(values, 8)
    return np.concatenate([_bytes(scale), _joined(codes)], axis=1)


def _to_q4_1(values: np.ndarray) -> np.ndarray:
    scale, minimum, codes = _ranged(values, 15)
    return np.concatenate([_bytes(scale), _bytes(minimum), _joined(codes)], axis=1)


def _to_q5_0(values: np.ndarray) -> np.ndarray:
    scale, codes = _signed(values, 16)
    return np.concatenate([_bytes(scale), np.packbits(codes >> 4, axis=1, bitorder="little"), _joined(codes)], axis=1)


def _to_q5_1(values: np.ndarray) -> np.ndarray:
    scale, minimum, codes = _ranged(values, 31)
    high = np.packbits(codes >> 4, axis=1, bitorder="little")
    return np.concatenate([_bytes(scale), _bytes(minimum), high, _joined(codes)], axis=1)


def _to_q8_0(values: np.ndarray) -> np.ndarray:
    scale = np.abs(values).max(1, keepdims=True) / np.float32(127)
    scaled = values * _inverse(scale)
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    whole += np.floor(2 * (magnitude - whole))  # halves away from zero, unlike np.round
    return np.concatenate([_bytes(scale), (np.sign(scaled) * whole).astype(np.int8).view(np.uint8)], axis=1)


_ENCODERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "Q4_0": _to_q4_0, "Q4_1": _to_q4_1, "Q5_0": _to_q5_0, "Q5_1": _to_q5_1, "Q8_0": _to_q8_0,
    "Q4_K": encode_q4_k, "Q5_K": encode_q5_k, "Q6_K": encode_q6_k,
}  # fmt: skip
WRITTEN = ("F32", "F16", "BF16", *_ENCODERS)
"""The types that `quantize` writes."""
