"""What the grader looks at in chapter 27. Nothing is hidden: read on if a message leaves you wondering.

Everything expected is computed item by item with Python's math and fractions, by trying all cases, or by heart.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, check_that, inputs_stay_unchanged

# --- bits_per_byte ---


def a_float(value, what="the result"):
    check_that(type(value) is float, f"{what} must be a Python float, got {type(value).__name__}.")
    return value


def bits_of(log_probabilities, token_bytes, scored):
    chosen = [k for k, flag in enumerate(scored) if flag]
    bits = math.fsum(-log_probabilities[k] / math.log(2) for k in chosen)
    return bits / sum(int(token_bytes[k]) for k in chosen)


def a_text(rng, count=9):
    return -rng.uniform(0.5, 6.0, count), rng.integers(1, 8, count), np.ones(count, bool)


@check("bits_per_byte")
def by_hand(bits_per_byte, rng):
    """all bits together by all bytes together"""
    given = a_text(rng)
    log_p, sizes, _ = given
    expected = bits_of(*given)
    causes = {
        "nats, not bits": expected * math.log(2),
        "per token, not per byte": expected * sizes.sum() / len(sizes),
        "multiplied by log 2": expected * math.log(2) ** 2,
        "the sign is wrong: a log-probability, not a surprise": -expected,
        "the mean of each token's bits per byte": float(np.mean(-log_p / math.log(2) / sizes)),
        "a perplexity, not bits": math.exp(-log_p.mean()),
    }
    check_close("bits per byte", a_float(bits_per_byte(*given)), expected, 1e-9, causes)


@check("bits_per_byte")
def unscored(bits_per_byte, rng):
    """tokens that were not scored count neither above nor below, whatever stands there"""
    log_p, sizes, scored = a_text(rng)
    scored[[0, 4]] = False
    expected = bits_of(log_p, sizes, scored)
    bits = -log_p[scored].sum() / math.log(2)
    causes = {
        "the bytes of a token that was not scored were counted": bits / sizes.sum(),
        "a token that was not scored was added": bits_of(log_p, sizes, np.ones(9, bool)),
    }
    check_close("bits per byte", a_float(bits_per_byte(log_p, sizes, scored)), expected, 1e-9, causes)
    log_p[[0, 4]] = -np.inf, np.nan
    check_close("with no number where nothing was scored", a_float(bits_per_byte(log_p, sizes, scored)), expected, 1e-9)


@check("bits_per_byte")
def special_tokens(bits_per_byte):
    """a special token has bits and no bytes"""
    got = a_float(bits_per_byte(np.log([0.5, 0.25, 0.125]), np.array([4, 0, 2]), np.ones(3, bool)))
    check_close("bits per byte", got, 1.0, 1e-12, {"a token without bytes was left out": 4 / 6})


@check("bits_per_byte")
def one_token(bits_per_byte):
    """a single token that is scored"""
    got = a_float(bits_per_byte(np.log([0.5, 0.125]), np.array([7, 1]), np.array([False, True])))
    check_close("bits per byte", got, 3.0, 1e-12)


# --- scored_tokens ---


def bools(value, count):
    array = np.asarray(value)
    if array.dtype != bool or array.shape != (count,):
        raise CheckFailed(f"an array of {count} booleans was expected, got {array.dtype} {array.shape}.")
    return array


def compare(got, expected, causes):
    got = bools(got, len(expected))
    check_close("the scored tokens (1: scored)", got.astype(float), np.array(expected, float), 1e-9,
                {name: np.array(value, float) for name, value in causes.items()})  # fmt: skip


@check("scored_tokens")
def between_words(scored_tokens):
    """where a token begins at the border, it and what follows is scored"""
    pieces = [b"The", b" cat", b" sat", b"."]
    causes = {"the context's tokens were marked": [True, True, False, False], "all of them": [True] * 4}
    compare(scored_tokens(pieces, "The cat"), [False, False, True, True], causes)


@check("scored_tokens")
def a_token_across(scored_tokens):
    """a token that begins in the context and reaches past its end is scored"""
    causes = {"a token that begins in the context was not scored": [False, False, True]}
    compare(scored_tokens([b"The", b" cats", b"!"], "The cat"), [False, True, True], causes)
    compare(scored_tokens([b"The cats"], "The cat"), [True], {})
    causes = {"a token that begins in the context was not scored": [False, False]}
    compare(scored_tokens([b"a", b" because"], "a be"), [False, True], causes)


@check("scored_tokens")
def up_to_the_border(scored_tokens):
    """a token that ends exactly at the border is the context's, also an empty one there"""
    causes = {"a token that ends at the border was scored": [False, True, True]}
    compare(scored_tokens([b"a", b"b", b"c"], "ab"), [False, False, True], causes)
    compare(scored_tokens([b"ab", b"", b"c"], "ab"), [False, False, True], {})
    causes = {"the space at the end of the context was taken away": [False, True, True]}
    compare(scored_tokens([b"The", b" ", b"cat"], "The "), [False, False, True], causes)


