"""Softmax and its logarithm over the last axis."""

from __future__ import annotations

from ..autograd import primitive
from ..kernels import softmax as kernels
from .checks import floating


@primitive
def softmax(x, /):
    """exp(x) divided by its sum over the last axis: (..., V) -> (..., V), each row adding up to 1.

    A row of nothing but -inf (every choice masked) gives zeros. Probabilities below the smallest normal
    number are 0.

    >>> softmax([[0.0, 1.0], [float("-inf"), 1.0]])             # 1 / (1 + e) = 0.2689
    Tensor([[0.2689, 0.7311],
            [0.    , 1.    ]])
    """
    y = kernels.softmax(_with_axis("softmax", x))
    return y, y


@softmax.backward
def _(dy, y, needs):
    # dy_i/dx_j = y_i (δ_ij - y_j)
    return (kernels.softmax_backward(dy, y),)


@primitive
def log_softmax(x, /):
    """x minus the logarithm of the sum of exp(x) over the last axis: (..., V) -> (..., V).

    >>> log_softmax([0.0, 1.0])                                 # -ln(1 + e), 1 - ln(1 + e)
    Tensor([-1.3133, -0.3133])
    """
    y = kernels.log_softmax(_with_axis("log_softmax", x))
    return y, y


@log_softmax.backward
def _(dy, y, needs):
    return (kernels.log_softmax_backward(dy, y),)


def _with_axis(name, x):
    floating(name, x)
    if x.ndim == 0:
        raise ValueError(f"{name} works on the last axis, and a single number has none")
    return x


for _one in (softmax, log_softmax):
    _one.example(lambda rng: ((rng.normal(size=(2, 3, 5)),), {}))
