"""Rotary position embedding: queries and keys turned by angles proportional to their positions.

After the turn, the product of a query at position m with a key at position n depends on m - n only.
"""

from __future__ import annotations

import functools

import numpy as np

from ..autograd import primitive
from ..checks import floating
from ..kernels import rotary as kernels


@primitive
def rotary(x, /, *, positions, base=10000.0, rotary_dims=None, interleaved=False, inverse_frequency=None):
    """Turn pair i of each head's coordinates by position · inverse_frequency[i] radians.

    x (B, H, T, D), in any strides -> the same shape, in the same order of axes in memory.

    positions:          (T,), (1, T) or (B, T) integers.
    rotary_dims:        how many coordinates r take part (even, default D); the others pass through.
    inverse_frequency:  (r / 2,) radians a position, in place of base^(-2i / r): scaled variants pass their
                        own, one set for all or (B or 1, T or 1, r / 2) for tokens that differ.
    interleaved:        pairs are (2i, 2i + 1), as in the paper, GPT-J and Meta's files; otherwise (i, i +
                        r/2), as in GPT-NeoX and the Hugging Face layout of LLaMA. Published weights work with
                        one of them only.

    >>> x = np.array([1.0, 0.0]).reshape(1, 1, 1, 2)
    >>> rotary(x, positions=np.array([1])).data.ravel().round(4)       # one radian: (cos 1, sin 1)
    array([0.5403, 0.8415])

    Source: Su et al. 2021, arXiv:2104.09864, eq. 34.
    """
    cos, sin, minus_sin = _angles(x, positions, base, rotary_dims, inverse_frequency)
    return _turn(x, cos, sin, interleaved), (cos, minus_sin, interleaved)


@rotary.backward
def _(dy, saved, needs):
    return (_turn(dy, *saved),)  # a rotation's transpose is the rotation back


def _turn(x, cos, sin, interleaved):
    # The kernel takes time before heads; both ways of lying in memory are views to it.
    return kernels.rotary(x.transpose(0, 2, 1, 3), cos, sin, interleaved).transpose(0, 2, 1, 3)


def _angles(x, positions, base, rotary_dims, inverse_frequency):
    """cos, sin and -sin of the angle of each position and pair, checked to fit x."""
    floating("rotary", x)
    if x.ndim != 4:
        raise ValueError(f"rotary needs x (B, H, T, D), got shape {x.shape}")
    batch, _, length, width = x.shape
    if inverse_frequency is None:
        inverse_frequency = frequencies(width if rotary_dims is None else rotary_dims, base)
    else:
        inverse_frequency = np.asarray(inverse_frequency, np.float64)
        if rotary_dims is not None and inverse_frequency.shape[-1:] != (rotary_dims // 2,):
            raise ValueError(
                f"rotary: inverse_frequency {inverse_frequency.shape} does not fit rotary_dims={rotary_dims}"
            )
    per_token = inverse_frequency.shape[:1] in ((1,), (batch,)) and inverse_frequency.shape[1:2] in ((1,), (length,))
    if inverse_frequency.ndim != (3 if per_token else 1) or 2 * inverse_frequency.shape[-1] > width:
        raise ValueError(f"rotary: {inverse_frequency.shape} pairs do not fit into heads of {width} coordinates")
    positions = np.asarray(positions)
    if positions.dtype.kind not in "iu":
        raise TypeError(f"rotary: positions are integers, got {positions.dtype}")
    if positions.shape == (1, length):
        positions = positions[0]
    if positions.shape not in ((length,), (batch, length)):
        raise ValueError(f"rotary: positions {positions.shape} do not fit x {x.shape}: expected (T,) or (B, T)")
    return _tables(
        np.ascontiguousarray(positions, np.int64).tobytes(),
        positions.shape,
        inverse_frequency.tobytes(),
        inverse_frequency.shape,
        x.dtype.char,
    )


def frequencies(dims: int, base: float = 10000.0) -> np.ndarray:
    """base^(-2i / dims) for i = 0 … dims/2 - 1, radians a position, float64.

    >>> frequencies(4)
    array([1.  , 0.01])
    """
    if dims < 0 or dims % 2:
        raise ValueError(f"rotary turns pairs: rotary_dims must be even and not negative, got {dims}")
    if not 0 < base < np.inf:
        raise ValueError(f"the rotary base must be a positive number, not {base}")
    return base ** (-np.arange(0, dims, 2) / dims) if dims else np.zeros(0)


@functools.lru_cache(maxsize=32)
def _tables(
    positions: bytes, shape: tuple[int, ...], inverse_frequency: bytes, frequency_shape: tuple[int, ...], dtype: str
):
    """cos, sin and -sin of every position's angles; all layers of a step ask for the same ones.

    Angles are computed in float64: at position 100,000, float32 would leave them four digits.
    """
    frequency = np.frombuffer(inverse_frequency).reshape(frequency_shape)
    angles = np.frombuffer(positions, np.int64).reshape(shape)[..., None] * frequency
    angles = angles[0] if angles.ndim == 3 and len(angles) == 1 else angles
    cos, sin = np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
    return cos, sin, -sin


@rotary.example
def _(rng):
    return (rng.normal(size=(2, 3, 4, 6)),), {"positions": np.arange(3, 7)}


@rotary.example
def _(rng):
    x = rng.normal(size=(2, 1, 3, 7))
    return (x,), {
        "positions": rng.integers(0, 90, (2, 3)),
        "rotary_dims": 4,
        "interleaved": True,
        "base": 500.0,
    }


@rotary.example
def _(rng):
    positions = np.arange(3, 6)
    return (rng.normal(size=(2, 2, 3, 6)),), {"positions": positions, "inverse_frequency": rng.uniform(size=(2, 1, 3))}
