"""Filters that are sums of decaying oscillations, h[t] = Re Σ_n R_n p_n^t, evaluated, or run as a recurrence.

Glossary: B rows, T time, C channels (each with a filter of its own), N modes a channel; p the poles, R the residues:
complex numbers, kept as pairs of real ones (…, 2). Powers are taken in float64: an error of 1e-7 in p^100 is small, but
p^10000 has a hundred times as much.

Gradients of complex numbers z = a + bi are written the same way: dL/da + i dL/db. For real g, d(g Re(u z)) = g conj(u).
"""

from __future__ import annotations

import numpy as np

from .. import checks
from .dispatch import kernel


@kernel
def modal_filter(poles: np.ndarray, residues: np.ndarray, length: int) -> np.ndarray:
    """The first `length` values of every channel's filter.

    poles and residues (C, N, 2) -> (length, C)

    >>> modal_filter(np.array([[[0.5, 0.0]]]), np.array([[[3.0, 0.0]]]), 4).ravel()
    array([3.   , 1.5  , 0.75 , 0.375])
    """
    powers = _powers(as_complex(poles), length)
    return (as_complex(residues) * powers).real.sum(-1).astype(poles.dtype)


@kernel
def modal_filter_backward(dh: np.ndarray, poles: np.ndarray, residues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of poles and residues from those of the filter's values, dh (T, C).

    dR = Σ_t dh[t] conj(p^t),  dp = Σ_t dh[t] conj(t R p^(t-1))
    """
    length, powers = len(dh), _powers(as_complex(poles), len(dh))
    dresidues = (dh[..., None] * powers.conj()).sum(0)
    slopes = np.arange(1, length)[:, None, None] * powers[:-1]
    dpoles = as_complex(residues).conj() * (dh[1:, :, None] * slopes.conj()).sum(0)
    return as_pairs(dpoles, dh.dtype), as_pairs(dresidues, dh.dtype)


@kernel
def modal_scan(
    x: np.ndarray, poles: np.ndarray, residues: np.ndarray, state: np.ndarray, keep: np.ndarray, chunk: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convolve x with the modal filters step by step: s_t = p s_{t-1} + x_t, y_t = Re Σ_n R_n s_t.

    x (B, T, C), poles and residues (C, N, 2), state (B, C, N, 2) to begin with, keep (B, T) of 1 (carry on) and 0 (a
    new document) -> y (B, T, C), the last state, and the states before steps 0, chunk, 2 chunk, … (B, ⌈T / chunk⌉, C,
    N, 2), which the backward begins again from.

    >>> x, start = np.array([[[1.0], [0.0], [0.0]]]), np.zeros((1, 1, 1, 2))       # a single pulse shows the filter
    >>> half, three = np.array([[[0.5, 0.0]]]), np.array([[[3.0, 0.0]]])
    >>> modal_scan(x, half, three, start, np.ones((1, 3)), 2)[0].ravel()
    array([3.  , 1.5 , 0.75])
    """
    p, R, s = _single(poles), _single(residues), _single(state)
    y, checkpoints = np.empty_like(x), []
    for t in range(x.shape[1]):
        if t % chunk == 0:
            checkpoints.append(s)
        s = keep[:, t, None, None] * (p * s) + x[:, t, :, None]
        y[:, t] = (R * s).real.sum(-1)
    shape = (x.shape[0], len(checkpoints), *state.shape[1:])
    kept = np.stack([as_pairs(s, x.dtype) for s in checkpoints], axis=1) if checkpoints else np.empty(shape, x.dtype)
    return y, as_pairs(s, x.dtype), kept


@kernel
def modal_scan_backward(
    dy: np.ndarray,
    dlast: np.ndarray,
    x: np.ndarray,
    poles: np.ndarray,
    residues: np.ndarray,
    keep: np.ndarray,
    checkpoints: np.ndarray,
    chunk: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of x, poles, residues and the first state, from those of y and of the last state.

    With g_t the gradient of s_t, which is conj(R) dy_t from the output plus conj(p) g_{t+1} from the next step:
    dx_t = Re Σ_n g_t,  dp = Σ_t g_t conj(s_{t-1}),  dR = Σ_t dy_t conj(s_t).
    """
    p, R, g = _single(poles), _single(residues), _single(dlast)
    dx, dp, dR = np.empty_like(x), np.zeros(p.shape, np.complex128), np.zeros(p.shape, np.complex128)
    for number in reversed(range(checkpoints.shape[1])):
        start, stop = number * chunk, min((number + 1) * chunk, x.shape[1])
        states = [_single(checkpoints[:, number])]  # through the chunk again …
        for t in range(start, stop):
            states.append(keep[:, t, None, None] * (p * states[-1]) + x[:, t, :, None])
        for t in reversed(range(start, stop)):  # … and back
            before, s = states[t - start], states[t - start + 1]
            dR += (dy[:, t, :, None] * s.conj()).sum(0)
            g = g + R.conj() * dy[:, t, :, None]
            dx[:, t] = g.real.sum(-1)
            g = keep[:, t, None, None] * g
            dp += (g * before.conj()).sum(0)
            g = p.conj() * g
    return dx, as_pairs(dp, x.dtype), as_pairs(dR, x.dtype), as_pairs(g, x.dtype)


@kernel
def modal_state(x: np.ndarray, poles: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The state after the last step without the steps: s = Σ_t p^(T-1-t) x_t over t = start … T - 1.

    x (B, T, C), poles (C, N, 2), start (B,) integers in 0..T -> (B, C, N, 2)

    >>> modal_state(np.array([[[1.0], [2.0]]]), np.array([[[0.5, 0.0]]]), np.array([0])).ravel()      # 0.5 · 1 + 2
    array([2.5, 0. ])
    """
    powers = _powers(as_complex(poles), x.shape[1])[::-1]
    seen = np.where(np.arange(x.shape[1]) >= start[:, None], 1, 0).astype(x.dtype)
    return as_pairs(np.einsum("btc,tcn->bcn", x * seen[..., None], powers), x.dtype)


def as_complex(pairs: np.ndarray) -> np.ndarray:
    """(…, 2) -> (…) of complex128."""
    return np.ascontiguousarray(pairs, dtype=np.float64).view(np.complex128)[..., 0]


def as_pairs(z: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(…) of complex numbers -> (…, 2) of `dtype`."""
    return np.stack([z.real, z.imag], axis=-1).astype(dtype)


def _single(pairs: np.ndarray) -> np.ndarray:
    """(…, 2) -> (…) of the complex type of the same precision."""
    kind = np.complex64 if pairs.dtype == np.float32 else np.complex128
    return np.ascontiguousarray(pairs).view(kind)[..., 0]


def _powers(p: np.ndarray, length: int) -> np.ndarray:
    """p^0 … p^(length-1): (C, N) -> (length, C, N)."""
    factors = np.broadcast_to(p, (length, *p.shape)).copy()
    factors[:1] = 1
    return np.cumprod(factors, axis=0)


@modal_filter.check
def _check_modes(poles, residues, length=0):
    if poles.ndim != 3 or poles.shape[2] != 2 or poles.shape[1] < 1 or residues.shape != poles.shape:
        raise ValueError(f"poles and residues must both be (C, N, 2), got {poles.shape} and {residues.shape}")


@modal_filter_backward.check
def _(dh, poles, residues):
    _check_modes(poles, residues)
    if dh.ndim != 2 or dh.shape[1] != poles.shape[0]:
        raise ValueError(f"dh must be (T, {poles.shape[0]}) to fit poles {poles.shape}, got {dh.shape}")


@modal_scan.check
def _check_scan(x, poles, residues, state, keep, chunk):
    _check_modes(poles, residues)
    if x.ndim != 3 or x.shape[2] != poles.shape[0] or chunk < 1:
        raise ValueError(f"x (B, T, C) must fit poles {poles.shape}, chunk be at least 1; got {x.shape} and {chunk}")
    states = state, (len(x), *poles.shape)
    checks.shapes(f"modal scan of x {x.shape}", state=states, keep=(keep, x.shape[:2]))


@modal_scan_backward.check
def _(dy, dlast, x, poles, residues, keep, checkpoints, chunk):
    _check_scan(x, poles, residues, dlast, keep, chunk)
    kept = checkpoints, (len(x), -(-x.shape[1] // chunk), *poles.shape)
    checks.shapes(f"the backward of a modal scan of x {x.shape}", dy=(dy, x.shape), checkpoints=kept)


@modal_state.check
def _(x, poles, start):
    _check_modes(poles, poles)
    if x.ndim != 3 or x.shape[2] != poles.shape[0] or start.shape != x.shape[:1] or start.dtype != np.int64:
        raise ValueError(f"x {x.shape}, poles {poles.shape} and start {start.dtype}{start.shape} do not fit")
    if start.size and not (0 <= start.min() and start.max() <= x.shape[1]):  # the loop begins there
        raise ValueError(f"start must lie in 0..{x.shape[1]}, got {start.min()}..{start.max()}")


def _modes(rng, channels, width):
    radius, angle = rng.uniform(0.3, 1.0, (channels, width)), rng.uniform(-np.pi, np.pi, (channels, width))
    poles = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return poles, rng.normal(size=poles.shape)


_SIZES = ((2, 9, 5, 2), (1, 70, 131, 1), (2, 1, 3, 4), (3, 16, 2, 3))


@modal_filter.example
def _(rng):
    for _, length, channels, width in _SIZES:
        yield (*_modes(rng, channels, width), length), {}
    yield (np.zeros((2, 1, 2)), np.ones((2, 1, 2)), 5), {}


@modal_filter_backward.example
def _(rng):
    for _, length, channels, width in _SIZES:
        yield (rng.normal(size=(length, channels)), *_modes(rng, channels, width)), {}


def _scans(rng):
    for batch, length, channels, width in _SIZES:
        keep = np.where(rng.random((batch, length)) < 0.2, 0.0, 1.0)
        x, state = rng.normal(size=(batch, length, channels)), rng.normal(size=(batch, channels, width, 2))
        yield x, *_modes(rng, channels, width), state, keep, 4


@modal_scan.example
def _(rng):
    for case in _scans(rng):
        yield case, {}


@modal_scan_backward.example
def _(rng):
    for x, poles, residues, state, keep, chunk in _scans(rng):
        y, last, checkpoints = modal_scan.__wrapped__(x, poles, residues, state, keep, chunk)
        dy, dlast = rng.normal(size=y.shape), rng.normal(size=last.shape)
        yield (dy, dlast, x, poles, residues, keep, checkpoints, chunk), {}


@modal_state.example
def _(rng):
    for batch, length, channels, width in _SIZES:
        start = rng.integers(0, length + 1, batch)
        yield (rng.normal(size=(batch, length, channels)), _modes(rng, channels, width)[0], start), {}
