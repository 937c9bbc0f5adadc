"""Matrix products whose rows do not depend on one another, not even in their last bit, and the switch for them.

A BLAS library divides a product by its whole shape: with other rows beside it, the same row is added up in another
order. That is 1e-7 of difference, and enough to turn a sampled text or to make a bug unrepeatable. `row_product` adds
every entry up in one order, that of the depth.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import numpy as np

from .dispatch import backend, kernel

_SOME_ROWS, _LARGE = 8, 1 << 18  # up to so many rows, and from so many numbers on, BLAS on all cores is slower
_wanted: contextvars.ContextVar[bool] = contextvars.ContextVar("batch_invariant", default=False)


@contextlib.contextmanager
def batch_invariant(wanted: bool = True) -> Iterator[None]:
    """Inside the block, what a model says of a row does not depend, bit for bit, on what else is computed with it.

    Neither on other rows of the batch, nor on padding in front or behind, nor on how a sequence is cut into chunks, nor
    on the number of threads. Products of 64 rows and more cost about the same, those of one row more (see the README).
    Backward passes are not changed. Where outliers of all rows are looked for together (int8), each row has its own.
    One thing is not promised: padding in front of a Hyena filter that is a network, whose taps are added by fours.

    Holds for this thread and for the threads of a call from here. Raises TypeError for anything but a boolean, and
    RuntimeError where the compiled kernels are switched off.

    >>> with batch_invariant():
    ...     is_batch_invariant()
    True
    """
    if not isinstance(wanted, bool):
        raise TypeError(f"batch_invariant is switched by True or False, not {wanted!r}")
    if wanted and backend() == "numpy":
        raise RuntimeError("batch_invariant needs the compiled kernels: unset LLM_FROM_SCRATCH_KERNELS")
    before = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(before)


def is_batch_invariant() -> bool:
    """Whether `batch_invariant` holds here.

    >>> is_batch_invariant()
    False
    """
    return _wanted.get()


def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """x @ matrix, (..., N, I) and (..., I, O): by BLAS, or by `row_product` where `batch_invariant` holds.

    Also by that for some rows and a large matrix, as when several texts are written side by side: BLAS copies the
    matrix first, and takes up to five times as long for two rows as for one.

    >>> product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    if min(x.ndim, matrix.ndim) < 2 or not (_wanted.get() or _reads_in_place(x, matrix)):
        return x @ matrix
    if x.ndim == matrix.ndim == 2:
        return row_product(x, matrix)
    lead = np.broadcast_shapes(x.shape[:-2], matrix.shape[:-2])
    x, matrix = (np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in (x, matrix))
    y = np.empty((*x.shape[:-1], matrix.shape[-1]), x.dtype)
    for i in np.ndindex(lead):
        y[i] = row_product(x[i], matrix[i])
    return y


def _reads_in_place(x: np.ndarray, matrix: np.ndarray) -> bool:
    few = x.ndim == matrix.ndim == 2 and 2 <= len(x) <= _SOME_ROWS and matrix.size >= _LARGE
    return few and x.dtype == matrix.dtype and x.dtype.kind == "f" and matrix.flags.c_contiguous


@kernel(contiguous=False)
def row_product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """x @ matrix, (N, I) and (I, O) -> (N, O); compiled, an entry is x[0] m[0] + x[1] m[1] + … from left to right.

    >>> row_product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    return x @ matrix


@row_product.check
def _(x, matrix):
    if x.ndim != 2 or matrix.ndim != 2 or x.shape[1] != matrix.shape[0]:
        raise ValueError(f"row_product takes (N, I) and (I, O), got {x.shape} and {matrix.shape}")


@row_product.example
def _(rng):
    for n, depth, outputs in (
        (1, 5, 3),
        (3, 300, 40),
        (25, 64, 96),
        (500, 33, 70),
        (2, 1, 1),
        (0, 3, 4),
        (13, 257, 65),
    ):
        x, matrix = rng.normal(size=(n, depth)), rng.normal(size=(depth, outputs))
        yield (x, matrix), {}
        yield (x, np.ascontiguousarray(matrix.T).T), {}
