"""What the grader looks at in chapter 15. Nothing is hidden: read on if a message leaves you wondering.

Everything expected is computed one token at a time, with Python's sorting and math.exp, or known by heart.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import (
    CheckFailed,
    check,
    check_close,
    check_equal,
    check_that,
    inputs_stay_unchanged,
)


def choose(row, k):
    """The numbers of the k largest, best first, ties to the lower number."""
    return sorted(range(len(row)), key=lambda e: (-row[e], e))[:k]


def soft(row):
    total = math.fsum(math.exp(z - max(row)) for z in row)
    return [math.exp(z - max(row)) / total for z in row]


def pair(result, names):
    if type(result) is not tuple or len(result) != 2:
        raise CheckFailed(f"the result must be two arrays ({names}), got {type(result).__name__}.", f"return {names}")
    return result


def routed(rng, tokens=9, count=5, k=2):
    """Logits without near-ties, and who is chosen."""
    logits = rng.permuted(np.tile(np.arange(count) * 0.7 - 1.2, (tokens, 1)), axis=1) + 0.1 * rng.random(
        (tokens, count)
    )
    return logits, np.array([choose(row, k) for row in logits])


# --- top_k_routing ---


@check("top_k_routing")
def best_first(top_k_routing, rng):
    """the k experts with the largest logits, the best one first"""
    for k in (1, 2, 4):
        logits, expected = routed(rng, k=k)
        experts, _ = pair(top_k_routing(logits, k), "experts, weights")
        check_that(isinstance(experts, np.ndarray) and experts.dtype.kind in "iu", "experts must be an integer array.")
        causes = {
            "the worst experts were chosen": np.array([choose(-row, k) for row in logits]),
            "the right experts, but not the best one first": np.sort(expected, axis=1) if k > 1 else expected - 99,
            "the right experts, the best one last": expected[:, ::-1] if k > 1 else expected - 99,
        }
        check_equal(f"experts for k = {k}", experts, expected, causes)


@check("top_k_routing")
def ties(top_k_routing):
    """of equal logits the lower number wins"""
    logits = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 2.0, 2.0], [3.0, 1.0, 3.0, 1.0]] + [[0.5] * 4] * 20)
    experts, _ = pair(top_k_routing(logits, 2), "experts, weights")
    expected = np.array([choose(row, 2) for row in logits])
    causes = {"the higher number was chosen": np.array([[3 - e for e in choose(row[::-1], 2)] for row in logits])}
    check_equal("experts", experts, expected, causes)


@check("top_k_routing")
def ties_among_many(top_k_routing, rng):
    """64 experts, 8 chosen, few different logits: short rows are sorted stably by any method, long ones are not"""
    logits = rng.integers(0, 4, size=(20, 64)) * 0.5
    experts, _ = pair(top_k_routing(logits, 8), "experts, weights")
    expected = np.array([choose(row, 8) for row in logits])
    got = np.asarray(experts)
    if (
        got.shape == expected.shape
        and (np.take_along_axis(logits, got, 1) == np.take_along_axis(logits, expected, 1)).all()
    ):
        causes = {"the right logits, but equal ones in any order: the sort is not stable": got}
    else:
        causes = {}
    check_equal("experts", experts, expected, causes)


@check("top_k_routing")
def smallest_sizes(top_k_routing, rng):
    """one expert, one token, all experts chosen"""
    for tokens, count, k in ((1, 1, 1), (3, 1, 1), (1, 4, 2), (5, 4, 4), (2, 3, 1)):
        logits, expected = routed(rng, tokens, count, k)
        experts, weights = pair(top_k_routing(logits, k), "experts, weights")
        name = f"for {tokens} tokens, {count} experts, k = {k}"
        check_equal(f"experts {name}", experts, expected)
        chosen = [[logits[n, e] for e in row] for n, row in enumerate(expected)]
        check_close(f"weights {name}", weights, np.array([soft(row) for row in chosen]), 1e-12)


@check("top_k_routing")
def weights_sum_to_one(top_k_routing, rng):
    """the weights are the softmax over the chosen logits alone"""
    logits, expected = routed(rng, k=3)
    _, weights = pair(top_k_routing(logits, 3), "experts, weights")
    chosen = [[logits[n, e] for e in row] for n, row in enumerate(expected)]
    everything = np.array([[soft(logits[n].tolist())[e] for e in row] for n, row in enumerate(expected)])
    raw = np.array(chosen)
    causes = {
        "the softmax over all experts was not divided by the sum of the chosen": everything,
        "the logits were divided by their sum, without exp": raw / raw.sum(axis=1, keepdims=True),
        "all experts count the same": np.full((9, 3), 1 / 3),
        "the weights belong to other places of the row": np.array([soft(row)[::-1] for row in chosen]),
    }
    check_close("weights", weights, np.array([soft(row) for row in chosen]), 1e-9, causes)


@check("top_k_routing")
def large_logits(top_k_routing):
    """logits of a thousand do not overflow, nor such that lie far apart"""
    logits = np.array(
        [[1000.0, 0.0, 1001.0], [-1000.0, -2000.0, -999.0], [-3000.0, 0.0, 3000.0], [-1e6 - 1, -1e6, -1e6 - 3]]
    )
    experts, weights = pair(top_k_routing(logits, 2), "experts, weights")
    check_equal("experts", experts, np.array([[2, 0], [2, 0], [2, 1], [1, 0]]))
    near = [1 / (1 + math.exp(-1)), 1 / (1 + math.e)]
    check_close("weights", weights, np.array([near, near, [1.0, 0.0], near]), 1e-9)


@check("top_k_routing")
def keeps_float32(top_k_routing, rng):
    """float32 in, float32 out"""
    logits, expected = routed(rng)
    _, weights = pair(top_k_routing(logits.astype(np.float32), 2), "experts, weights")
    chosen = [[logits[n, e] for e in row] for n, row in enumerate(expected)]
    check_close("weights", weights, np.array([soft(row) for row in chosen]).astype(np.float32), 1e-5)


# --- dispatch ---


def parts_of(result, count):
    if not isinstance(result, list) or len(result) != count:
        raise CheckFailed(f"the result must be a list of {count} pairs (tokens, rows), one for each expert.")
    return [pair(part, "tokens, rows") for part in result]


@check("dispatch")
def every_choice(dispatch, rng):
    """each expert gets the rows of all tokens that chose it, as first or as later choice, in order"""
    x = rng.normal(size=(9, 3))
    _, experts = routed(rng)
    for e, (tokens, rows) in enumerate(parts_of(dispatch(x, experts, 5), 5)):
        expected = [n for n in range(9) if e in experts[n].tolist()]
        causes = {"only the first choices were dealt out": np.array([n for n in range(9) if experts[n, 0] == e])}
        check_equal(f"tokens of expert {e}", np.asarray(tokens), np.array(expected, dtype=int), causes)
        check_close(f"rows of expert {e}", rows, np.array([x[n] for n in expected]).reshape(-1, 3), 1e-12)


@check("dispatch")
def in_order(dispatch, rng):
    """a token's rank among the choices does not change the order of the rows"""
    x = rng.normal(size=(4, 2))
    parts = parts_of(dispatch(x, np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), 2), 2)
    for e, (tokens, rows) in enumerate(parts):
        check_equal(f"tokens of expert {e}", np.asarray(tokens), np.arange(4))
        check_close(f"rows of expert {e}", rows, x, 1e-12)


