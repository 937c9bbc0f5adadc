"""Chapter 10 exercises: where norms stand, how strongly residuals count, and how small a layer begins.

Symbols: L layers of two functions each (attention and feed-forward part), d the width of the stream.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "a_decoder_alone: the constants of GLM-130B came back": (
            "GLM-130B took square roots, (2N)^(1/2). The paper's decoder has fourth roots."
        ),
        "an_encoder_alone: ZeroDivisionError": (
            "With M = 0 there is no decoder: do not compute its constants, give None. What is left is a model of one "
            "stack, whichever it is."
        ),
        "both_stacks: the decoder's constants know the encoder's depth": (
            "Only the encoder's constants use both depths, N to the fourth times M. The decoder's use 3M and 12M."
        ),
    },
    why="""With a post-norm, what a layer adds is compared with a stream that has just been scaled to size 1. DeepNorm
    lets the stream count alpha times as much and starts the functions beta times as small, so that all updates of N
    layers together stay bounded whatever N is. The exponents come from that one demand: alpha and beta share the work,
    and alpha / beta grows like the root of N.""",
)
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
    n, m = encoder_layers, decoder_layers
    if not n or not m:
        alone = ((2 * (n + m)) ** 0.25, (8 * (n + m)) ** -0.25)
        return (alone, None) if n else (None, alone)
    both = (n**4 * m) ** (1 / 16)
    return (0.81 * both, 0.87 / both), ((3 * m) ** 0.25, (12 * m) ** -0.25)


@task(
    points=3,
    difficulty="medium",
    minutes=25,
    hints={
        "one_after_the_other: the two functions got the same gradient": (
            "In the usual layer attention's output also reaches the loss through the feed-forward part. First finish "
            "the gradient of the stream between them, then send that through attention."
        ),
        "one_after_the_other: the feed-forward part came last": (
            "Backward walks from the end: the feed-forward part was the last to act, so its turn is first."
        ),
        "side_by_side: the residual's share is missing": (
            "The stream itself went through unchanged, so dy arrives unchanged, and both functions add their share."
        ),
        "keeps_float32_on_the_way_back: must have dtype float32, got float64": (
            "np.float64(alpha) turns a float32 array into float64; a plain number does not."
        ),
    },
    why="""A residual is a fork on the way forward, hence a sum on the way back. In the usual layer there are four paths
    through the two forks, in the parallel layer three: the one through both functions is gone. That is all the
    parallel layer gives up, and in exchange both functions can be computed at once.""",
)
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
    if parallel:
        return alpha * dy + attention_vjp(dy) + feed_forward_vjp(dy)
    dz = alpha * dy + feed_forward_vjp(dy)
    return alpha * dz + attention_vjp(dz)


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "gpt2_scales_what_writes_to_the_stream: every matrix is scaled": (
            "Only the two matrices of a layer that write to the stream are drawn smaller."
        ),
        "gpt2_scales_what_writes_to_the_stream: too large by the root of 2": (
            "A layer writes twice, so there are 2L additions to the stream: divide by the root of 2L."
        ),
        "neox_has_two_rules: the depth is under the root": "2 / (L sqrt(d)): only the width is under the root.",
        "an_unknown_rule_is_refused: no error": "A misspelt rule must not fall through to some default.",
    },
    why="""2L independent contributions of variance s² make a stream of variance 2L s². Dividing their standard
    deviation by sqrt(2L) keeps the stream at its size however deep the model is, which is GPT-2's rule; GPT-NeoX
    divides by L and leaves the stream almost alone at first. Neither changes what a trained model can be, only
    where it begins, and deep models are decided there.""",
)
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
    if rule == "gpt2":
        return 0.02 / math.sqrt(2 * layers) if writes else 0.02
    if rule == "neox":
        return 2 / (layers * math.sqrt(width)) if writes else math.sqrt(2 / (5 * width))
    if rule != "plain":
        raise ValueError(f"the rules are gpt2, neox and plain, not {rule!r}")
    return 0.02
