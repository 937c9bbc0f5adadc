"""Layer and root-mean-square normalisation of the last axis, forward and backward.

Variances take two passes (mean first, then squared distances): the one-pass formula cancels where the mean is
large. Rows whose squares leave the range of numbers (1e30 in float32) are divided by their largest entry first, which
changes nothing else: the norm of x with eps is that of x / m with eps / m².
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import checks
from .dispatch import kernel

Needs = tuple[bool, ...]


@kernel
def layer_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subtract each row's mean, divide by its standard deviation, scale and shift.

    x (..., D), weight and bias (D,) or None -> y (..., D), mean (...,), inverse_std (...,)

    >>> layer_norm(np.array([[1.0, 3.0]]), None, np.array([0.5, 0.5]), 0.0)[0]
    array([[-0.5,  1.5]])
    """
    with np.errstate(all="ignore"):  # such rows are computed again below
        mean = np.asarray(x.mean(-1))
        centred = x - mean[..., None]
        inverse_std = np.asarray(1 / np.sqrt((centred * centred).mean(-1) + x.dtype.type(eps)))
        y = centred * inverse_std[..., None]
        if weight is not None:
            y *= weight
        if bias is not None:
            y += bias
    for n, m in out_of_range(x, inverse_std, math.sqrt(eps)):
        y[n], mean[n], inverse_std[n] = layer_norm.__wrapped__(x[n] / m, weight, bias, eps / m / m)
        mean[n], inverse_std[n] = mean[n] * m, inverse_std[n] / m
    return y, mean, inverse_std


@kernel
def layer_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    needs: Needs = (True, True, True),
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """The gradients (dx, dweight, dbias) of layer_norm; `needs` says which are wanted, the others are None.

    With n = (x - mean) r the normalised row and g = dy weight: dx = r (g - mean(g) - n mean(g n)).
    """
    n = (x - mean[..., None]) * inverse_std[..., None]
    dx = dweight = dbias = None
    if needs[0]:
        g = dy if weight is None else dy * weight
        along = (g * n).mean(-1, keepdims=True)
        dx = inverse_std[..., None] * (g - g.mean(-1, keepdims=True) - n * along)
    if needs[1]:
        dweight = sum_of_rows(dy * n)
    if needs[2]:
        dbias = sum_of_rows(dy)
    return dx, dweight, dbias


