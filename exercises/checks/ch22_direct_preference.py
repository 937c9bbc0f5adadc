"""What the grader looks at in chapter 22. Nothing is hidden: read on if a message leaves you wondering.

Everything expected is computed one pair and one token at a time with Python's math, or by differences, or by heart.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_that,
    inputs_stay_unchanged,
)

# --- sequence_log_probability ---


def log_softmax(row):
    largest = max(row)
    total = math.fsum(math.exp(z - largest) for z in row)
    return [z - largest - math.log(total) for z in row]


def by_token(logits, targets, count=lambda target: target != -100):
    return [
        [log_softmax(place.tolist())[target] for place, target in zip(row, wanted) if count(target)]
        for row, wanted in zip(logits, targets.tolist())
    ]


def answers(rng, rows=4, length=6, vocabulary=7):
    """Logits, and targets of which some count: a prompt, an answer, and padding."""
    logits = rng.normal(size=(rows, length, vocabulary)) * 1.5
    targets = rng.integers(0, vocabulary, size=(rows, length))
    for row in range(rows):
        targets[row, : 1 + row % 2] = -100
        targets[row, length - row % 3 :] = -100
    return logits, targets


@check("sequence_log_probability")
def only_targets(sequence_log_probability, rng):
    """the sum over the targets that count, row by row"""
    logits, targets = answers(rng)
    tokens = by_token(logits, targets)
    everything = by_token(logits, np.where(targets == -100, 0, targets), lambda target: True)
    raw = [
        sum(place[target] for place, target in zip(row, wanted) if target != -100)
        for row, wanted in zip(logits, targets)
    ]
    causes = {
        "the mean of the tokens, not their sum": np.array([sum(row) / len(row) for row in tokens]),
        "the prompt was added, too": np.array([sum(row) for row in everything]),
        "minus the log-probability: that is the loss": -np.array([sum(row) for row in tokens]),
        "the logits themselves were added, without the softmax": np.array(raw),
        "the probability, not its logarithm": np.exp([sum(row) for row in tokens]),
    }
    expected = np.array([math.fsum(row) for row in tokens])
    check_close("the log-probabilities", sequence_log_probability(logits, targets), expected, 1e-9, causes)


@check("sequence_log_probability")
def ignored_targets(sequence_log_probability, rng):
    """-100 is no place in the vocabulary, however large that is, and what stands there does not matter"""
    logits, targets = answers(rng, vocabulary=150)
    expected = np.array([math.fsum(row) for row in by_token(logits, targets)])
    taken = expected + [
        sum(log_softmax(place.tolist())[-100] for place, target in zip(row, wanted) if target == -100)
        for row, wanted in zip(logits, targets)
    ]
    causes = {"an ignored place took the logit of the last token but 99": np.array(taken)}
    check_close("the log-probabilities", sequence_log_probability(logits, targets), expected, 1e-9, causes)
    logits[targets == -100] *= -3
    check_close("with other logits in ignored places", sequence_log_probability(logits, targets), expected, 1e-9)


@check("sequence_log_probability")
def large_logits(sequence_log_probability):
    """logits of a thousand do not overflow, nor places that lie far apart"""
    logits = np.array([[[1000.0, 1001.0], [-2000.0, -2001.0]], [[1e6, 1e6 + 1], [-1e6, -1e6 - 2]]])
    got = sequence_log_probability(logits, np.array([[0, 0], [0, 1]]))
    e, near, far = math.e, math.log1p(math.exp(-1)), math.log1p(math.exp(-2))
    check_close("the log-probabilities", got, np.array([-math.log(1 + e) - near, -math.log(1 + e) - 2 - far]), 1e-6)


@check("sequence_log_probability")
def smallest_rows(sequence_log_probability, rng):
    """one row, one token, and a row in which nothing counts"""
    logits = rng.normal(size=(1, 1, 4))
    expected = np.array([log_softmax(logits[0, 0].tolist())[2]])
    check_close("of one token", sequence_log_probability(logits, np.array([[2]])), expected, 1e-9)
    logits = rng.normal(size=(2, 3, 4))
    got = sequence_log_probability(logits, np.array([[-100, -100, -100], [-100, 1, -100]]))
    check_close(
        "beside a row in which nothing counts", got, np.array([0.0, log_softmax(logits[1, 1].tolist())[1]]), 1e-9
    )


@check("sequence_log_probability")
def keeps_float32_of_logits(sequence_log_probability, rng):
    """float32 in, float32 out"""
    logits, targets = answers(rng)
    expected = np.array([math.fsum(row) for row in by_token(logits, targets)]).astype(np.float32)
    check_close("the log-probabilities", sequence_log_probability(logits.astype(np.float32), targets), expected, 1e-4)


# --- dpo ---


def pairs(rng, count=5):
    """Four rows of log-probabilities whose margins have both signs."""
    return -rng.uniform(5.0, 30.0, size=(4, count)) + np.linspace(-2.0, 2.0, count) * [[1], [-1], [0], [0]]


def three(result):
    if type(result) is not tuple or len(result) != 3:
        raise CheckFailed(
            f"the result must be the loss and two gradients, got {type(result).__name__}.",
            "return loss, d_chosen, d_rejected",
        )
    check_that(type(result[0]) is float, f"the loss must be a Python float, got {type(result[0]).__name__}.")
    return result


def soft_plus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def dpo_of(chosen, rejected, theirs, others, beta):
    margins = [beta * ((a - c) - (b - d)) for a, b, c, d in zip(chosen, rejected, theirs, others)]
    return math.fsum(soft_plus(-m) for m in margins) / len(margins)


def slopes_of(function, chosen, rejected, h=1e-5):
    """Central differences of function(chosen, rejected) by every entry of both."""
    found = []
    for which in (0, 1):
        slopes = []
        for k in range(len(chosen)):
            values = []
            for step in (h, -h):
                moved = [chosen.copy(), rejected.copy()]
                moved[which][k] += step
                values.append(function(*moved))
            slopes.append((values[0] - values[1]) / (2 * h))
        found.append(np.array(slopes))
    return found


@check("dpo")
def loss_by_hand(dpo, rng):
    """the mean of -log sigmoid(margin), pair by pair"""
    given = pairs(rng)
    for beta in (0.1, 0.7):
        chosen, rejected, theirs, others = given
        zero = np.zeros(len(chosen))
        swapped = dpo_of(rejected, chosen, others, theirs, beta)
        causes = {
            "the reference was left out": dpo_of(chosen, rejected, zero, zero, beta),
            "the margin has the wrong sign": swapped,
            "beta was left out": dpo_of(*given, 1.0),
            "the sum over pairs, not the mean": dpo_of(*given, beta) * len(chosen),
            "the reference was added, not subtracted": dpo_of(chosen, rejected, -theirs, -others, beta),
            "the references were exchanged": dpo_of(chosen, rejected, others, theirs, beta),
        }
        check_close(f"the loss for beta = {beta}", three(dpo(*given, beta))[0], dpo_of(*given, beta), 1e-9, causes)


@check("dpo")
def at_the_start(dpo, rng):
    """log 2 where the model is still the reference, and every pair pulls alike"""
    chosen, rejected, *_ = pairs(rng)
    loss, up, down = three(dpo(chosen, rejected, chosen, rejected, 0.3))
    check_close("the loss", loss, math.log(2), 1e-12)
    check_close(
        "the gradient by chosen", up, np.full(5, -0.3 / 10), 1e-9, {"the weight one half is missing": np.full(5, -0.06)}
    )
    check_close("the gradient by rejected", down, np.full(5, 0.3 / 10), 1e-9)


@check("dpo")
def gradient_by_differences(dpo, rng):
    """both gradients are the slopes of the loss"""
    given = pairs(rng)
    for beta in (0.1, 0.7):
        _, up, down = three(dpo(*given, beta))
        expected = slopes_of(lambda a, b, beta=beta: dpo_of(a, b, *given[2:], beta), *given[:2])
        for name, got, want in (("chosen", up, expected[0]), ("rejected", down, expected[1])):
            causes = {
                "the gradient of the sum, not of the mean": want * 5,
                "the factor beta is missing": want / beta,
                "the sign is the other way round": -want,
                "all pairs have the weight of an unlearned one": np.full(5, np.sign(want[0]) * beta / 10),
                "the weight is sigmoid(margin), not sigmoid(-margin)": np.sign(want) * (beta / 5 - np.abs(want)),
            }
            check_close(f"the gradient by {name} for beta = {beta}", got, want, 1e-7, causes)


@check("dpo")
def far_out(dpo):
    """margins of ±10,000: a straight line, a slope of 0 or beta, and no overflow"""
    zero = np.zeros(2)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        loss, up, down = three(dpo(np.array([1e4, -1e4]), zero, zero, zero, 1.0))
    check_close("the loss", loss, 5000.0, 1e-6)
    check_close("the gradient by chosen", up, np.array([0.0, -0.5]), 1e-9)
    check_close("the gradient by rejected", down, np.array([0.0, 0.5]), 1e-9)


@check("dpo")
def one_pair(dpo):
    """a single pair"""
    loss, up, down = three(dpo(*np.array([[-1.0], [-4.0], [-2.0], [-2.0]]), 0.5))
    weight = 1 / (1 + math.exp(1.5))
    check_close("the loss", loss, math.log1p(math.exp(-1.5)), 1e-12)
    check_close("the gradient by chosen", up, np.array([-0.5 * weight]), 1e-9)
    check_close("the gradient by rejected", down, np.array([0.5 * weight]), 1e-9)


@check("dpo")
def keeps_float32_of_pairs(dpo, rng):
    """float32 in, float32 out"""
    given = pairs(rng)
    expected = slopes_of(lambda a, b: dpo_of(a, b, *given[2:], 0.7), *given[:2])
    _, up, down = three(dpo(*given.astype(np.float32), 0.7))
    check_close("the gradient by chosen", up, expected[0].astype(np.float32), 1e-5)
    check_close("the gradient by rejected", down, expected[1].astype(np.float32), 1e-5)


# --- ipo ---

LENGTHS = np.array([3, 1, 7, 2, 4]), np.array([1, 5, 2, 2, 9])


def ipo_of(chosen, rejected, theirs, others, tau, lengths=None, target=None):
    one, other = ([1] * len(chosen),) * 2 if lengths is None else lengths
    target = 1 / (2 * tau) if target is None else target
    off = [(a - c) / n - (b - d) / m - target for a, b, c, d, n, m in zip(chosen, rejected, theirs, others, one, other)]
    return math.fsum(x * x for x in off) / len(off)


@check("ipo")
def loss_by_hand_of_ipo(ipo, rng):
    """the mean of (difference of log-ratios - 1 / (2 tau))², pair by pair"""
    given = pairs(rng)
    for tau in (0.05, 0.4):
        chosen, rejected, theirs, others = given
        zero = np.zeros(len(chosen))
        causes = {
            "the target is 1/tau, not 1/(2 tau)": ipo_of(*given, tau, target=1 / tau),
            "the target is tau / 2": ipo_of(*given, tau, target=tau / 2),
            "there is no target: the margin itself was squared": ipo_of(*given, tau, target=0.0),
            "the margin has the wrong sign": ipo_of(rejected, chosen, others, theirs, tau),
            "the reference was left out": ipo_of(chosen, rejected, zero, zero, tau),
            "the sum over pairs, not the mean": ipo_of(*given, tau) * len(chosen),
        }
        check_close(f"the loss for tau = {tau}", three(ipo(*given, tau))[0], ipo_of(*given, tau), 1e-8, causes)


@check("ipo")
def pulls_back(ipo):
    """a margin beyond the target is drawn back, one below it onwards, each by how far off it is"""
    zero = np.zeros(2)
    loss, up, down = three(ipo(np.array([5.0, 1.0]), zero, zero, zero, 0.25))
    causes = {"a margin beyond the target was left alone": 0.5}
    check_close("the loss of margins 5 and 1 where 2 is wanted", loss, 5.0, 1e-9, causes)
    check_close("the gradient by chosen", up, np.array([3.0, -1.0]), 1e-9)
    check_close("the gradient by rejected", down, np.array([-3.0, 1.0]), 1e-9)


@check("ipo")
def gradient_of_ipo(ipo, rng):
    """both gradients are the slopes of the loss"""
    given = pairs(rng)
    for tau in (0.05, 0.4):
        _, up, down = three(ipo(*given, tau))
        expected = slopes_of(lambda a, b, tau=tau: ipo_of(a, b, *given[2:], tau), *given[:2], h=1e-4)
        for name, got, want in (("chosen", up, expected[0]), ("rejected", down, expected[1])):
            causes = {
                "the factor 2 is missing": want / 2,
                "the gradient of the sum, not of the mean": want * 5,
                "the sign is the other way round": -want,
            }
            check_close(f"the gradient by {name} for tau = {tau}", got, want, 1e-6, causes)


@check("ipo")
def per_token(ipo, rng):
    """with lengths, each log-ratio is divided by its own answer's length: in the loss and in both gradients"""
    given, tau = pairs(rng), 0.3
    loss, up, down = three(ipo(*given, tau, LENGTHS))
    both = LENGTHS[0] + LENGTHS[1]
    causes = {
        "the margin was divided by the sum of the lengths": ipo_of(*given, tau, (both, both)),
        "both were divided by the chosen answer's length": ipo_of(*given, tau, (LENGTHS[0], LENGTHS[0])),
        "the lengths were exchanged": ipo_of(*given, tau, LENGTHS[::-1]),
        "the lengths were not used": ipo_of(*given, tau),
        "each was multiplied by its length": ipo_of(*given, tau, (1 / LENGTHS[0], 1 / LENGTHS[1])),
    }
    check_close("the loss", loss, ipo_of(*given, tau, LENGTHS), 1e-8, causes)
    expected = slopes_of(lambda a, b: ipo_of(a, b, *given[2:], tau, LENGTHS), *given[:2], h=1e-4)
    for name, got, want, n in (("chosen", up, expected[0], LENGTHS[0]), ("rejected", down, expected[1], LENGTHS[1])):
        causes = {"the gradient by a mean log-ratio: the length divides it, too": want * n}
        check_close(f"the gradient by {name}", got, want, 1e-6, causes)


