"""The selective scan: a linear recurrence whose coefficients change at every step, forward and backward.

Glossary: B batch, T time, d channels, N numbers of state a channel.

    h_t = a_t h_{t-1} + Δ_t B_t x_t      a_t = exp(Δ_t A), or 0 where a document begins
    y_t = C_t · h_t + D x_t

The states of all T steps together would be N times as large as x. They are never kept: the forward stores the state
before every `chunk` steps, and the backward runs through a chunk again before it walks back through it.
"""

from __future__ import annotations

import numpy as np

from .. import checks
from .dispatch import kernel

Needs = tuple[bool, ...]


@kernel
def selective_scan(
    x: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    state: np.ndarray,
    keep: np.ndarray,
    chunk: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run the recurrence; return outputs, last state, and the states before steps 0, chunk, 2 chunk, …

    x and delta (B, T, d), A (d, N), B and C (B, T, N), D (d,), state (B, d, N), keep (B, T) of 1 (carry on) and 0 (a
    new document) -> y (B, T, d), last (B, d, N), checkpoints (B, ⌈T / chunk⌉, N, d)

    >>> one = np.ones((1, 3, 1))        # h = h / e + 1
    >>> start = np.zeros((1, 1, 1))
    >>> selective_scan(one, one, -np.ones((1, 1)), one, one, np.zeros(1), start, np.ones((1, 3)), 2)[0].ravel().round(4)
    array([1.    , 1.3679, 1.5032])
    """
    y, h, checkpoints = np.empty_like(x), state, []
    for t in range(x.shape[1]):
        if t % chunk == 0:
            checkpoints.append(h.swapaxes(1, 2))
        decay = keep[:, t, None, None] * _exp(delta[:, t, :, None] * A)
        h = decay * h + (delta[:, t] * x[:, t])[..., None] * B[:, t, None, :]
        y[:, t] = (h * C[:, t, None, :]).sum(-1) + D * x[:, t]
    shape = (x.shape[0], len(checkpoints), A.shape[1], A.shape[0])
    kept = np.stack(checkpoints, axis=1) if checkpoints else np.empty(shape, x.dtype)
    return y, h.copy(), np.ascontiguousarray(kept)


@kernel
def selective_scan_backward(
    dy: np.ndarray,
    dlast: np.ndarray,
    x: np.ndarray,
    delta: np.ndarray,
    A: np.ndarray,
    B: np.ndarray,
    C: np.ndarray,
    D: np.ndarray,
    keep: np.ndarray,
    checkpoints: np.ndarray,
    chunk: int,
) -> tuple[np.ndarray, ...]:
    """The gradients of x, delta, A, B, C, D and the first state, from those of y and of the last state.

    With g_t the gradient of h_t, which is C_t dy_t from the output plus a_{t+1} g_{t+1} from the next step:

        du_t = Σ_n g_t B_t  for u = Δ x          dB_t = Σ_c g_t u_t       dC_t = Σ_c dy_t h_t
        d(Δ A)_t = g_t a_t h_{t-1}, whence dΔ_t = Σ_n d(Δ A)_t A + x_t du_t and dA = Σ_t d(Δ A)_t Δ_t
    """
    dx, ddelta, dB, dC = (np.empty_like(array) for array in (x, delta, B, C))
    dA, dD = np.zeros_like(A), (dy * x).sum((0, 1), dtype=np.float64).astype(x.dtype)
    g = dlast
    for number in reversed(range(checkpoints.shape[1])):
        start, stop = number * chunk, min((number + 1) * chunk, x.shape[1])
        h = checkpoints[:, number].swapaxes(1, 2)
        decays, carried, states = [], [], []
        for t in range(start, stop):
            decays.append(keep[:, t, None, None] * _exp(delta[:, t, :, None] * A))
            carried.append(decays[-1] * h)
            h = carried[-1] + (delta[:, t] * x[:, t])[..., None] * B[:, t, None, :]
            states.append(h)
        for t in reversed(range(start, stop)):
            h, past = states[t - start], carried[t - start]
            dC[:, t] = (dy[:, t, :, None] * h).sum(1)
            g = g + dy[:, t, :, None] * C[:, t, None, :]
            dB[:, t] = (g * (delta[:, t] * x[:, t])[..., None]).sum(1)
            du = (g * B[:, t, None, :]).sum(-1)
            along = g * past
            ddelta[:, t] = (along * A).sum(-1) + x[:, t] * du
            dA += (along * delta[:, t, :, None]).sum(0)
            dx[:, t] = delta[:, t] * du + D * dy[:, t]
            g = decays[t - start] * g
    return dx, ddelta, dA, dB, dC, dD, g.copy()


def _exp(x: np.ndarray) -> np.ndarray:
    with np.errstate(under="ignore"):
        return np.exp(x)


@selective_scan.check
def _check(x, delta, A, B, C, D, state, keep, chunk):
    if x.ndim != 3 or A.ndim != 2 or A.shape[0] != x.shape[2] or chunk < 1:
        raise ValueError(f"x (B, T, d) needs A (d, N) and a chunk of at least 1, got {x.shape}, {A.shape} and {chunk}")
    (batch, length, channels), width = x.shape, A.shape[1]
    each = batch, length, width
    expected = {"delta": (delta, x.shape), "B": (B, each), "C": (C, each), "D": (D, (channels,))}
    expected |= {"state": (state, (batch, channels, width)), "keep": (keep, (batch, length))}
    checks.shapes(f"selective scan of x {x.shape} with A {A.shape}", **expected)


@selective_scan_backward.check
def _(dy, dlast, x, delta, A, B, C, D, keep, checkpoints, chunk):
    _check(x, delta, A, B, C, D, dlast, keep, chunk)
    kept = checkpoints, (len(x), -(-x.shape[1] // chunk), A.shape[1], A.shape[0])
    checks.shapes(f"the backward of a selective scan of x {x.shape}", dy=(dy, x.shape), checkpoints=kept)


def _cases(rng):
    for batch, length, channels, width, chunk in (
        (2, 7, 5, 3, 3),
        (1, 40, 150, 4, 16),
        (2, 1, 3, 2, 4),
        (1, 4, 2, 1, 2),
    ):
        x, cotangent = rng.normal(size=(2, batch, length, channels))
        delta = rng.uniform(0.05, 1.0, size=x.shape)
        A, D = -rng.uniform(0.3, 2.0, size=(channels, width)), rng.normal(size=channels)
        B, C = rng.normal(size=(2, batch, length, width))
        keep = (rng.random((batch, length)) > 0.2).astype(float)
        yield (x, delta, A, B, C, D), rng.normal(size=(batch, channels, width)), keep, chunk, cotangent


@selective_scan.example
def _(rng):
    for arrays, state, keep, chunk, _ in _cases(rng):
        yield (*arrays, state, keep, chunk), {}


@selective_scan_backward.example
def _(rng):
    for arrays, state, keep, chunk, cotangent in _cases(rng):
        checkpoints = selective_scan.__wrapped__(*arrays, state, keep, chunk)[2]
        yield (cotangent, rng.normal(size=state.shape), *arrays, keep, checkpoints, chunk), {}