@check("dispatch")
def idle(dispatch, rng):
    """experts without tokens have empty parts, also the last ones"""
    x = rng.normal(size=(3, 4))
    parts = parts_of(dispatch(x, np.array([[1], [1], [1]]), 4), 4)
    for e in (0, 2, 3):
        check_equal(f"tokens of expert {e}", np.asarray(parts[e][0]), np.zeros(0, int))
        check_that(parts[e][1].shape == (0, 4), f"the rows of idle expert {e} must have the shape (0, 4).")
    check_close("rows of expert 1", parts[1][1], x, 1e-12)


@check("dispatch")
def smallest_dispatch(dispatch, rng):
    """one expert, one token, all experts chosen, rows of one number, no token at all"""
    for tokens, count, k, width in ((1, 1, 1, 1), (4, 1, 1, 2), (1, 3, 2, 2), (3, 2, 2, 1), (0, 2, 1, 3)):
        x, experts = rng.normal(size=(tokens, width)), routed(rng, tokens, count, k)[1].reshape(tokens, k).astype(int)
        for e, (numbers, rows) in enumerate(parts_of(dispatch(x, experts, count), count)):
            expected = [n for n in range(tokens) if e in experts[n].tolist()]
            name = f"expert {e} of {count}, {tokens} tokens"
            check_equal(f"tokens of {name}", np.asarray(numbers), np.array(expected, dtype=int))
            check_equal(f"rows of {name}", rows, np.array([x[n] for n in expected]).reshape(-1, width))