@check("scored_tokens")
def several_bytes(scored_tokens):
    """a character of several bytes, in the context and in the choice, whole or in parts"""
    pieces = ["né".encode(), b"\xe6", b"\xbc\xa2", b"!"]
    causes = {"characters were counted, not bytes": [True, True, True, True]}
    compare(scored_tokens(pieces, "né"), [False, True, True, True], causes)
    compare(scored_tokens(["é漢x".encode()[:2], "漢".encode(), b"x"], "é漢"), [False, False, True], {})


@check("scored_tokens")
def no_context(scored_tokens):
    """without a context all is scored"""
    compare(scored_tokens([b"a", b"b"], ""), [True, True], {})


# --- choose ---


def four_choices(rng):
    choices = [" né", " a longer answer", " 漢字", " x"]
    return [-rng.uniform(0.5, 4.0, count) for count in (3, 2, 5, 1)], choices


def two(result):
    if type(result) is not tuple or len(result) != 2:
        raise CheckFailed(f"the scores and a place were expected, got {type(result).__name__}.", "return scores, best")
    check_that(type(result[1]) is int, f"the place must be an int, got {type(result[1]).__name__}.")
    return np.asarray(result[0]), result[1]


def divided(log_probabilities, lengths):
    return np.array([math.fsum(values) / n for values, n in zip(log_probabilities, lengths)])


@check("choose")
def sums(choose, rng):
    """without normalisation, the sums"""
    values, choices = four_choices(rng)
    expected = divided(values, [1] * 4)
    scores, best = two(choose(values, choices, "none"))
    causes = {
        "the mean over tokens, not the sum": divided(values, map(len, values)),
        "minus the log-likelihood": -expected,
        "the probability, not its logarithm": np.exp(expected),
        "the first token of each only": np.array([v[0] for v in values]),
        "the last token of each only": np.array([v[-1] for v in values]),
    }
    check_close("the scores", scores, expected, 1e-9, causes)
    check_close("the place", 1.0 + best, 1.0 + expected.tolist().index(max(expected)), 1e-9)


@check("choose")
def lengths(choose, rng):
    """each sum divided by its own choice's length, in what was asked for"""
    values, choices = four_choices(rng)
    known = {"tokens": [3, 2, 5, 1], "characters": [3, 16, 3, 2], "bytes": [4, 16, 7, 2]}
    for name, count in known.items():
        scores, best = two(choose(values, choices, name))
        expected = divided(values, count)
        others = {f"the {other} were counted in place of what was asked for": divided(values, known[other])
                  for other in known if other != name}  # fmt: skip
        causes = {
            **others,
            "not divided": divided(values, [1] * 4),
            "multiplied by the length": divided(values, [1 / n for n in count]),
            "the space in front was not counted": divided(values, [n - 1 or 1 for n in count]),
        }
        check_close(f'the scores by "{name}"', scores, expected, 1e-9, causes)
        check_close(f'the place by "{name}"', 1.0 + best, 1.0 + expected.tolist().index(max(expected)), 1e-9)


