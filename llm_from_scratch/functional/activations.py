"""Activations, plain and gated, with the derivatives written out.

Nothing but the inputs is kept for the backward: recomputing an exponential costs less than storing its
result. In float32 on a CPU these run at about the speed of memory.
"""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from ..checks import floating
from ..kernels import activations as kernels


@primitive
def relu(x, /):
    """max(x, 0).

    >>> relu([-1.0, 2.0])
    Tensor([0., 2.])
    """
    floating("relu", x)
    return np.maximum(x, 0), x


@relu.backward
def _(dy, x, needs):
    return (dy * (x > 0),)


@primitive
def sigmoid(x, /):
    """1 / (1 + exp(-x)).

    >>> sigmoid([0.0, 2.0])
    Tensor([0.5   , 0.8808])
    """
    floating("sigmoid", x)
    y = kernels.sigmoid(x)
    return y, y


@sigmoid.backward
def _(dy, y, needs):
    return (dy * (y * (1 - y)),)


@primitive
def softplus(x, /):
    """ln(1 + exp(x)): a smooth max(x, 0) that is always positive, as Mamba's step sizes must be.

    >>> softplus([0.0, 2.0, -5.0])
    Tensor([0.6931, 2.1269, 0.0067])
    """
    floating("softplus", x)
    return kernels.softplus(x), x


@softplus.backward
def _(dy, x, needs):
    return (dy * kernels.sigmoid(x),)


@primitive
def silu(x, /):
    """x sigmoid(x), also called swish.

    >>> silu([0.0, 1.0, -1.0])
    Tensor([ 0.    ,  0.7311, -0.2689])

    Source: Elfwing et al. 2017, arXiv:1702.03118; as swish, Ramachandran et al. 2017, arXiv:1710.05941.
    """
    floating("silu", x)
    return kernels.silu(x), x


@silu.backward
def _(dy, x, needs):
    return (kernels.silu_backward(dy, x),)


@primitive
def gelu(x, /):
    """x Phi(x), where Phi(x) is the probability that a standard normal number is smaller than x.

    >>> gelu([0.0, 1.0, -1.0])
    Tensor([ 0.    ,  0.8413, -0.1587])

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
    """
    floating("gelu", x)
    return kernels.gelu(x), x


@gelu.backward
def _(dy, x, needs):
    return (kernels.gelu_backward(dy, x),)


@primitive
def gelu_tanh(x, /):
    """GELU with Phi replaced by (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x³): GPT-2's activation.

    >>> gelu_tanh([0.0, 1.0, -1.0])         # gelu has 0.8413 and -0.1587
    Tensor([ 0.    ,  0.8412, -0.1588])

    Source: Hendrycks & Gimpel 2016, arXiv:1606.08415, section 2.
    """
    floating("gelu_tanh", x)
    return kernels.gelu_tanh(x), x


@gelu_tanh.backward
def _(dy, x, needs):
    return (kernels.gelu_tanh_backward(dy, x),)


@primitive
def swiglu(gate, up, /):
    """silu(gate) up, entry by entry: the activation of LLaMA's feed-forward part.

    gate and up (..., D) -> (..., D)

    >>> swiglu([1.0, -1.0], [2.0, 2.0])
    Tensor([ 1.4621, -0.5379])

    Source: Shazeer 2020, arXiv:2002.05202, eq. 5 (with the matrices applied outside, and no bias).
    """
    return kernels.swiglu(*_same_shape("swiglu", gate, up)), (gate, up)


@swiglu.backward
def _(dy, saved, needs):
    return kernels.swiglu_backward(dy, *saved)  # both for the price of one exponential


@primitive
def geglu(gate, up, /):
    """gelu(gate) up, entry by entry.

    gate and up (..., D) -> (..., D)

    >>> geglu([1.0, -1.0], [2.0, 2.0])
    Tensor([ 1.6827, -0.3173])

    Source: Shazeer 2020, arXiv:2002.05202, eq. 5.
    """
    return kernels.geglu(*_same_shape("geglu", gate, up)), (gate, up)


@geglu.backward
def _(dy, saved, needs):
    return kernels.geglu_backward(dy, *saved)


def _same_shape(name, gate, up):
    floating(name, gate, up)
    if gate.shape != up.shape:
        raise ValueError(f"{name} needs a gate and an up of one shape, got {gate.shape} and {up.shape}")
    return gate, up


for _one in (relu, sigmoid, softplus, silu, gelu, gelu_tanh):
    # From 0.1 outwards: relu has no derivative at 0, and differences must not step across it.
    _one.example(lambda rng: ((rng.choice([-1.0, 1.0], (2, 3, 4)) * rng.uniform(0.1, 3.0, (2, 3, 4)),), {}))
for _two in (swiglu, geglu):
    _two.example(lambda rng: ((rng.normal(size=(2, 5)), rng.normal(size=(2, 5))), {}))
