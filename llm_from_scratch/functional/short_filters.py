"""Depthwise causal convolution with short filters, as in Mamba (width 4) and StripedHyena (width 3)."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import floating, shapes
from ..kernels import causal_convolution as kernels


@primitive
def causal_convolution(x, weight, bias=None, tail=None, /, *, segments=None):
    """Each channel filtered over its present and last W - 1 inputs: y[t] = b + w[W-1] x[t] + … + w[0] x[t-W+1].

    x (B, T, C), weight (C, W), bias (C,) or None -> (B, T, C). The last tap meets the present input (a
    cross-correlation, as in torch's Conv1d with padding on the left).

    tail (B, W - 1, C): the inputs just before x, oldest first; None stands for zeros. A sequence in chunks, each with
    the last inputs of the one before as its tail, gives what the whole gives.
    segments (B, T): document numbers; the filter sees nothing from before the border of its document. The first
    position continues what the tail holds.

    >>> causal_convolution([[[1.0], [2.0], [3.0]]], [[10.0, 1.0]]).data.ravel()        # x[t] + 10 x[t-1]
    array([ 1., 12., 23.])
    >>> causal_convolution([[[3.0]]], [[10.0, 1.0]], None, [[[2.0]]]).data.ravel()     # the last of them as a step
    array([23.])

    Raises ValueError for shapes that do not fit, TypeError for integers in x.
    """
    floating("causal_convolution", x, weight)
    if x.ndim != 3 or weight.ndim != 2 or weight.shape[0] != x.shape[2] or weight.shape[1] < 1:
        raise ValueError(
            f"causal_convolution needs x (B, T, C) and a weight (C, W) with W at least 1, got {x.shape}, {weight.shape}"
        )
    (batch, length, channels), width = x.shape, weight.shape[1]
    shapes("causal_convolution", bias=(bias, (channels,)), tail=(tail, (batch, width - 1, channels)))
    if segments is None:
        reach = np.full((batch, length), width - 1, np.int64)
    else:
        borders = document_borders("causal_convolution", segments, (batch, length))
        index = np.arange(length)
        since = index - np.maximum.accumulate(np.where(borders, index, -width), axis=1)
        reach = np.minimum(since, width - 1)
    return kernels.causal_convolution(x, weight, bias, tail, reach), (x, weight, tail, reach)


@causal_convolution.backward
def _(dy, saved, needs):
    return kernels.causal_convolution_backward(dy, *saved, needs)


def document_borders(name: str, segments: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Where a document begins: (B, T) numbers -> (B, T) booleans, True where the number is not its left neighbour's.

    The first column is False: what was remembered before it, if anything, belongs to it.

    >>> document_borders("scan", np.array([[7, 7, 8, 8]]), (1, 4)).tolist()
    [[False, False, True, False]]
    """
    segments = np.asarray(segments)
    if segments.dtype.kind not in "iu":
        raise TypeError(f"{name}: segments are document numbers, integers; got {segments.dtype}")
    if segments.shape != shape:
        raise ValueError(f"{name}: segments have shape {segments.shape}, expected {shape}")
    borders = np.zeros(shape, bool)
    borders[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return borders


@causal_convolution.example
def _(rng):
    return (rng.normal(size=(2, 5, 3)), rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=(2, 3, 3))), {}


@causal_convolution.example
def _(rng):
    inputs = rng.normal(size=(2, 6, 2)), rng.normal(size=(2, 3)), None, rng.normal(size=(2, 2, 2))
    return inputs, {"segments": np.array([[0, 0, 1, 1, 1, 2], [4, 4, 4, 4, 4, 4]])}


@causal_convolution.example
def _(rng):
    return (rng.normal(size=(1, 3, 2)), rng.normal(size=(2, 5))), {}
