"""Depthwise causal convolution: every channel has a short filter of its own over the present and past inputs.

The filter's last tap meets the present input, as in a cross-correlation with padding on the left only. What it does not
do: mix channels, or long filters (those go through an FFT).
"""

from __future__ import annotations

import numpy as np

from .. import checks
from .dispatch import kernel

Needs = tuple[bool, ...]


@kernel
def causal_convolution(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, tail: np.ndarray | None, reach: np.ndarray
) -> np.ndarray:
    """y[t] = bias + Σ_k weight[:, W - 1 - k] x[t - k] over k = 0 … reach[t].

    x (B, T, C), weight (C, W), bias (C,) or None, tail (B, W - 1, C) the inputs before x (None: zeros), reach (B, T)
    integers in 0..W - 1: how many earlier inputs each position may see -> (B, T, C)

    >>> x = np.array([[[1.0], [2.0], [3.0]]])
    >>> causal_convolution(x, np.array([[10.0, 1.0]]), None, None, np.array([[1, 1, 1]])).ravel()
    array([ 1., 12., 23.])
    """
    length, width = x.shape[1], weight.shape[1]
    padded = _padded(x, tail, width)
    y = np.zeros_like(x) if bias is None else np.broadcast_to(bias, x.shape).copy()
    for k in range(width):
        seen = (reach >= k)[..., None]
        y += np.where(seen, padded[:, width - 1 - k : width - 1 - k + length] * weight[:, width - 1 - k], 0)
    return y


@kernel
def causal_convolution_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    tail: np.ndarray | None,
    reach: np.ndarray,
    needs: Needs = (True, True, True, True),
) -> tuple[np.ndarray | None, ...]:
    """The gradients (dx, dweight, dbias, dtail) of causal_convolution; those that `needs` does not want are None.

    An input meets the filter once for each of the W outputs from its own position on.
    """
    length, width = x.shape[1], weight.shape[1]
    padded = _padded(x, tail, width)
    dpadded, dweight = np.zeros_like(padded), np.zeros_like(weight)
    for k in range(width):
        here = slice(width - 1 - k, width - 1 - k + length)
        arriving = np.where((reach >= k)[..., None], dy, 0)
        dpadded[:, here] += arriving * weight[:, width - 1 - k]
        dweight[:, width - 1 - k] = (arriving * padded[:, here]).sum((0, 1), dtype=np.float64)
    return (
        dpadded[:, width - 1 :].copy() if needs[0] else None,
        dweight if needs[1] else None,
        dy.sum((0, 1), dtype=np.float64).astype(dy.dtype) if needs[2] else None,
        dpadded[:, : width - 1].copy() if needs[3] else None,
    )


def _padded(x: np.ndarray, tail: np.ndarray | None, width: int) -> np.ndarray:
    batch, _, channels = x.shape
    before = np.zeros((batch, width - 1, channels), x.dtype) if tail is None else tail
    return np.concatenate([before, x], axis=1)


def _check(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    tail: np.ndarray | None,
    reach: np.ndarray,
    dy: np.ndarray | None = None,
) -> None:
    if x.ndim != 3 or weight.ndim != 2 or weight.shape[0] != x.shape[2] or weight.shape[1] < 1:
        raise ValueError(f"x (B, T, C) needs a weight (C, W) with W at least 1, got {x.shape} and {weight.shape}")
    (batch, length, channels), width = x.shape, weight.shape[1]
    tails = tail, (batch, width - 1, channels)
    checks.shapes(f"causal convolution of x {x.shape}", bias=(bias, (channels,)), tail=tails, dy=(dy, x.shape))
    if reach.shape != (batch, length) or reach.dtype != np.int64:
        raise ValueError(f"reach must be int64 {(batch, length)}, got {reach.dtype}{reach.shape}")
    if reach.size and not (0 <= reach.min() and reach.max() < width):
        raise ValueError(f"reach must lie in 0..{width - 1}, got {reach.min()}..{reach.max()}")


@causal_convolution.check
def _(x, weight, bias, tail, reach):
    _check(x, weight, bias, tail, reach)


@causal_convolution_backward.check
def _(dy, x, weight, tail, reach, needs=()):
    _check(x, weight, None, tail, reach, dy)


def _cases(rng):
    for batch, length, channels, width in ((2, 9, 5, 4), (1, 40, 67, 3), (2, 1, 3, 4), (1, 5, 2, 1), (1, 2, 3, 6)):
        x, weight = rng.normal(size=(batch, length, channels)), rng.normal(size=(channels, width))
        tail = rng.normal(size=(batch, width - 1, channels))
        every, some = np.full((batch, length), width - 1), rng.integers(0, width, (batch, length))
        yield x, weight, rng.normal(size=channels), tail, every
        yield x, weight, None, None, some


@causal_convolution.example
def _(rng):
    for case in _cases(rng):
        yield case, {}


@causal_convolution_backward.example
def _(rng):
    for x, weight, _, tail, reach in _cases(rng):
        dy = rng.normal(size=x.shape)
        for needs in ((True, True, True, tail is not None), (True, False, False, False), (False, True, False, False)):
            yield (dy, x, weight, tail, reach, needs), {}
