"""Convolutions as long as the sequence, and modal filters, which turn them into a recurrence (Hyena, StripedHyena)."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import floating, shapes
from ..kernels import long_convolution as kernels
from ..kernels import modal
from ..kernels.row_products import is_batch_invariant
from .short_filters import document_borders

CHUNK = 16  # steps between the states that a scan stores for its backward


@primitive
def long_convolution(x, h, D=None, /, *, segments=None, method="fft"):
    """Every channel convolved with a filter of its own: y[t] = h[0] x[t] + h[1] x[t-1] + … + h[t] x[0], and D x[t].

    x (B, T, C), h (K, C): the filters, time first as in x, D (C,) or None -> (B, T, C). Filter values beyond K count as
    zero, values beyond T are not used.

    segments (B, T): document numbers; nothing is seen from before the border of a document. method: "fft", about
    T log T a channel, or "direct", T² / 2; the numbers are the same but for rounding.

    >>> long_convolution([[[1.0], [2.0], [3.0]]], [[1.0], [10.0], [100.0]]).data.ravel().round(9)
    array([  1.,  12., 123.])

    Raises ValueError for shapes that do not fit, TypeError for integers.

    Source: Poli et al. 2023, arXiv:2302.10866.
    """
    floating("long_convolution", x, h)
    if x.ndim != 3 or h.ndim != 2 or h.shape[1] != x.shape[2]:
        raise ValueError(f"long_convolution needs x (B, T, C) and filters (K, C), got {x.shape} and {h.shape}")
    if method not in ("fft", "direct"):
        raise ValueError(f"long_convolution: method is 'fft' or 'direct', not {method!r}")
    shapes("long_convolution", D=(D, x.shape[2:]))
    runs = document_runs("long_convolution", segments, x.shape[:2])
    method = "direct" if is_batch_invariant() else method  # the size of a transform is that of the whole row
    forward = kernels.fft_convolution if method == "fft" else kernels.direct_convolution
    y = forward(x, h, runs)
    if D is not None:
        y += D * x
    return y, (x, h, D, runs, method)


@long_convolution.backward
def _(dy, saved, needs):
    x, h, D, runs, method = saved
    backward = kernels.fft_convolution_backward if method == "fft" else kernels.direct_convolution_backward
    dx, dh = backward(dy, x, h, runs, needs[:2]) if any(needs[:2]) else (None, None)
    return dx, dh, _direct_term(dx, dy, x, D, needs[2])


@primitive
def modal_filter(poles, residues, /, *, length):
    """The first `length` values of filters that are sums of modes: h[t] = Re Σ_n R_n p_n^t.

    poles and residues (C, N, 2), complex numbers as pairs (real, imaginary) -> (length, C). A filter fades where all
    |p| < 1; no conjugate is added to a pole.

    >>> modal_filter([[[0.3, 0.4]]], [[[1.0, 0.0]]], length=4).data.ravel()      # |p| = 0.5, 53 degrees a step
    array([ 1.   ,  0.3  , -0.07 , -0.117])

    Source: Massaroli et al. 2023, arXiv:2310.18780, section 3.
    """
    _check_modes("modal_filter", poles, residues)
    if isinstance(length, bool) or not isinstance(length, (int, np.integer)) or length < 1:
        raise ValueError(f"modal_filter: length must be a positive integer, not {length!r}")
    return modal.modal_filter(poles, residues, int(length)), (poles, residues)


@modal_filter.backward
def _(dh, saved, needs):
    # d(p^t) = t p^(t-1) dp, and what is real in the sum passes to complex numbers by their conjugates.
    found = modal.modal_filter_backward(dh, *saved)
    return tuple(gradient if need else None for gradient, need in zip(found, needs))


@primitive
def modal_scan(x, poles, residues, D=None, state=None, /, *, segments=None):
    """The convolution with modal filters as a recurrence: s_t = p s_{t-1} + x_t, y_t = Re Σ_n R_n s_t + D x_t.

    x (B, T, C), poles and residues (C, N, 2), D (C,) or None, state (B, C, N, 2) to begin with, default zeros -> y
    (B, T, C) and the last state. T N products a channel, and from any state: one token or many. Both states are
    differentiable, so a sequence may be run in chunks. segments (B, T): document numbers; the state is cleared at their
    borders (the first position continues `state`).

    >>> y, last = modal_scan([[[1.0], [0.0], [0.0]]], [[[0.5, 0.0]]], [[[3.0, 0.0]]])      # a pulse shows the filter
    >>> y.data.ravel(), last.data.ravel()
    (array([3.  , 1.5 , 0.75]), array([0.25, 0.  ]))

    Memory is O(T C): the backward recomputes states in chunks. Raises ValueError for shapes that do not fit.

    Source: Massaroli et al. 2023, arXiv:2310.18780; the state here includes the present input, as in the
    released code of StripedHyena.
    """
    floating("modal_scan", x)
    _check_modes("modal_scan", poles, residues)
    if x.ndim != 3 or x.shape[2] != poles.shape[0]:
        raise ValueError(f"modal_scan needs x (B, T, C) and poles (C, N, 2), got {x.shape} and {poles.shape}")
    shape = (x.shape[0], *poles.shape)
    shapes("modal_scan", D=(D, x.shape[2:]), state=(state, shape))
    keep = np.ones(x.shape[:2], x.dtype)
    if segments is not None:
        keep[document_borders("modal_scan", segments, x.shape[:2])] = 0
    begin = np.zeros(shape, x.dtype) if state is None else state
    y, last, checkpoints = modal.modal_scan(x, poles, residues, begin, keep, CHUNK)
    if D is not None:
        y += D * x
    return (y, last), (x, poles, residues, D, keep, checkpoints)


@modal_scan.backward
def _(cotangents, saved, needs):
    dy, dlast = cotangents
    x, poles, residues, D, keep, checkpoints = saved
    dx, dp, dR, dstate = modal.modal_scan_backward(dy, dlast, x, poles, residues, keep, checkpoints, CHUNK)
    found = dx, dp, dR, _direct_term(dx, dy, x, D, needs[3]), dstate
    return tuple(gradient if need else None for gradient, need in zip(found, needs))


def document_runs(name: str, segments: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """The stretches of equal document numbers in each row: (B, T) -> (R, 3) of (row, start, stop).

    >>> document_runs("convolution", np.array([[7, 7, 8], [1, 1, 1]]), (2, 3)).tolist()
    [[0, 0, 2], [0, 2, 3], [1, 0, 3]]
    """
    borders = np.zeros(shape, bool) if segments is None else document_borders(name, segments, shape)
    runs = []
    for row in range(shape[0]):
        edges = [0, *np.flatnonzero(borders[row]), shape[1]]
        runs += [(row, start, stop) for start, stop in zip(edges, edges[1:]) if start < stop]
    return np.array(runs, np.int64).reshape(-1, 3)


def _direct_term(dx, dy, x, D, need):
    """What the term D x adds: D dy to dx (in place, it is ours), and the gradient of D."""
    if D is not None and dx is not None:
        dx += D * dy
    return (dy * x).sum((0, 1), dtype=np.float64).astype(x.dtype) if need else None


def _check_modes(name, poles, residues):
    floating(name, poles, residues)
    if poles.ndim != 3 or poles.shape[1] < 1 or poles.shape[2] != 2 or residues.shape != poles.shape:
        raise ValueError(
            f"{name}: poles and residues are pairs of real numbers, both (C, N, 2); got {poles.shape}, {residues.shape}"
        )


def _modes(rng, channels, width):
    radius, angle = rng.uniform(0.4, 0.95, (channels, width)), rng.uniform(-3, 3, (channels, width))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1), rng.normal(size=(channels, width, 2))


@long_convolution.example
def _(rng):
    return (rng.normal(size=(2, 5, 3)), rng.normal(size=(5, 3)), rng.normal(size=3)), {}


@long_convolution.example
def _(rng):
    inputs = rng.normal(size=(2, 6, 2)), rng.normal(size=(4, 2))
    return inputs, {"segments": np.array([[0, 0, 1, 1, 1, 2], [4, 4, 4, 4, 4, 4]])}


@long_convolution.example
def _(rng):
    settings = {"segments": np.array([[0, 0, 1, 1, 1]]), "method": "direct"}
    return (rng.normal(size=(1, 5, 2)), rng.normal(size=(7, 2)), rng.normal(size=2)), settings


@modal_filter.example
def _(rng):
    return _modes(rng, 3, 2), {"length": 7}


@modal_scan.example
def _(rng):
    return (rng.normal(size=(2, 5, 3)), *_modes(rng, 3, 2), rng.normal(size=3), rng.normal(size=(2, 3, 2, 2))), {}


@modal_scan.example
def _(rng):
    inputs = rng.normal(size=(2, 6, 2)), *_modes(rng, 2, 1), None, rng.normal(size=(2, 2, 1, 2))
    return inputs, {"segments": np.array([[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0]])}


@modal_scan.example
def _(rng):
    return (rng.normal(size=(1, 18, 1)), *_modes(rng, 1, 1)), {}