@check("dispatch")
def keeps_float32_in_dispatch(dispatch, rng):
    """float32 in, float32 out, for idle experts too"""
    x = rng.normal(size=(5, 3)).astype(np.float32)
    for _, rows in parts_of(dispatch(x, np.array([[0], [2], [0], [2], [2]]), 3), 3):
        check_that(rows.dtype == np.float32, f"the rows must have dtype float32, got {rows.dtype}.")


# --- combine ---


def case(rng, tokens=9, count=5, k=2, width=3):
    """Weights, choices, answers, and what comes of them, token by token."""
    _, experts = routed(rng, tokens, count, k)
    weights = rng.uniform(0.2, 1.0, size=(tokens, k))
    table = rng.normal(size=(count, tokens, width)) + np.arange(count)[:, None, None]
    chosen = [np.array([n for n in range(tokens) if e in experts[n]], dtype=int) for e in range(count)]
    expected = np.zeros((tokens, width))
    for n in range(tokens):
        for j in range(k):
            expected[n] += weights[n, j] * table[experts[n, j], n]
    return weights, experts, [(rows, table[e, rows]) for e, rows in enumerate(chosen)], expected


@check("combine")
def matching(combine, rng):
    """every answer with the weight of its own token and expert"""
    for k in (2, 1, 3):
        weights, experts, answers, expected = case(rng, k=k)
        plain = np.zeros_like(expected)
        first = np.zeros_like(expected)
        for tokens, said in answers:
            plain[tokens] += said
            first[tokens] += weights[tokens, :1] * said
        causes = {"the weights were divided by their sum once more": expected / weights.sum(axis=1, keepdims=True)}
        if k > 1:  # for a single choice, the two are the same
            causes["the answers were added without weights"] = plain
            causes["every answer got the weight of the token's first choice"] = first
            causes["the answers were averaged"] = expected / k
        check_close(f"the output for k = {k}", combine(weights, experts, answers), expected, 1e-9, causes)


@check("combine")
def adds_up(combine, rng):
    """later answers are added to earlier ones"""
    weights, experts = np.full((4, 2), 0.5), np.array([[0, 1], [1, 0], [0, 1], [1, 0]])
    answers = [(np.arange(4), np.full((4, 2), 8.0)), (np.arange(4), np.full((4, 2), 2.0))]
    causes = {"the second answer replaced the first": np.full((4, 2), 1.0)}
    check_close("the output", combine(weights, experts, answers), np.full((4, 2), 5.0), 1e-12, causes)


@check("combine")
def idle_in_combine(combine, rng):
    """an expert that nobody asked says nothing"""
    answers = [(np.zeros(0, int), np.zeros((0, 2))), (np.arange(3), np.array([[1.0, 2.0]] * 3))]
    got = combine(np.array([[1.0], [0.5], [2.0]]), np.array([[1], [1], [1]]), answers)
    check_close("the output", got, np.array([[1.0, 2.0], [0.5, 1.0], [2.0, 4.0]]), 1e-12)


@check("combine")
def smallest_combine(combine, rng):
    """one expert alone, one token, answers of one number"""
    for tokens, count, k, width in ((1, 1, 1, 1), (4, 1, 1, 2), (1, 3, 2, 2), (3, 2, 2, 1)):
        weights, experts, answers, expected = case(rng, tokens, count, k, width)
        got = combine(weights, experts, answers)
        check_close(f"the output for {tokens} tokens, {count} experts, k = {k}", got, expected, 1e-12)


@check("combine")
def keeps_float32_in_combine(combine, rng):
    """float32 in, float32 out"""
    weights, experts, answers, expected = case(rng)
    answers = [(tokens, said.astype(np.float32)) for tokens, said in answers]
    got = combine(weights.astype(np.float32), experts, answers)
    check_close("the output", got, expected.astype(np.float32), 1e-4)


# --- balancing_loss ---


def by_formula(logits, experts, rows):
    count = logits.shape[1]
    total = 0.0
    for e in range(count):
        share = sum(experts[n].tolist().count(e) for n in rows) / len(rows)
        total += share * math.fsum(soft(logits[n].tolist())[e] for n in rows) / len(rows)
    return count * total


def check_number(value):
    check_that(type(value) is float, f"the result must be a Python float, got {type(value).__name__}.")


