"""What the grader looks at in chapter 10. Nothing is hidden: read on if a message leaves you wondering.

Expected values are typed in, or computed through logarithms; gradients are compared with matrices multiplied out.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_raises,
    inputs_stay_unchanged,
)


def pair(name, got, alpha, beta, causes=None):
    if type(got) is not tuple or len(got) != 2:
        raise CheckFailed(
            f"{name}: expected a tuple (alpha, beta), got {got!r}.", "return both, for a stack that is there"
        )
    check_close(f"alpha of the {name}", got[0], alpha, 1e-9, {why: value[0] for why, value in (causes or {}).items()})
    check_close(f"beta of the {name}", got[1], beta, 1e-9, {why: value[1] for why, value in (causes or {}).items()})


def two(result):
    if type(result) is not tuple or len(result) != 2:
        raise CheckFailed(f"the result must be (encoder, decoder), got {result!r}.", "one of them may be None")
    return result


# --- deepnorm_constants ---


@check("deepnorm_constants")
def a_decoder_alone(deepnorm_constants):
    """a decoder of 50 layers, without an encoder: the fourth roots of 100 and of 400"""
    encoder, decoder = two(deepnorm_constants(0, 50))
    causes = {
        "these are square roots, as GLM-130B has them": (10.0, 0.1),
        "alpha and beta are swapped": (400**-0.25, 100**0.25),
    }
    pair("decoder", decoder, math.sqrt(10.0), 1 / math.sqrt(20.0), causes)
    if encoder is not None:
        raise CheckFailed(f"there is no encoder: None was expected, got {encoder!r}.")


@check("deepnorm_constants")
def an_encoder_alone(deepnorm_constants):
    """an encoder of 128 layers alone: 4, and the fourth root of 1/1024"""
    encoder, decoder = two(deepnorm_constants(128, 0))
    pair("encoder", encoder, 4.0, 1 / math.sqrt(32.0))
    if decoder is not None:
        raise CheckFailed(f"there is no decoder: None was expected, got {decoder!r}.")


@check("deepnorm_constants")
def both_stacks(deepnorm_constants, rng):
    """an encoder and a decoder of different depths, through logarithms"""
    n, m = int(rng.integers(5, 40)), int(rng.integers(41, 90))
    encoder, decoder = two(deepnorm_constants(n, m))
    both = math.exp((4 * math.log(n) + math.log(m)) / 16)
    swapped = math.exp((4 * math.log(m) + math.log(n)) / 16)
    pair("encoder", encoder, 0.81 * both, 0.87 / both, {"N and M are swapped": (0.81 * swapped, 0.87 / swapped)})
    pair("decoder", decoder, math.exp(math.log(3 * m) / 4), math.exp(-math.log(12 * m) / 4))


@check("deepnorm_constants")
def one_layer(deepnorm_constants):
    """a single layer, in either stack, and in both"""
    for stacks in ((1, 0), (0, 1)):
        found = two(deepnorm_constants(*stacks))
        pair(f"only layer of {stacks}", found[stacks.index(1)], math.sqrt(math.sqrt(2)), 1 / math.sqrt(math.sqrt(8)))
        if found[stacks.index(0)] is not None:
            raise CheckFailed(f"the stack of 0 layers must have None, got {found[stacks.index(0)]!r}.")
    encoder, decoder = two(deepnorm_constants(1, 1))
    pair("encoder of one layer", encoder, 0.81, 0.87)
    pair("decoder of one layer", decoder, math.sqrt(math.sqrt(3)), 1 / math.sqrt(math.sqrt(12)))


# --- block_backward ---


def maps(rng):
    """Two linear functions on a stream of width 4, as matrices, and their vector-Jacobian products."""
    a, f = rng.normal(size=(4, 4)), rng.normal(size=(4, 4))
    return a, f, lambda g: g @ a.T, lambda g: g @ f.T


@check("block_backward")
def one_after_the_other(block_backward, rng):
    """the usual layer, whose functions are matrices: y = x (1 + A)(1 + F)"""
    a, f, attention, feed_forward = maps(rng)
    dy, one = rng.normal(size=(3, 4)), np.eye(4)
    causes = {
        "both functions got dy (that is the parallel layer)": dy @ (one + a + f).T,
        "attention's turn came first": dy @ ((one + f) @ (one + a)).T,
        "the residuals are missing": dy @ (a @ f).T,
    }
    check_close("dx", block_backward(dy, attention, feed_forward, False), dy @ ((one + a) @ (one + f)).T, 1e-9, causes)


@check("block_backward")
def side_by_side(block_backward, rng):
    """the parallel layer: y = x (1 + A + F)"""
    a, f, attention, feed_forward = maps(rng)
    dy, one = rng.normal(size=(3, 4)), np.eye(4)
    causes = {
        "this is the usual layer": dy @ ((one + a) @ (one + f)).T,
        "the residual is missing": dy @ (a + f).T,
        "the residual is counted twice": dy @ (2 * one + a + f).T,
    }
    check_close("dx", block_backward(dy, attention, feed_forward, True), dy @ (one + a + f).T, 1e-9, causes)


@check("block_backward")
def alpha_counts_at_every_residual(block_backward, rng):
    """with alpha: (alpha + A)(alpha + F), and alpha + A + F"""
    a, f, attention, feed_forward = maps(rng)
    dy, al = rng.normal(size=(3, 4)), 1.7 * np.eye(4)
    expected = dy @ ((al + a) @ (al + f)).T
    check_close("dx", block_backward(dy, attention, feed_forward, False, 1.7), expected, 1e-9)
    check_close("dx, parallel", block_backward(dy, attention, feed_forward, True, alpha=1.7), dy @ (al + a + f).T, 1e-9)


@check("block_backward")
def keeps_float32_on_the_way_back(block_backward, rng):
    """float32 in, float32 out"""
    dy = rng.normal(size=(3, 4)).astype(np.float32) + np.float32(3)
    for parallel, factor in ((True, 3.5), (False, 3.75)):
        got = block_backward(dy, lambda g: 2 * g, lambda g: g, parallel, 0.5)
        check_close("dx", got, (dy * factor).astype(np.float32), 1e-4)


# --- initial_std ---


@check("initial_std")
def gpt2_scales_what_writes_to_the_stream(initial_std):
    """GPT-2: 0.02, and for 32 layers an eighth of it where the stream is written"""
    causes = {"too large by the root of 2: a layer writes twice": 0.02 / math.sqrt(32), "it is not scaled": 0.02}
    check_close("gpt2, writing", initial_std("gpt2", 512, 32, True), 0.0025, 1e-9, causes)
    check_close("gpt2, reading", initial_std("gpt2", 512, 32, False), 0.02, 1e-9)


@check("initial_std")
def neox_has_two_rules(initial_std):
    """GPT-NeoX: for width 640 and 5 layers 0.025, and 0.4 / sqrt(640) where the stream is written"""
    check_close(
        "neox, reading", initial_std("neox", 640, 5, False), 0.025, 1e-9, {"the 5 is missing": (2 / 640) ** 0.5}
    )
    causes = {"the depth is under the root": 2 / math.sqrt(5 * 640), "the depth is missing": 2 / math.sqrt(640)}
    check_close("neox, writing", initial_std("neox", 640, 5, True), 0.4 * 640**-0.5, 1e-9, causes)


@check("initial_std")
def plain_is_plain(initial_std):
    """LLaMA: 0.02, whatever the matrix and the depth"""
    check_close("plain, writing", initial_std("plain", 512, 32, True), 0.02, 1e-9)
    check_close("plain, reading", initial_std("plain", 64, 8, False), 0.02, 1e-9)


@check("initial_std")
def an_unknown_rule_is_refused(initial_std):
    """a rule that does not exist, wherever its name stands in the alphabet, for both kinds of matrices: ValueError"""
    for rule in ("gpt3", "GPT2", "gpt2-medium", "neo", "aaa", "zzz", ""):
        for writes in (True, False):
            check_raises(f'rule "{rule}", writes={writes}', ValueError, initial_std, rule, 512, 32, writes)


@check("initial_std")
def one_layer_of_width_one(initial_std):
    """width 1, 1 layer: no rule leaves its formula"""
    check_close("gpt2, writing", initial_std("gpt2", 1, 1, True), 0.02 / math.sqrt(2), 1e-12)
    check_close("neox, writing", initial_std("neox", 1, 1, True), 2.0, 1e-12)
    check_close("neox, reading", initial_std("neox", 1, 1, False), math.sqrt(0.4), 1e-12)


inputs_stay_unchanged("block_backward")
