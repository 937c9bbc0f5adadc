"""Differentiable building blocks of a language model, each with a backward derived by hand.

They take and return `Tensor`s, own no parameters and know no configs. One file a topic; the loops are in
`kernels/`. The elementary functions of `autograd` are here under their NumPy names too, so that one import serves.
"""

from ..autograd import abs as abs
from ..autograd import (
    absolute,
    clip,
    concatenate,
    cos,
    cumsum,
    einsum,
    exp,
    log,
    logsumexp,
    matmul,
    maximum,
    mean,
    minimum,
    pad,
    prod,
    ravel,
    repeat,
    reshape,
    sin,
    sort,
    split,
    sqrt,
    squeeze,
    stack,
    std,
    swapaxes,
    tanh,
    transpose,
    var,
    where,
)
from ..autograd import max as max
from ..autograd import min as min
from ..autograd import sum as sum
from .activations import geglu, gelu, gelu_tanh, relu, sigmoid, silu, softplus, swiglu
from .attention import attention, attention_weights
from .causal_convolution import causal_convolution
from .dropout import dropout
from .embedding import check_ids, embedding
from .linear import linear, linear_cross_entropy
from .long_convolution import long_convolution, modal_filter, modal_scan
from .losses import cross_entropy
from .norms import layer_norm, rms_norm
from .relative_attention import relative_attention
from .rotary import rotary
from .routing import combine, dispatch, load_balancing_loss, routing_weights, top_k
from .selective_scan import selective_scan
from .softmax import log_softmax, softmax

sine = sin  # by its older name here

# `max`, `min`, `abs` and `sum` are left out: `from … import *` must not replace Python's own.
__all__ = [
    "absolute",
    "attention",
    "attention_weights",
    "causal_convolution",
    "check_ids",
    "clip",
    "combine",
    "concatenate",
    "cos",
    "cross_entropy",
    "cumsum",
    "dispatch",
    "dropout",
    "einsum",
    "embedding",
    "exp",
    "geglu",
    "gelu",
    "gelu_tanh",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "load_balancing_loss",
    "log",
    "log_softmax",
    "logsumexp",
    "long_convolution",
    "matmul",
    "maximum",
    "mean",
    "minimum",
    "modal_filter",
    "modal_scan",
    "pad",
    "prod",
    "ravel",
    "relative_attention",
    "relu",
    "repeat",
    "reshape",
    "rms_norm",
    "rotary",
    "routing_weights",
    "selective_scan",
    "sigmoid",
    "silu",
    "sin",
    "sine",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "swapaxes",
    "swiglu",
    "tanh",
    "top_k",
    "transpose",
    "var",
    "where",
]
