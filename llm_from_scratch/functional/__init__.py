"""Differentiable building blocks of a language model, each with a backward derived by hand.

They take and return `Tensor`s, own no parameters and know no configs. One file a topic; the loops are in
`kernels/`.
"""

from .activations import geglu, gelu, gelu_tanh, relu, sigmoid, silu, sine, softplus, swiglu, tanh
from .attention import attention, attention_weights
from .causal_convolution import causal_convolution
from .clipping import clip
from .dropout import dropout
from .embedding import check_ids, embedding
from .linear import linear, linear_cross_entropy
from .long_convolution import long_convolution, modal_filter, modal_scan
from .losses import cross_entropy
from .norms import layer_norm, rms_norm, rms_norm_outside
from .relative_attention import relative_attention
from .rotary import rotary
from .routing import combine, dispatch, load_balancing_loss, routing_weights, top_k
from .selective_scan import selective_scan
from .softmax import log_softmax, softmax

__all__ = [
    "attention",
    "attention_weights",
    "causal_convolution",
    "check_ids",
    "clip",
    "combine",
    "cross_entropy",
    "dispatch",
    "dropout",
    "embedding",
    "geglu",
    "gelu",
    "gelu_tanh",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "load_balancing_loss",
    "log_softmax",
    "long_convolution",
    "modal_filter",
    "modal_scan",
    "relative_attention",
    "relu",
    "rms_norm",
    "rms_norm_outside",
    "rotary",
    "routing_weights",
    "selective_scan",
    "sigmoid",
    "silu",
    "sine",
    "softmax",
    "softplus",
    "swiglu",
    "tanh",
    "top_k",
]