@check("balancing_loss")
def even(balancing_loss):
    """k where the load is even"""
    got = balancing_loss(np.zeros((4, 4)), np.array([[0, 1], [2, 3], [1, 0], [3, 2]]))
    check_number(got)
    causes = {
        "half of what it should be when two experts are chosen": 1.0,
        "the factor E is missing": 0.5,
        "the number of assignments was not divided by the tokens": 8.0,
    }
    check_close("the loss of an even load", got, 2.0, 1e-9, causes)


@check("balancing_loss")
def one_does_everything(balancing_loss):
    """E where everything goes to one expert with certainty"""
    logits = np.full((6, 5), -300.0)
    logits[:, 3] = 300.0
    check_close("the loss", balancing_loss(logits, np.full((6, 1), 3)), 5.0, 1e-9)


@check("balancing_loss")
def formula(balancing_loss, rng):
    """agrees with the sums written out, token by token"""
    for k in (1, 2, 3):
        logits, experts = routed(rng, tokens=11, k=k)
        got = balancing_loss(logits, experts)
        check_number(got)
        rows, count = range(11), 5
        shares = [sum(e in experts[n] for n in rows) / 11 for e in range(count)]
        means = [sum(soft(logits[n].tolist())[e] for n in rows) / 11 for e in range(count)]
        only = [sum(soft(logits[n].tolist())[e] for n in rows if e in experts[n]) / 11 for e in range(count)]
        causes = {
            "P was computed from the chosen experts only": count * sum(f * p for f, p in zip(shares, only)),
            "P was squared, f not used": count * sum(p * p for p in means),
            "f was squared, P not used": count * sum(f * f for f in shares),
            "the sum runs over mean logits instead of probabilities": count
            * float(np.dot(shares, logits.mean(axis=0))),
        }
        check_close(f"the loss for k = {k}", got, by_formula(logits, experts, rows), 1e-9, causes)


@check("balancing_loss")
def logits_far_apart(balancing_loss):
    """tokens with logits near 1000 and near -1000, and one with both: each token has its own maximum"""
    near = [0.0, 1.0, -0.5]
    logits = np.array([[1000 + z for z in near], [-1000 + z for z in near], [-2000.0, 2000.0, 0.0]])
    experts = np.array([[1], [1], [0]])
    got = balancing_loss(logits, experts)
    first, second, _ = soft(near)
    check_close("the loss", got, 3 * (2 / 3 * (2 * second + 1) / 3 + 1 / 3 * 2 * first / 3), 1e-9)


@check("balancing_loss")
def smallest_losses(balancing_loss, rng):
    """one expert, one token, all experts chosen, a mask that hides nothing or all but one"""
    for tokens, count, k in ((1, 1, 1), (3, 1, 1), (1, 4, 2), (4, 3, 3)):
        logits, experts = routed(rng, tokens, count, k)
        for mask in (None, np.ones(tokens, bool), np.arange(tokens) == 0):
            rows = range(tokens) if mask is None else np.flatnonzero(mask)
            name = (
                f"the loss of {tokens} tokens, {count} experts, k = {k}, mask {None if mask is None else mask.tolist()}"
            )
            check_close(name, balancing_loss(logits, experts, mask), by_formula(logits, experts, rows), 1e-12)


@check("balancing_loss")
def unused_experts_count(balancing_loss, rng):
    """the last experts may be without any token"""
    logits, _ = routed(rng, tokens=6)
    experts = np.tile([0, 1], (6, 1))
    check_close("the loss", balancing_loss(logits, experts), by_formula(logits, experts, range(6)), 1e-9)


@check("balancing_loss")
def padding(balancing_loss, rng):
    """padding counts neither as work, nor as probability, nor as a token"""
    logits, experts = routed(rng, tokens=12)
    mask = np.ones(12, bool)
    mask[rng.choice(12, 5, replace=False)] = False
    logits[~mask], experts[~mask] = 4 * logits[~mask, ::-1], [4, 0]
    causes = {
        "padded tokens were counted": by_formula(logits, experts, range(12)),
        "the mask was turned round": by_formula(logits, experts, np.flatnonzero(~mask)),
        "the sums were divided by all tokens": by_formula(logits, experts, np.flatnonzero(mask)) * (7 / 12) ** 2,
    }
    check_close(
        "the loss",
        balancing_loss(logits, experts, mask),
        by_formula(logits, experts, np.flatnonzero(mask)),
        1e-9,
        causes,
    )


inputs_stay_unchanged("top_k_routing", "dispatch", "combine", "balancing_loss")
