"""Normalisation of the last axis: LayerNorm and RMSNorm. The learned scale and shift may be None."""

from __future__ import annotations

from ..autograd import primitive
from ..checks import floating
from ..kernels import norms as kernels


@primitive
def rms_norm(x, weight=None, /, *, eps=1e-6):
    """Divide each row by its root mean square, then scale.

    x (..., D), weight (D,) or None -> (..., D)

    >>> rms_norm([3.0, 4.0], [1.0, 1.0], eps=0.0)     # rms = sqrt((9 + 16) / 2) = 3.5355
    Tensor([0.8485, 1.1314])

    Source: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
    """
    _check("rms_norm", x, eps, weight=weight)
    y, inverse_rms = kernels.rms_norm(x, weight, eps)
    return y, (x, weight, inverse_rms)


@rms_norm.backward
def _(dy, saved, needs):
    # y = x r w with r = (mean(x²) + eps)^-1/2, hence dr/dx_j = -r³ x_j / D
    return kernels.rms_norm_backward(dy, *saved, needs)


@rms_norm.example
def _(rng):
    return (rng.normal(size=(2, 3, 5)), rng.normal(size=5)), {"eps": 1e-5}


@rms_norm.example
def _(rng):
    return (rng.normal(size=(3, 4)), None), {}


@primitive
def rms_norm_outside(x, weight=None, /, *, eps=1e-5):
    """RMSNorm whose eps is added outside the root: x / (rms + eps), then scaled. A row of zeros has gradient dy / eps.

    x (..., D), weight (D,) or None -> (..., D)

    >>> rms_norm_outside([3.0, 4.0], [1.0, 1.0], eps=1.0)     # sqrt((9 + 16) / 2) + 1 = 4.5355
    Tensor([0.6614, 0.8819])

    Source: the released code of StripedHyena, `RMSNorm`.
    """
    _check("rms_norm_outside", x, eps, weight=weight)
    y, rms = kernels.rms_norm_outside(x, weight, eps)
    return y, (x, weight, rms, eps)


@rms_norm_outside.backward
def _(dy, saved, needs):
    # y = x r w with r = 1 / (m + eps) and m = sqrt(mean(x²)), hence dr/dx_j = -r² x_j / (D m)
    return kernels.rms_norm_outside_backward(dy, *saved, needs)


@rms_norm_outside.example
def _(rng):
    return (rng.normal(size=(2, 3, 5)), rng.normal(size=5)), {"eps": 0.1}


@rms_norm_outside.example
def _(rng):
    return (rng.normal(size=(3, 4)), None), {}


@primitive
def layer_norm(x, weight=None, bias=None, /, *, eps=1e-5):
    """Subtract each row's mean, divide by its standard deviation, then scale and shift.

    x (..., D), weight and bias (D,) or None -> (..., D)

    >>> layer_norm([1.0, 3.0], [1.0, 1.0], [0.5, 0.5], eps=0.0)     # mean 2, standard deviation 1
    Tensor([-0.5,  1.5])

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, eq. 4; eps stands under the root, as in PyTorch.
    """
    _check("layer_norm", x, eps, weight=weight, bias=bias)
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


def _check(name, x, eps, **parameters):
    floating(name, x)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f"{name} works on the last axis, which must have an entry; got shape {x.shape}")
    if not 0 <= eps < float("inf"):
        raise ValueError(f"{name}: eps must be a small number >= 0, not {eps}")
    for label, value in parameters.items():
        if value is not None and value.shape != x.shape[-1:]:
            raise ValueError(f"{name}: the {label} has shape {value.shape}, expected {x.shape[-1:]} to fit {x.shape}")
