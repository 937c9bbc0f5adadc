"""Every building block once more as the loop that its formula says: slow, short, and without a second idea.

Each function has the name and the arguments of the one in `lfs.functional`, takes and returns ndarrays, checks nothing
and knows no gradients. Nothing in the package computes with them: chapters show them, and tests hold the fast versions
to them.

>>> import numpy as np
>>> import llm_from_scratch as lfs
>>> x = np.array([[0.5, -1.0, 2.0]])
>>> bool(np.allclose(lfs.functional.softmax(x).data, softmax(x)))
True
"""

from .entries import dropout, geglu, gelu, gelu_tanh, relu, sigmoid, silu, softplus, swiglu
from .experts import combine, dispatch, load_balancing_loss, routing_weights, top_k
from .rows import (
    add_low_rank,
    cross_entropy,
    embedding,
    feed_forward,
    gated_feed_forward,
    join_heads,
    layer_norm,
    linear,
    linear_cross_entropy,
    linear_heads,
    log_softmax,
    queries_keys_values,
    rms_norm,
    skew_divergence,
    softmax,
)
from .sequences import (
    attention,
    causal_convolution,
    long_convolution,
    modal_filter,
    modal_scan,
    relative_attention,
    rotary,
    selective_scan,
)

__all__ = [
    "add_low_rank",
    "attention",
    "causal_convolution",
    "combine",
    "cross_entropy",
    "dispatch",
    "dropout",
    "embedding",
    "feed_forward",
    "gated_feed_forward",
    "geglu",
    "gelu",
    "gelu_tanh",
    "layer_norm",
    "join_heads",
    "linear",
    "linear_cross_entropy",
    "linear_heads",
    "load_balancing_loss",
    "log_softmax",
    "long_convolution",
    "modal_filter",
    "modal_scan",
    "queries_keys_values",
    "relative_attention",
    "relu",
    "rms_norm",
    "rotary",
    "routing_weights",
    "selective_scan",
    "sigmoid",
    "silu",
    "skew_divergence",
    "softmax",
    "softplus",
    "swiglu",
    "top_k",
]
