"""Softmax and its logarithm, over the last axis or another."""

from __future__ import annotations

from ..autograd import primitive
from ..autograd.broadcasting import normal
from ..checks import floating
from ..kernels import softmax as kernels


@primitive
def softmax(x, /, axis=-1):
    """exp(x) divided by its sum over `axis`: (..., V) -> (..., V), each row adding up to 1.

    A row of nothing but -inf (every choice masked) gives zeros. Probabilities below the smallest normal
    number are 0.

    >>> softmax([[0.0, 1.0], [float("-inf"), 1.0]])             # 1 / (1 + e) = 0.2689
    Tensor([[0.2689, 0.7311],
            [0.    , 1.    ]])
    """
    y = kernels.softmax(_last("softmax", x, axis))
    return y.swapaxes(axis, -1), (y, axis)


@softmax.backward
def _(dy, saved, needs):
    # dy_i/dx_j = y_i (δ_ij - y_j)
    y, axis = saved
    return (kernels.softmax_backward(dy.swapaxes(axis, -1), y).swapaxes(axis, -1),)


@primitive
def log_softmax(x, /, axis=-1):
    """x minus the logarithm of the sum of exp(x) over `axis`: (..., V) -> (..., V).

    >>> log_softmax([0.0, 1.0])                                 # -ln(1 + e), 1 - ln(1 + e)
    Tensor([-1.3133, -0.3133])
    """
    y = kernels.log_softmax(_last("log_softmax", x, axis))
    return y.swapaxes(axis, -1), (y, axis)


@log_softmax.backward
def _(dy, saved, needs):
    y, axis = saved
    return (kernels.log_softmax_backward(dy.swapaxes(axis, -1), y).swapaxes(axis, -1),)


def _last(name, x, axis):
    """x with the axis that is summed over in the last place, where the kernel wants it."""
    floating(name, x)
    if x.ndim == 0:
        raise ValueError(f"{name} works along an axis, and a single number has none")
    return x.swapaxes(axis, -1)


for _one in (softmax, log_softmax):
    normal(_one, {}, {"axis": 0}, {"axis": -2}, {"axis": 2}, shapes=[(2, 3, 5)])