@check("choose")
def first_of_equals(choose):
    """of equal scores the first"""
    scores, best = two(choose([np.array([-3.0]), np.array([-1.0, -1.0]), np.array([-2.0])], [" a", " b", " c"], "none"))
    check_close("the scores", scores, np.array([-3.0, -2.0, -2.0]), 1e-12)
    causes = {"the last of equal scores was taken": 3.0, "the smallest score was taken": 1.0}
    check_close("the place, counted from 1", 1.0 + best, 2.0, 1e-9, causes)


@check("choose")
def normalising_decides(choose):
    """a long choice that wins by its tokens and loses by its sum"""
    values, choices = [np.full(8, -0.5), np.array([-2.0])], [" one of many words", " no"]
    check_close("the place by sums", 1.0 + two(choose(values, choices, "none"))[1], 2.0, 1e-9)
    check_close("the place by tokens", 1.0 + two(choose(values, choices, "tokens"))[1], 1.0, 1e-9)


# --- paired_bootstrap ---


def outcomes(rng, items=16, resamples=40):
    """Whole numbers for each of 16 items, so that all means are exact; the first model is better."""
    b = rng.integers(0, 4, items).astype(float)
    a = b + rng.choice([-1.0, 0.0, 1.0, 2.0], items)
    a[0], b[0] = 9.0, 2.0
    return a, b, rng.integers(0, items, (resamples, items))


def quantile(values, share):
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def resampled(a, b, draws):
    return [Fraction(sum(int(a[i]) - int(b[i]) for i in draw), len(draw)) for draw in draws.tolist()]


def parts(result):
    if type(result) is not tuple or len(result) != 3 or type(result[1]) is not tuple or len(result[1]) != 2:
        raise CheckFailed("a mean, an interval of two and a p-value were expected.", "return value, (low, high), p")
    for what, number in zip(("the mean", "the lower end", "the upper end", "p"), (result[0], *result[1], result[2])):
        a_float(number, what)
    return result


@check("paired_bootstrap")
def by_hand_of_pairs(paired_bootstrap, rng):
    """the mean of a - b"""
    a, b, draws = outcomes(rng)
    expected = float(Fraction(sum(int(x) - int(y) for x, y in zip(a, b)), len(a)))
    means = [float(m) for m in resampled(a, b, draws)]
    causes = {
        "the difference is b - a": -expected,
        "the sum, not the mean": expected * len(a),
        "the mean of the resampled means": math.fsum(means) / len(means),
        "the median": float(np.median(a - b)),
    }
    check_close("the difference", parts(paired_bootstrap(a, b, draws))[0], expected, 1e-12, causes)


@check("paired_bootstrap")
def interval(paired_bootstrap, rng):
    """the quantiles 0.025 and 0.975 of the resampled means"""
    a, b, draws = outcomes(rng)
    means = [float(m) for m in resampled(a, b, draws)]
    value, found, _ = parts(paired_bootstrap(a, b, draws))
    edges = {share: quantile(means, share) for share in (0.025, 0.05, 0.95, 0.975)}
    middle, spread = float((a - b).mean()), float(np.std(means))
    error = float((a - b).std() / 4)
    causes = {
        "half of the share on each side was taken for the whole": np.array([edges[0.05], edges[0.95]]),
        "the smallest and the largest": np.array([min(means), max(means)]),
        "two standard deviations of the resampled means": np.array([middle - 1.96 * spread, middle + 1.96 * spread]),
        "two standard errors, without resampling": np.array([middle - 1.96 * error, middle + 1.96 * error]),
        "the means were moved to 0": np.array([edges[0.025], edges[0.975]]) - middle,
    }
    check_close("the interval", np.array(found), np.array([edges[0.025], edges[0.975]]), 1e-12, causes)


@check("paired_bootstrap")
def pairs(paired_bootstrap, rng):
    """an item is drawn with both of its scores: where b is a - 1 everywhere, there is no doubt"""
    a = rng.integers(0, 50, 16).astype(float)
    draws = rng.integers(0, 16, (40, 16))
    value, found, p = parts(paired_bootstrap(a, a - 1.0, draws))
    apart = np.quantile([a[d].mean() - (a - 1)[d[::-1]].mean() for d in draws], [0.025, 0.975])
    causes = {"the two were drawn apart from each other": apart}
    check_close("the interval", np.array(found), np.ones(2), 1e-12, causes)
    check_close("p", p, 1 / 41, 1e-12)


