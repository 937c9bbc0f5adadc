"""What a low-rank adapter adds to a linear layer."""

from __future__ import annotations

from ..autograd import primitive
from ..checks import floating
from ..kernels.row_products import product


@primitive
def add_low_rank(y, x, A, B, /, *, scale=1.0):
    """y + scale · x A B, with the product taken through the narrow middle.

    y (..., O), x (..., I), A (I, R), B (R, O) -> (..., O).

    >>> add_low_rank([[1.0, 1.0]], [[1.0, 2.0]], [[1.0], [1.0]], [[10.0, 0.0]], scale=0.5)    # x A = 3
    Tensor([[16.,  1.]])

    Source: Hu et al. 2021 (LoRA), arXiv:2106.09685, eq. 3.
    """
    floating("add_low_rank", y, x, A, B)
    expected = (x.shape[-1:], B.shape[:1], (*x.shape[:-1], *B.shape[1:]))
    if A.ndim != 2 or B.ndim != 2 or (A.shape[:1], A.shape[1:], y.shape) != expected:
        raise ValueError(
            f"add_low_rank: y {y.shape} + x {x.shape} A {A.shape} B {B.shape} does not fit together: "
            "(..., O), (..., I), (I, R) and (R, O) were expected"
        )
    rows = x.reshape(-1, x.shape[-1])
    middle = product(rows, A)
    middle *= x.dtype.type(scale)
    sum = product(middle, B)
    sum += y.reshape(sum.shape)
    return sum.reshape(y.shape), (rows, x.shape, A, B, middle, scale)


@add_low_rank.backward
def _(dy, saved, needs):
    rows, shape, A, B, middle, scale = saved
    dy2 = dy.reshape(-1, dy.shape[-1])
    dx = dA = None
    if needs[1] or needs[2]:
        dmiddle = dy2 @ B.T
        dmiddle *= dy.dtype.type(scale)
        dx = (dmiddle @ A.T).reshape(shape) if needs[1] else None
        dA = rows.T @ dmiddle if needs[2] else None
    return dy if needs[0] else None, dx, dA, middle.T @ dy2 if needs[3] else None


@add_low_rank.example
def _(rng):
    shapes = (2, 3, 5), (2, 3, 4), (4, 2), (2, 5)
    return tuple(rng.normal(size=shape) for shape in shapes), {"scale": 0.7}


@add_low_rank.example
def _(rng):
    shapes = (3,), (2,), (2, 1), (1, 3)
    return tuple(rng.normal(size=shape) for shape in shapes), {}
