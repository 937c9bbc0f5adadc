"""The selective scan of Mamba: a state-space model whose step, input and output weights depend on the input."""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import floating, shapes
from ..kernels import scan as kernels
from .short_filters import document_borders

CHUNK = 16  # steps between stored states: with N = 16 numbers of state, what is stored is as large as x


@primitive
def selective_scan(x, delta, A, B, C, D=None, state=None, /, *, segments=None):
    """h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t x_t and y_t = C_t · h_t + D x_t, for every channel on its own.

    x and delta (B, T, d), A (d, N), B and C (B, T, N) shared by all channels, D (d,) or None -> y (B, T, d) and the
    state after the last step, (B, d, N). A decays where it is negative.

    A is discretised by zero-order hold, B by Euler's rule (Δ B in place of (Δ A)⁻¹ (exp(Δ A) - 1) Δ B), as in the
    authors' code. state (B, d, N): the state to begin with, default zeros; both it and the state that comes out are
    differentiable, so a sequence may be run in chunks. segments (B, T): document numbers; the state is cleared at their
    borders (the first position continues `state`).

    >>> ones = np.ones((1, 3, 1))
    >>> y, last = selective_scan(ones, ones, [[-1.0]], ones, ones)              # h = h / e + 1
    >>> y.data.ravel().round(4), last.data.ravel().round(4)
    (array([1.    , 1.3679, 1.5032]), array([1.5032]))

    Memory is O(T d): the backward recomputes the states in chunks. Raises ValueError for shapes that do not fit.

    Source: Gu & Dao 2023, arXiv:2312.00752, eqs. 2 and 4, algorithm 2; recomputation as in its section 3.3.2.
    """
    floating("selective_scan", x, delta, A, B, C)
    if x.ndim != 3 or A.ndim != 2 or A.shape[0] != x.shape[2]:
        raise ValueError(f"selective_scan needs x (B, T, d) and A (d, N), got {x.shape} and {A.shape}")
    (batch, length, channels), width = x.shape, A.shape[1]
    each, states = (batch, length, width), (batch, channels, width)
    given = {"delta": (delta, x.shape), "B": (B, each), "C": (C, each), "D": (D, (channels,)), "state": (state, states)}
    shapes("selective_scan", **given)
    keep = np.ones((batch, length), x.dtype)
    if segments is not None:
        keep[document_borders("selective_scan", segments, (batch, length))] = 0
    direct = np.zeros(channels, x.dtype) if D is None else D
    begin = np.zeros((batch, channels, width), x.dtype) if state is None else state
    chunk = max(CHUNK, width)
    y, last, checkpoints = kernels.selective_scan(x, delta, A, B, C, direct, begin, keep, chunk)
    return (y, last), (x, delta, A, B, C, direct, keep, checkpoints, chunk)


@selective_scan.backward
def _(cotangents, saved, needs):
    # Nearly all of the work is the walk itself, which every gradient needs: nothing is saved by computing fewer.
    found = kernels.selective_scan_backward(*cotangents, *saved)
    return tuple(gradient if need else None for gradient, need in zip(found, needs))


def _inputs(rng, batch, length, channels, width):
    size = (batch, length)
    return (
        rng.normal(size=(*size, channels)),
        rng.uniform(0.1, 1.0, size=(*size, channels)),
        -rng.uniform(0.3, 2.0, size=(channels, width)),
        rng.normal(size=(*size, width)),
        rng.normal(size=(*size, width)),
        rng.normal(size=channels),
        rng.normal(size=(batch, channels, width)),
    )


@selective_scan.example
def _(rng):
    return _inputs(rng, 2, 5, 3, 2), {}


@selective_scan.example
def _(rng):
    return _inputs(rng, 2, 6, 2, 1), {"segments": np.array([[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0]])}


@selective_scan.example
def _(rng):
    return _inputs(rng, 1, 18, 1, 1)[:5], {}
