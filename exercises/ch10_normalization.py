"""Chapter 10 exercises: where norms stand, how strongly residuals count, and how small a layer begins.

Symbols: L layers of two functions each (attention and feed-forward part), d the width of the stream.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch10              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch10 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

import math  # noqa: F401
from collections.abc import Callable

import numpy as np


# Task 1 of 3: easy, about 15 minutes, 2 points
def deepnorm_constants(
    encoder_layers: int, decoder_layers: int
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """alpha and beta of DeepNorm, x' = norm(alpha x + f(x)), f initialised with gain beta.

    encoder_layers, decoder_layers: N and M, 0 where there is no such stack (not both)
    returns: (alpha, beta) of the encoder and of the decoder, None for a stack that is not there

    One stack of N layers alone, encoder or decoder: alpha = (2N)^(1/4), beta = (8N)^(-1/4).
    Both: encoder alpha = 0.81 (N^4 M)^(1/16), beta = 0.87 (N^4 M)^(-1/16);
          decoder alpha = (3M)^(1/4), beta = (12M)^(-1/4).

    >>> deepnorm_constants(0, 8)
    (None, (2.0, 0.3535533905932738))

    Source: Wang et al. 2022, arXiv:2203.00555, figure 2.
    """
    raise NotImplementedError("deepnorm_constants")


# Task 2 of 3: medium, about 25 minutes, 3 points
def block_backward(
    dy: np.ndarray,
    attention_vjp: Callable[[np.ndarray], np.ndarray],
    feed_forward_vjp: Callable[[np.ndarray], np.ndarray],
    parallel: bool,
    alpha: float = 1.0,
) -> np.ndarray:
    """The gradient of the stream before a layer, given the one behind it.

    dy: (tokens, d), the cotangent of the layer's output
    attention_vjp, feed_forward_vjp: turn the cotangent of what the function added into that of the stream which its
        norm read (function and norm together), (tokens, d) -> (tokens, d)
    parallel: y = alpha x + a(x) + f(x); otherwise z = alpha x + a(x), then y = alpha z + f(z)
    returns: (tokens, d), the cotangent of x, a new array

    >>> double, negate = lambda g: 2 * g, lambda g: -g
    >>> block_backward(np.array([[1.0]]), double, negate, parallel=True)              # 1 + 2 - 1
    array([[2.]])
    >>> block_backward(np.array([[1.0]]), double, double, parallel=False)             # (1 + 2) + 2 (1 + 2)
    array([[9.]])
    """
    raise NotImplementedError("block_backward")


# Task 3 of 3: easy, about 15 minutes, 2 points
def initial_std(rule: str, width: int, layers: int, writes: bool) -> float:
    """The standard deviation with which a matrix of a fresh model is drawn.

    rule: "gpt2": 0.02, and 0.02 / sqrt(2L) for matrices that write to the stream
          "neox": sqrt(2 / (5d)) ("small"), and 2 / (L sqrt(d)) for those that write ("Wang")
          "plain": 0.02 for all (LLaMA). Anything else: ValueError
    width, layers: d and L
    writes: whether the matrix writes to the stream (attention's output, the feed-forward part's down)

    >>> initial_std("gpt2", 768, 8, writes=True)
    0.005
    >>> initial_std("neox", 1000, 12, writes=False)
    0.02
    """
    raise NotImplementedError("initial_std")
