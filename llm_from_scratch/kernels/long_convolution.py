"""Causal convolution with filters as long as the sequence, directly and through the Fourier transform.

y[t] = Σ_k h[k] x[t - k], for every channel on its own. Directly that is T² / 2 products a channel. The transform of a
convolution is the product of the transforms, which takes about T log T; padding with zeros to twice the length keeps
its circle from closing on the sequence itself.

A row may hold several documents: `runs` (R, 3) of integers (row, start, stop) says which stretches of x are convolved,
each as if it stood alone. Filters (K, C) lie in memory as x does, time first; what is longer than a run is not used.

Source: Cooley & Tukey 1965; for language models Fu et al. 2022, arXiv:2212.14052, and Poli et al. 2023,
arXiv:2302.10866.
"""

from __future__ import annotations

import numpy as np

from .. import checks
from .dispatch import kernel

Needs = tuple[bool, ...]


@kernel
def fft_convolution(x: np.ndarray, h: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Convolve each run of x with the filters by fast Fourier transforms; zeros where no run is.

    x (B, T, C), h (K, C), runs (R, 3) int64 -> (B, T, C)

    >>> x, h = np.array([[[1.0], [2.0], [3.0]]]), np.array([[1.0], [10.0], [100.0]])
    >>> fft_convolution(x, h, np.array([[0, 0, 3]])).ravel().round(9)
    array([  1.,  12., 123.])
    """
    y = np.zeros_like(x)
    for row, start, stop in runs:
        size, here = transform_size(stop - start), slice(start, stop)
        product = np.fft.rfft(x[row, here], size, axis=0) * np.fft.rfft(h[: stop - start], size, axis=0)
        y[row, here] = np.fft.irfft(product, size, axis=0)[: stop - start]
    return y


@kernel
def fft_convolution_backward(
    dy: np.ndarray, x: np.ndarray, h: np.ndarray, runs: np.ndarray, needs: Needs = (True, True)
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The gradients (dx, dh); those that `needs` does not want are None.

    dx[s] = Σ_t h[t - s] dy[t] and dh[k] = Σ_t x[t - k] dy[t] look forward where y looks back: they are causal
    convolutions in reversed time. A transform is turned round by its complex conjugate.
    """
    dx, dh = np.zeros_like(x), np.zeros(h.shape, np.float64)
    for row, start, stop in runs:
        size, here = transform_size(stop - start), slice(start, stop)
        arriving = np.fft.rfft(dy[row, here], size, axis=0)
        if needs[0]:
            filters = np.fft.rfft(h[: stop - start], size, axis=0)
            dx[row, here] = np.fft.irfft(arriving * filters.conj(), size, axis=0)[: stop - start]
        if needs[1]:
            inputs, seen = np.fft.rfft(x[row, here], size, axis=0), min(stop - start, len(h))
            dh[:seen] += np.fft.irfft(arriving * inputs.conj(), size, axis=0)[:seen]
    return dx if needs[0] else None, dh.astype(h.dtype) if needs[1] else None


@kernel
def direct_convolution(x: np.ndarray, h: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The same by the formula: one product for every pair of an input and a later output.

    >>> x, h = np.array([[[1.0], [2.0], [3.0]]]), np.array([[1.0], [10.0], [100.0]])
    >>> direct_convolution(x, h, np.array([[0, 0, 2], [0, 2, 3]])).ravel()            # the third begins a new run
    array([ 1., 12.,  3.])
    """
    y = np.zeros_like(x)
    for row, start, stop in runs:
        for k in range(min(stop - start, len(h))):
            y[row, start + k : stop] += h[k] * x[row, start : stop - k]
    return y


@kernel
def direct_convolution_backward(
    dy: np.ndarray, x: np.ndarray, h: np.ndarray, runs: np.ndarray, needs: Needs = (True, True)
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The gradients (dx, dh) of direct_convolution; those that `needs` does not want are None."""
    dx, dh = np.zeros_like(x), np.zeros(h.shape, np.float64)
    for row, start, stop in runs:
        for k in range(min(stop - start, len(h))):
            dx[row, start : stop - k] += h[k] * dy[row, start + k : stop]
            dh[k] += (x[row, start : stop - k] * dy[row, start + k : stop]).sum(0, dtype=np.float64)
    return dx if needs[0] else None, dh.astype(h.dtype) if needs[1] else None


def transform_size(length: int) -> int:
    """The size of a transform in which `length` inputs and as many filter values do not meet again: a power of two.

    >>> transform_size(512), transform_size(513)
    (1024, 2048)
    """
    return 1 << int(2 * length - 1).bit_length() if length > 0 else 1


@fft_convolution.check
@direct_convolution.check
def _check(x, h, runs):
    if x.ndim != 3 or h.ndim != 2 or h.shape[1] != x.shape[2]:
        raise ValueError(f"x (B, T, C) needs filters (K, C), got {x.shape} and {h.shape}")
    if runs.ndim != 2 or runs.shape[1] != 3 or runs.dtype != np.int64:
        raise ValueError(f"runs must be int64 (R, 3), got {runs.dtype}{runs.shape}")
    rows, starts, stops = runs.T
    inside = (rows >= 0) & (rows < x.shape[0]) & (starts >= 0) & (starts < stops) & (stops <= x.shape[1])
    if not inside.all():  # the loops index with them
        raise ValueError(f"run {runs[~inside][0].tolist()} (row, start, stop) does not lie in x {x.shape}")


@fft_convolution_backward.check
@direct_convolution_backward.check
def _(dy, x, h, runs, needs=()):
    _check(x, h, runs)
    checks.shapes(f"the backward of a convolution of x {x.shape}", dy=(dy, x.shape))


def _cases(rng):
    for batch, length, channels, taps in ((2, 9, 5, 9), (1, 64, 37, 64), (1, 130, 3, 130), (2, 1, 2, 1), (1, 20, 2, 7)):
        x, h = rng.normal(size=(batch, length, channels)), rng.normal(size=(taps, channels))
        yield x, h, np.array([[row, 0, length] for row in range(batch)])
    x, h = rng.normal(size=(2, 40, 33)), rng.normal(size=(45, 33))
    yield x, h, np.array([[0, 0, 3], [0, 3, 20], [0, 20, 21], [1, 5, 40]])


@fft_convolution.example
@direct_convolution.example
def _(rng):
    for case in _cases(rng):
        yield case, {}


@fft_convolution_backward.example
@direct_convolution_backward.example
def _(rng):
    for x, h, runs in _cases(rng):
        dy = rng.normal(size=x.shape)
        for needs in ((True, True), (True, False), (False, True)):
            yield (dy, x, h, runs, needs), {}