def p_of(a, b, draws, moved=True, extra=1, sided=False, strict=False):
    value = Fraction(sum(int(x) - int(y) for x, y in zip(a, b)), len(a))
    means = [m - (value if moved else 0) for m in resampled(a, b, draws)]
    if sided:
        far = [m >= value for m in means]
    else:
        far = [abs(m) > abs(value) if strict else abs(m) >= abs(value) for m in means]
    return (extra + sum(far)) / (extra + len(means))


@check("paired_bootstrap")
def chance(paired_bootstrap, rng):
    """the share of moved means, the measured one included, that lie as far from 0"""
    for sign in (1.0, -1.0):
        while True:
            a, b, draws = outcomes(rng, resamples=60)
            a[0] = b[0] - sign
            a[1:] = b[1:] + rng.choice([-1.0, 0.0, 1.0], 15)
            if (a - b).sum() * sign >= 1 and len({p_of(a, b, draws, **case) for case in _CASES}) == len(_CASES):
                break
        causes = {
            "the measured difference itself was not counted": p_of(a, b, draws, extra=0),
            "the resampled means were not moved to 0": p_of(a, b, draws, moved=False),
            "one side only": p_of(a, b, draws, sided=True),
            "means that are equally far were not counted": p_of(a, b, draws, strict=True),
        }
        check_close("p", parts(paired_bootstrap(a, b, draws))[2], p_of(a, b, draws), 1e-12, causes)


_CASES = ({}, {"extra": 0}, {"moved": False}, {"sided": True}, {"strict": True})


@check("paired_bootstrap")
def no_difference(paired_bootstrap, rng):
    """two that are equal: p is 1; one item: whatever it says"""
    same = rng.integers(0, 2, 16).astype(float)
    value, found, p = parts(paired_bootstrap(same, same.copy(), rng.integers(0, 16, (20, 16))))
    check_close("p of no difference", p, 1.0, 1e-12)
    check_close("one and the difference", 1.0 + value, 1.0, 1e-12)
    value, found, p = parts(paired_bootstrap(np.array([3.0]), np.array([1.0]), np.zeros((5, 1), int)))
    check_close("the interval of one item", np.array(found), np.array([2.0, 2.0]), 1e-12)


# --- pass_at_k ---


@check("pass_at_k")
def every_draw(pass_at_k):
    """the share of all draws of k samples that hold a right one, for every n up to 7"""
    for n, c, k in itertools.product(range(1, 8), range(8), range(1, 8)):
        if c > n or k > n or not 0 < c:
            continue
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        expected = sum(map(any, draws)) / len(draws)
        causes = {
            "drawn with replacement: 1 - (1 - c/n)^k": 1 - (1 - c / n) ** k,
            "the probability that none is right": 1 - expected,
            "the probability that all are right": sum(map(all, draws)) / len(draws),
            "c/n, whatever k is": c / n,
        }
        check_close(f"pass@{k} of {c} right in {n}", a_float(pass_at_k(n, c, k)), expected, 1e-9, causes)


@check("pass_at_k")
def edges(pass_at_k):
    """none right, all right, and fewer wrong ones than k"""
    for n, c, k, expected in ((5, 0, 2, 0.0), (5, 5, 1, 1.0), (5, 5, 5, 1.0), (6, 4, 3, 1.0), (1, 0, 1, 0.0)):
        got = 1.0 + a_float(pass_at_k(n, c, k))
        check_close(f"1 + pass@{k} of {c} right in {n}", got, 1.0 + expected, 1e-12)


@check("pass_at_k")
def large(pass_at_k):
    """a million samples: no overflow, no rounding away"""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        got = a_float(pass_at_k(1_000_000, 500_000, 100)), a_float(pass_at_k(1_000_000, 250_000, 2))
    first = 1 - Fraction(750_000 * 749_999, 1_000_000 * 999_999)
    check_close("pass@100 of half a million right", got[0], 1.0, 1e-9)
    check_close("pass@2 of a quarter of a million right", got[1], float(first), 1e-9)


inputs_stay_unchanged("bits_per_byte", "scored_tokens", "choose", "paired_bootstrap")