@check("ipo")
def keeps_float32_of_ipo(ipo, rng):
    """float32 in, float32 out, also with lengths"""
    given = pairs(rng)
    for lengths in (None, LENGTHS):
        expected = slopes_of(lambda a, b, n=lengths: ipo_of(a, b, *given[2:], 0.4, n), *given[:2], h=1e-4)
        _, up, down = three(ipo(*given.astype(np.float32), 0.4, lengths))
        check_close("the gradient by chosen", up, expected[0].astype(np.float32), 1e-4)
        check_close("the gradient by rejected", down, expected[1].astype(np.float32), 1e-4)


# --- reward_accuracy ---


def share(value):
    check_that(type(value) is float, f"the result must be a Python float, got {type(value).__name__}.")
    return value


@check("reward_accuracy")
def by_hand(reward_accuracy):
    """three pairs of four, whatever the log-probabilities themselves say"""
    chosen, rejected = np.array([-9.0, -9.0, -9.0, -1.0]), np.array([-2.0, -2.0, -2.0, -9.0])
    theirs, others = np.array([-12.0, -13.0, -14.0, -1.0]), np.array([-2.0, -2.0, -2.0, -12.0])
    causes = {
        "the reference was left out": 0.25,
        "the rejected answers were counted": 0.25,
        "the number of pairs, not their share": 3.0,
        "in per cent": 75.0,
    }
    check_close("the accuracy", share(reward_accuracy(chosen, rejected, theirs, others)), 0.75, 1e-12, causes)