@kernel
def rms_norm(x: np.ndarray, weight: np.ndarray | None, eps: float, outer: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Divide each row by its root mean square, sqrt(mean(x²) + eps) + outer, then scale.

    x (..., D), weight (D,) or None -> y (..., D), inverse (...,): one over what a row was divided by

    >>> rms_norm(np.array([[3.0, 4.0]]), None, 0.0)[0].round(4)     # rms = sqrt((9 + 16) / 2) = 3.5355
    array([[0.8485, 1.1314]])
    """
    with np.errstate(all="ignore"):  # such rows are computed again below
        inverse = np.asarray(1 / (np.sqrt((x * x).mean(-1) + x.dtype.type(eps)) + x.dtype.type(outer)))
        y = x * inverse[..., None]
        if weight is not None:
            y = y * weight
    for n, m in out_of_range(x, inverse, max(math.sqrt(eps), outer)):
        y[n], inverse[n] = rms_norm.__wrapped__(x[n] / m, weight, eps / m / m, outer / m)
        inverse[n] /= m
    return y, inverse


@kernel
def rms_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray | None,
    inverse: np.ndarray,
    needs: Needs = (True, True),
    outer: float = 0.0,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The gradients (dx, dweight) of rms_norm; `needs` says which are wanted, the others are None.

    With n = x r the normalised row and g = dy weight: dx = r (g - n mean(g n) / (1 - outer r)), in a row of zeros r g.
    """
    n = x * inverse[..., None]
    dx = dweight = None
    if needs[0]:
        g = dy if weight is None else dy * weight
        root = 1 - x.dtype.type(outer) * inverse  # the root's part of what the row was divided by
        along = (g * n).mean(-1) * np.divide(1, root, out=np.zeros_like(root), where=root > 0)
        dx = inverse[..., None] * (g - n * along[..., None])
    if needs[1]:
        dweight = sum_of_rows(dy * n)
    return dx, dweight


def sum_of_rows(x: np.ndarray) -> np.ndarray:
    """(..., D) -> (D,), added up in float64: a float32 running sum over thousands of rows loses digits."""
    return x.reshape(-1, x.shape[-1]).sum(0, dtype=np.float64).astype(x.dtype)


def out_of_range(x: np.ndarray, root: np.ndarray, least: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """The rows whose mean square overflowed, or is so small that it lost digits, each with what to divide it by.

    root (...,): the roots of the rows' mean squares, or their inverses. least: what the divisor is at least (√eps).
    Rows of zeros, or with an entry that is not finite, are as they must be.
    """
    info = np.finfo(x.dtype)
    lowest = math.sqrt(info.tiny / info.eps)
    for place in np.argwhere(~((root > lowest) & (root < 1 / lowest))):
        n = tuple(int(i) for i in place)
        largest = float(np.abs(x[n]).max())
        m = max(largest, least)
        if 0 < largest and m < math.inf and m != 1:
            yield n, m


def _check(x: np.ndarray, **parameters: np.ndarray | None) -> None:
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"a norm works on the last axis, which must have an entry; got shape {x.shape}")
    width = x.shape[-1:]
    if any(value is not None and value.shape != width for value in parameters.values()):
        checks.shapes(f"a norm of x {x.shape}", **{name: (value, width) for name, value in parameters.items()})


def _check_backward(dy: np.ndarray, x: np.ndarray, weight: np.ndarray | None, **statistics: np.ndarray) -> None:
    _check(x, weight=weight)
    if dy.shape != x.shape or any(value.shape != x.shape[:-1] for value in statistics.values()):
        rows = {name: (value, x.shape[:-1]) for name, value in statistics.items()}
        checks.shapes(f"the backward of a norm of x {x.shape}", dy=(dy, x.shape), **rows)


@layer_norm.check
def _(x, weight, bias, eps):
    _check(x, weight=weight, bias=bias)


@layer_norm_backward.check
def _(dy, x, weight, mean, inverse_std, needs=()):
    _check_backward(dy, x, weight, mean=mean, inverse_std=inverse_std)


@rms_norm.check
def _(x, weight, eps, outer=0.0):
    _check(x, weight=weight)


@rms_norm_backward.check
def _(dy, x, weight, inverse, needs=(), outer=0.0):
    _check_backward(dy, x, weight, inverse=inverse)


def _shapes(rng: np.random.Generator) -> Any:
    for shape in ((5,), (2, 3, 7), (130, 33), (0, 4)):
        yield (
            shape,
            3.0 + 2.0 * rng.normal(size=shape),
            rng.normal(size=shape[-1]),
            rng.normal(size=shape[-1]),
        )


@layer_norm.example
def _(rng):
    for _, x, weight, bias in _shapes(rng):
        yield (x, weight, bias, 1e-5), {}
        yield (x, weight, None, 1e-5), {}
        yield (x, None, None, 1e-5), {}


@layer_norm_backward.example
def _(rng):
    for shape, x, weight, _ in _shapes(rng):
        statistics = layer_norm.__wrapped__(x, weight, None, 1e-5)[1:]
        dy = rng.normal(size=shape)
        for needs in ((True, True, True), (True, False, False), (False, True, False), (False, False, True)):
            yield (dy, x, weight, *statistics, needs), {}
        yield (dy, x, None, *statistics, (True, False, False)), {}


@rms_norm.example
def _(rng):
    for _, x, weight, _ in _shapes(rng):
        yield (x, weight, 1e-6), {}
        yield (x, None, 1e-6), {}
        yield (x, weight, 0.0, 1e-2), {}
    yield (np.zeros((2, 3)), None, 0.0, 1e-5), {}


@rms_norm_backward.example
def _(rng):
    for shape, x, weight, _ in _shapes(rng):
        dy = rng.normal(size=shape)
        for outer in (0.0, 1e-2):
            inverse = rms_norm.__wrapped__(x, weight, 1e-6, outer)[1]
            for needs in ((True, True), (True, False), (False, True)):
                yield (dy, x, weight, inverse, needs, outer), {}
            yield (dy, x, None, inverse, (True, False), outer), {}
    yield (np.ones((2, 3)), np.zeros((2, 3)), np.ones(3), np.full(2, 1e2), (True, True), 1e-2), {}
