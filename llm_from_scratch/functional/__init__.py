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
from ..checks import check_ids
from . import plain
from .activations import geglu, gelu, gelu_tanh, relu, sigmoid, silu, softplus, swiglu
from .divergences import skew_divergence
from .long_filters import long_convolution, modal_filter, modal_scan
from .lookup import embedding
from .losses import cross_entropy
from .low_rank import add_low_rank
from .norms import layer_norm, rms_norm
from .perceptrons import feed_forward, gated_feed_forward
from .probabilities import log_softmax, softmax
from .projections import join_heads, linear, linear_cross_entropy, linear_heads, queries_keys_values
from .regularization import dropout
from .relative_positions import relative_attention
from .rotations import rotary
from .routing import combine, dispatch, load_balancing_loss, routing_weights, top_k
from .short_filters import causal_convolution
from .state_space import selective_scan
from .tiled_attention import attention, attention_weights

sine = sin  # by its older name here

# `max`, `min`, `abs` and `sum` are left out: `from … import *` must not replace Python's own.
__all__ = [
    "absolute",
    "add_low_rank",
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
    "feed_forward",
    "gated_feed_forward",
    "geglu",
    "gelu",
    "gelu_tanh",
    "join_heads",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "linear_heads",
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
    "plain",
    "prod",
    "queries_keys_values",
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
    "skew_divergence",
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