@check("reward_accuracy")
def reference_matters(reward_accuracy):
    """one pair of four: the log-probabilities alone would say three"""
    chosen, rejected = np.array([-2.0, -2.0, -2.0, -9.0]), np.array([-9.0, -9.0, -9.0, -1.0])
    theirs, others = np.array([-3.0, -3.0, -3.0, -12.0]), np.array([-12.0, -13.0, -14.0, -3.0])
    causes = {
        "the reference was left out": 0.75,
        "pairs were counted whose chosen answer became likelier": 1.0,
    }
    check_close("the accuracy", share(reward_accuracy(chosen, rejected, theirs, others)), 0.25, 1e-12, causes)


@check("reward_accuracy")
def ties(reward_accuracy, rng):
    """a tie counts one half"""
    chosen, rejected = -rng.uniform(1, 9, size=(2, 7))
    causes = {"a tie counted as wrong": 0.0, "a tie counted as right": 1.0}
    got = share(reward_accuracy(chosen, rejected, chosen, rejected))
    check_close("the accuracy before the first step", got, 0.5, 1e-12, causes)
    zero = np.zeros(4)
    got = share(reward_accuracy(np.array([1.0, 0.0, 2.0, -1.0]), zero, zero, zero))
    check_close("the accuracy of two gains, a tie and a loss", got, 0.625, 1e-12, {"a tie counted as wrong": 0.5})


@check("reward_accuracy")
def one_alone(reward_accuracy):
    """a single pair"""
    one, zero = np.ones(1), np.zeros(1)
    check_close("the accuracy", share(reward_accuracy(one, zero, zero, zero)), 1.0, 1e-12)
    check_close("the accuracy", 1.0 + share(reward_accuracy(zero, one, zero, zero)), 1.0, 1e-3)


inputs_stay_unchanged("sequence_log_probability", "dpo", "ipo", "reward_accuracy")
