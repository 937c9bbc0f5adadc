"""What a work cannot do without, alone: its matrix products, and reading the bytes that it must read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ..training.workers import one_blas_thread, run_together
from .case import Work, saying

Shape = tuple[int, int]  # of a weight: in, out

LARGE = 2048  # rows and columns of the products that show the machine's peak
READ = 512 * 2**20  # bytes: far beyond any cache


def ours(shapes: list[Shape], rows: int, threads: int) -> Work:
    """Forward, gradient of the input and of the weight, with NumPy, rows shared out among threads as in training."""
    shares = [list(_arrays(shapes, rows // threads + (n < rows % threads))) for n in range(threads)]

    def share(arrays: list[Any]) -> None:
        for x, weight, dy, y, dx, dweight in arrays:
            np.matmul(x, weight, out=y)
            np.matmul(dy, weight.T, out=dx)
            np.matmul(x.T, dy, out=dweight)

    def run() -> None:
        with one_blas_thread():
            run_together([partial(share, arrays) for arrays in shares])

    return run


def theirs(shapes: list[Shape], rows: int, threads: int) -> Work:
    """The same with PyTorch, its threads inside each product."""
    import torch

    torch.set_num_threads(threads)
    arrays = [[torch.from_numpy(array) for array in group] for group in _arrays(shapes, rows)]

    def run() -> None:
        for x, weight, dy, y, dx, dweight in arrays:
            torch.matmul(x, weight, out=y)
            torch.matmul(dy, weight.T, out=dx)
            torch.matmul(x.T, dy, out=dweight)

    return run


def _arrays(shapes: list[Shape], rows: int) -> Iterator[tuple[np.ndarray, ...]]:
    """x, weight, dy, and where the products go, for each weight."""
    rng = np.random.default_rng(0)
    for width, wide in shapes:
        x, dy = (rng.standard_normal((rows, n), dtype=np.float32) for n in (width, wide))
        weight = rng.standard_normal((width, wide), dtype=np.float32)
        yield x, weight, dy, np.empty_like(dy), np.empty_like(x), np.empty_like(weight)


def reading(size: float, threads: int, times: int = 1) -> Work:
    """Read so many bytes so often, each thread its part: a sum of squares, which asks nothing but reading."""
    data = np.ones(max(threads, int(size) // 4), np.float32)
    parts = [data[len(data) * n // threads : len(data) * (n + 1) // threads] for n in range(threads)]

    def run() -> None:
        with one_blas_thread():
            run_together([partial(share, part) for part in parts])

    def share(part: np.ndarray) -> None:
        for _ in range(times):
            np.dot(part, part)

    return saying(run, bytes=times * data.nbytes)


def large_product(threads: int) -> Work:
    """Products so large that nothing but multiplying counts: one each thread."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((3, LARGE, LARGE), dtype=np.float32) for _ in range(threads)]

    def run() -> None:
        with one_blas_thread():
            run_together([partial(np.matmul, a, b, out=c) for a, b, c in arrays])

    return saying(run, flops=2 * threads * LARGE**3)
