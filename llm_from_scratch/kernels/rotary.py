"""Rotary position embedding: pairs of coordinates turned by an angle that grows with the position.

Two conventions exist for what a pair is. Halves (GPT-NeoX, LLaMA in the transformers layout): coordinate i
with i + r/2. Interleaved (GPT-J, the original paper): coordinate 2i with 2i + 1.
"""

from __future__ import annotations

import numpy as np

from .dispatch import kernel


@kernel(contiguous=False)
def rotary(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool) -> np.ndarray:
    """Turn the pairs of the first r coordinates of each head; the others pass through.

    x (B, T, H, D), cos and sin (T, r/2) or (B, T, r/2), r <= D -> (B, T, H, D) in x's order of axes in
    memory. The gradient is the turn backwards: the same call with -sin. Strided views of x are read where
    they are.

    >>> x = np.array([1.0, 0.0, 5.0]).reshape(1, 1, 1, 3)
    >>> rotary(x, np.array([[0.6]]), np.array([[0.8]]), False).ravel()
    array([0.6, 0.8, 5. ])
    """
    half = cos.shape[-1]
    cos, sin = cos[..., None, :], sin[..., None, :]  # one angle for all heads
    first, second = (
        (slice(0, 2 * half, 2), slice(1, 2 * half, 2)) if interleaved else (slice(half), slice(half, 2 * half))
    )
    y = np.copy(x, order="K")
    y[..., first] = x[..., first] * cos - x[..., second] * sin
    y[..., second] = x[..., second] * cos + x[..., first] * sin
    return y


@rotary.check
def _(x, cos, sin, interleaved):
    """One row of at most D / 2 angles for every position of x."""
    if x.ndim != 4:
        raise ValueError(f"x (B, T, H, D) is needed, got shape {x.shape}")
    fitting = (x.shape[1:2], x.shape[:2])
    if cos.shape != sin.shape or cos.shape[:-1] not in fitting or 2 * cos.shape[-1] > x.shape[-1]:
        raise ValueError(f"cos {cos.shape} and sin {sin.shape} do not fit x {x.shape}: (T, r/2) or (B, T, r/2), r <= D")


@rotary.example
def _(rng):
    for shape, half, batched in (
        ((2, 3, 4, 8), 4, False),
        ((2, 5, 1, 70), 16, True),
        ((1, 0, 2, 4), 1, False),
    ):
        angles = rng.normal(size=(*shape[: 2 if batched else 0], *(() if batched else shape[1:2]), half)) * 3
        for interleaved in (False, True):
            x = rng.normal(size=shape)
            yield (x, np.cos(angles), np.sin(angles), interleaved), {}
            yield (
                (
                    x.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3),
                    np.cos(angles),
                    np.sin(angles),
                    interleaved,
                ),
                {},
            )
            yield (np.repeat(x, 2, -1)[..., ::2], np.cos(angles), np.sin(angles), interleaved), {}
