"""Normalisation of the last axis: LayerNorm and RMSNorm. The learned scale and shift may be None."""

from __future__ import annotations

from ..autograd import primitive
from ..checks import floating
from ..kernels import norms as kernels


@primitive
def rms_norm(x, weight=None, /, *, eps=1e-6, eps_outside=False):
    """Divide each row by its root mean square, then scale.

    x (..., D), weight (D,) or None -> (..., D). eps stands under the root, sqrt(mean(x²) + eps), or beside it with
    `eps_outside`, as StripedHyena has it.

    >>> rms_norm([3.0, 4.0], [1.0, 1.0], eps=0.0)     # rms = sqrt((9 + 16) / 2) = 3.5355
    Tensor([0.8485, 1.1314])
    >>> rms_norm([3.0, 4.0], [1.0, 1.0], eps=1.0, eps_outside=True)     # 3.5355 + 1 = 4.5355
    Tensor([0.6614, 0.8819])

    Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4; eps outside: the released code of StripedHyena, `RMSNorm`.
    """
    _check("rms_norm", x, eps)
    inner, outer = (0.0, eps) if eps_outside else (eps, 0.0)
    y, inverse = kernels.rms_norm(x, weight, inner, outer)
    return y, (x, weight, inverse, outer)


@rms_norm.backward
def _(dy, saved, needs):
    # y = x r w with r = 1 / (q + outer) and q = sqrt(mean(x²) + inner), hence dr/dx_j = -r² x_j / (D q)
    x, weight, inverse, outer = saved
    return kernels.rms_norm_backward(dy, x, weight, inverse, needs, outer)


@rms_norm.example
def _(rng):
    return (rng.normal(size=(2, 3, 5)), rng.normal(size=5)), {"eps": 1e-5}


@rms_norm.example
def _(rng):
    return (rng.normal(size=(3, 4)), None), {}


@rms_norm.example
def _(rng):
    return (rng.normal(size=(2, 3, 5)), rng.normal(size=5)), {"eps": 0.1, "eps_outside": True}


@primitive
def layer_norm(x, weight=None, bias=None, /, *, eps=1e-5):
    """Subtract each row's mean, divide by its standard deviation, then scale and shift.

    x (..., D), weight and bias (D,) or None -> (..., D)

    >>> layer_norm([1.0, 3.0], [1.0, 1.0], [0.5, 0.5], eps=0.0)     # mean 2, standard deviation 1
    Tensor([-0.5,  1.5])

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, eq. 4; eps stands under the root, as in PyTorch.
    """
    _check("layer_norm", x, eps)
    y, mean, inverse_std = kernels.layer_norm(x, weight, bias, eps)
    return y, (x, weight, mean, inverse_std)


@layer_norm.backward
def _(dy, saved, needs):
    # y = n w + b with n = (x - mean) r; n's own row sum and n·n are constant, which takes two terms off dy w
    return kernels.layer_norm_backward(dy, *saved, needs)


@layer_norm.example
def _(rng):
    return (1.0 + rng.normal(size=(2, 3, 5)), rng.normal(size=5), rng.normal(size=5)), {"eps": 1e-5}


@layer_norm.example
def _(rng):
    return (rng.normal(size=(3, 4)), rng.normal(size=4), None), {}


@layer_norm.example
def _(rng):
    return (rng.normal(size=(3, 4)), None, None), {}


def _check(name, x, eps):
    floating(name, x)
    if not 0 <= eps < float("inf"):
        raise ValueError(f"{name}: eps must be a small number >= 0, not {eps}")
