"""What the grader looks at in chapter 7. Nothing is hidden: read on if a message leaves you wondering.

Expected answers are computed for one query at a time, from the definition, over all keys at once; expected gradients
are central differences of that.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, check_equal, inputs_stay_unchanged


def row(query, keys, values, scale=None):
    """One query over the keys it may see: its answer, and the log of its sum of exponentials."""
    scale = 1 / math.sqrt(len(query)) if scale is None else scale
    scores = [float(query @ key) * scale for key in keys]
    weights = [math.exp(s - max(scores)) for s in scores]
    answer = sum(w * value for w, value in zip(weights, values)) / sum(weights)
    return answer, max(scores) + math.log(sum(weights))


def plain(q, k, v, scale=None, sees=None):
    """sees(t): how many of the first keys query t may see; by default t + 1."""
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for index in np.ndindex(q.shape[:-1]):
        lead, t = index[:-1], index[-1]
        n = t + 1 if sees is None else sees(t)
        y[index] = row(q[index], k[lead][:n], v[lead][:n], scale)[0]
    return y


def drawn(rng, *lead, T=5, D=4, E=3):
    return rng.normal(size=(*lead, T, D)), rng.normal(size=(*lead, T, D)), rng.normal(size=(*lead, T, E)) * 2


def apart(rng, *lead, T=4):
    """Scores near -1e6 for even queries and near +1e6 for odd ones, those of query 2 spread over thousands."""
    q, k, v = np.zeros((*lead, T, 4)), np.zeros((*lead, T, 4)), rng.normal(size=(*lead, T, 3)) * 2
    q[..., 0], q[..., 1], k[..., 0] = -1000.0, 1.0, 2000.0
    q[..., 1::2, 0] = 1000.0
    q[..., 2:3, 1] = 1000.0
    k[..., 1] = rng.uniform(-4, 4, size=(*lead, T))
    return q, k, v


def parts(result, count, what):
    if type(result) is not tuple or len(result) != count:
        raise CheckFailed(f"the result must be a tuple of {count} ({what}), got {type(result).__name__}.")
    return result


# --- attention ---


def masked_late(q, k, v):
    weights = np.exp(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    return np.tril(weights / weights.sum(-1, keepdims=True)) @ v


@check("attention")
def by_hand(attention, rng):
    """5 queries and keys of width 4, values of width 3"""
    q, k, v = drawn(rng)
    causes = {
        "keys of the future are seen": plain(q, k, v, sees=lambda t: 5),
        "scores are not divided by sqrt(D)": plain(q, k, v, scale=1.0),
        "scores are divided by D": plain(q, k, v, scale=0.25),
        "scores are divided by the root of the number of tokens": plain(q, k, v, scale=5**-0.5),
        "masked after the softmax: the weights no longer add up to 1": masked_late(q, k, v),
    }
    check_close("y", attention(q, k, v), plain(q, k, v), 1e-9, causes)


@check("attention")
def any_batch_axes(attention, rng):
    """no batch axis, one, and two: each matrix on its own"""
    for lead in ((), (3,), (2, 3)):
        q, k, v = drawn(rng, *lead, T=4)
        check_close(f"y with batch axes {lead}", attention(q, k, v), plain(q, k, v), 1e-9)


@check("attention")
def the_future_is_hidden(attention, rng):
    """an enormous last key and value move no earlier answer"""
    q, k, v = drawn(rng)
    first = plain(q, k, v)[:-1]
    k[-1], v[-1] = 20 * k[-1], 50 * v[-1]
    check_close("the answers before the last", np.asarray(attention(q, k, v))[:-1], first, 1e-9)
    k[-1] = 0
    k[-1, 0], q[:, 0] = 30_000.0, 1.0  # a score of 15,000 for every query
    causes = {
        "a finite number stands where -inf should: a key of the future with a large enough score is still seen": plain(
            q, k, v, sees=lambda t: 5
        )[:-1]
    }
    right = plain(q, k, v)[:-1]
    check_close("the answers before a score of 15,000", np.asarray(attention(q, k, v))[:-1], right, 1e-9, causes)


@check("attention")
def large_scores(attention):
    """scores of 800 do not overflow"""
    q = np.full((3, 4), 20.0)
    k, v = np.full((3, 4), 20.0), np.arange(12.0).reshape(3, 4)
    check_close("y", attention(q, k, v), plain(q, k, v), 1e-9)


@check("attention")
def rows_far_apart(attention, rng):
    """queries with scores near -1e6 and others near 1e6, in one matrix and in several: each row has its own maximum"""
    for lead in ((), (2,)):
        q, k, v = apart(rng, *lead)
        finite = plain(q, k, v)
        for t in (0, 2):
            finite[..., t, :] = v[..., t + 1 :, :].mean(axis=-2)
        causes = {"keys of the future are seen: the finite number that hides them lies above these scores": finite}
        check_close(f"y with batch axes {lead}", attention(q, k, v), plain(q, k, v), 1e-7, causes)


@check("attention")
def smallest_sizes(attention, rng):
    """one token, width 1: the answer is its value"""
    for T, D, E in ((1, 4, 3), (3, 1, 2), (1, 1, 1)):
        q, k, v = drawn(rng, T=T, D=D, E=E)
        check_close(f"y for T = {T}, D = {D}, E = {E}", attention(q, k, v), plain(q, k, v), 1e-9)


@check("attention")
def keeps_float32(attention, rng):
    """float32 in, float32 out"""
    q, k, v = (x.astype(np.float32) for x in drawn(rng, 2))
    check_close("y", attention(q, k, v), plain(q, k, v).astype(np.float32), 1e-4)


# --- cached_attention ---


def feed(cached_attention, q, k, v, sizes):
    """The whole text in pieces: all answers, and the past after each."""
    answers, pasts, past, start = [], [], None, 0
    for size in sizes:
        stop = start + size
        result = cached_attention(q[..., start:stop, :], k[..., start:stop, :], v[..., start:stop, :], past)
        y, past = parts(result, 2, "the answers and the new past")
        parts(past, 2, "keys and values")
        answers.append(np.asarray(y))
        pasts.append(past)
        start = stop
    return np.concatenate(answers, axis=-2), pasts


@check("cached_attention")
def an_empty_cache(cached_attention, rng):
    """past None: plain causal attention"""
    q, k, v = drawn(rng, 2)
    y, _ = parts(cached_attention(q, k, v, None), 2, "the answers and the new past")
    causes = {
        "keys of the future are seen": plain(q, k, v, sees=lambda t: 5),
        "scores are not divided by sqrt(D)": plain(q, k, v, scale=1.0),
        "scores are divided by D": plain(q, k, v, scale=0.25),
    }
    check_close("y", y, plain(q, k, v), 1e-9, causes)


@check("cached_attention")
def one_token_at_a_time(cached_attention, rng):
    """six pieces of one token give what the whole text gives"""
    q, k, v = drawn(rng, 2, T=6)
    y, _ = feed(cached_attention, q, k, v, [1] * 6)
    causes = {
        "each new token sees the first key only": plain(q, k, v, sees=lambda t: 1),
        "what is remembered is not looked at": v,
    }
    check_close("y", y, plain(q, k, v), 1e-9, causes)


@check("cached_attention")
def in_pieces(cached_attention, rng):
    """pieces of 3, 1 and 4 tokens"""
    q, k, v = drawn(rng, T=8)
    causes = {
        "the mask counts queries from 0: the triangle is in the upper left corner": plain(
            q, k, v, sees=lambda t: [1, 2, 3, 1, 1, 2, 3, 4][t]
        ),
        "new tokens see each other's future": plain(q, k, v, sees=lambda t: 3 if t < 3 else 4 if t < 4 else 8),
    }
    check_close("y", feed(cached_attention, q, k, v, [3, 1, 4])[0], plain(q, k, v), 1e-9, causes)


@check("cached_attention")
def the_cache_grows(cached_attention, rng):
    """the new past holds all keys and values, in their order; the old one stays as it was"""
    q, k, v = drawn(rng, 2, T=6)
    _, pasts = feed(cached_attention, q, k, v, [2, 3, 1])
    for seen, (keys, values) in zip((2, 5, 6), pasts):
        check_equal(f"the keys after {seen} tokens", keys, k[:, :seen])
        check_equal(f"the values after {seen} tokens", values, v[:, :seen])


@check("cached_attention")
def far_apart_in_pieces(cached_attention, rng):
    """queries with scores near -1e6 and others near 1e6, in pieces of 2, 1 and 3 tokens"""
    q, k, v = apart(rng, 2, T=6)
    check_close("y", feed(cached_attention, q, k, v, [2, 1, 3])[0], plain(q, k, v), 1e-7)


@check("cached_attention")
def two_texts_in_turns(cached_attention, rng):
    """two texts side by side, a token of each in turns: neither hears of the other"""
    texts = [drawn(rng, T=4) for _ in range(2)]
    pasts, answers = [None, None], [[], []]
    for t in range(4):
        for number, (q, k, v) in enumerate(texts):
            given = (q[t : t + 1], k[t : t + 1], v[t : t + 1], pasts[number])
            y, pasts[number] = parts(cached_attention(*given), 2, "the answers and the new past")
            answers[number].append(np.asarray(y))
    for number, (q, k, v) in enumerate(texts):
        got = np.concatenate(answers[number])
        check_close(f"the answers in text {number + 1}", got, plain(q, k, v), 1e-9)


# --- attention_backward ---


def differences(dy, q, k, v, h=1e-5):
    """Central differences of sum(dy y) towards every entry of q, k and v."""
    gradients = []
    for x in (q, k, v):
        gradient = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            kept = x[index]
            x[index] = kept + h
            above = (dy * plain(q, k, v)).sum()
            x[index] = kept - h
            gradient[index] = (above - (dy * plain(q, k, v)).sum()) / (2 * h)
            x[index] = kept
        gradients.append(gradient)
    return gradients


def backward_case(rng, *lead, T=4):
    q, k, v = drawn(rng, *lead, T=T, D=3, E=2)
    return rng.normal(size=(*lead, T, 2)), q, k, v


def probabilities(q, k, masked=True, scale=None):
    weights = np.exp(q @ k.swapaxes(-1, -2) * (scale or q.shape[-1] ** -0.5))
    weights = np.tril(weights) if masked else weights
    return weights / weights.sum(-1, keepdims=True)


def by_jacobians(dy, q, k, v):
    """One query at a time, with the whole Jacobian of its softmax; the scores may lie anywhere."""
    dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
    scale = q.shape[-1] ** -0.5
    for t in range(len(q)):
        scores = [float(q[t] @ k[j]) * scale for j in range(t + 1)]
        p = np.array([math.exp(s - max(scores)) for s in scores])
        p /= p.sum()
        ds = (np.diag(p) - np.outer(p, p)) @ (v[: t + 1] @ dy[t]) * scale
        for j in range(t + 1):
            dq[t] += ds[j] * k[j]
            dk[j] += ds[j] * q[t]
            dv[j] += p[j] * dy[t]
    return dq, dk, dv


@check("attention_backward")
def values(attention_backward, rng):
    """dv, against central differences"""
    dy, q, k, v = backward_case(rng)
    P = probabilities(q, k)
    causes = {
        "P is not transposed: rows and columns changed places": P @ dy,
        "the mask is missing in the weights: keys of the future are seen": probabilities(q, k, masked=False).T @ dy,
        "scores are not divided by sqrt(D)": probabilities(q, k, scale=1.0).T @ dy,
        "scores are divided by D": probabilities(q, k, scale=1 / 3).T @ dy,
    }
    _, _, dv = parts(attention_backward(dy, q, k, v), 3, "dq, dk, dv")
    check_close("dv", dv, differences(dy, q, k, v)[2], 1e-7, causes)


@check("attention_backward")
def queries_and_keys(attention_backward, rng):
    """dq and dk, against central differences"""
    dy, q, k, v = backward_case(rng)
    dq, dk, _ = parts(attention_backward(dy, q, k, v), 3, "dq, dk, dv")
    right_q, right_k, _ = differences(dy, q, k, v)
    P, dP, scale = probabilities(q, k), dy @ v.T, 3**-0.5
    alone, unweighted = P * dP * scale, P * (dP - dP.sum(-1, keepdims=True)) * scale
    over_queries = P * (dP - (P * dP).sum(0, keepdims=True)) * scale
    seen = probabilities(q, k, masked=False)
    unmasked = seen * (dP - (seen * dP).sum(-1, keepdims=True)) * scale
    for name, got, right, other in (("dq", dq, right_q, lambda dS: dS @ k), ("dk", dk, right_k, lambda dS: dS.T @ q)):
        causes = {
            "the scale is missing in the backward": right / scale,
            "the scale stands in it twice": right * scale,
            "each weight was treated on its own: the term from the shared sum is missing": other(alone),
            "dP is summed without the weights P": other(unweighted),
            "the sum of P dP goes over keys, not over queries": other(over_queries),
            "the mask is missing in the weights: keys of the future are seen": other(unmasked),
        }
        check_close(name, got, right, 1e-7, causes)


@check("attention_backward")
def heads(attention_backward, rng):
    """with batch and head axes, each head on its own; against Jacobians, to ten digits"""
    dy, q, k, v = backward_case(rng, 2, 2, T=3)
    got = parts(attention_backward(dy, q, k, v), 3, "dq, dk, dv")
    right = [np.zeros(x.shape) for x in (q, k, v)]
    for index in np.ndindex(q.shape[:-2]):
        for whole, one in zip(right, by_jacobians(dy[index], q[index], k[index], v[index])):
            whole[index] = one
    for name, mine, whole in zip(("dq", "dk", "dv"), got, right):
        check_close(name, mine, whole, 1e-10)


@check("attention_backward")
def hidden_keys(attention_backward, rng):
    """a gradient for the first answer alone reaches no later key or value, and no query"""
    dy, q, k, v = backward_case(rng)
    dy[1:] = 0
    dq, dk, dv = (np.asarray(g) for g in parts(attention_backward(dy, q, k, v), 3, "dq, dk, dv"))
    expected = np.zeros(v.shape)
    expected[0] = dy[0]
    check_close("dv", dv, expected, 1e-9)
    worst = max(np.abs(dq).max(), np.abs(dk).max())
    if not worst < 1e-12:
        raise CheckFailed(f"dq and dk must be zero here, got entries of {worst:.3g}", "token 0 sees only itself.")


@check("attention_backward")
def large_scores_backward(attention_backward, rng):
    """scores of 800 and more do not overflow"""
    dy, q, k, v = backward_case(rng)
    q[:], k[:] = 25.0, 25.0
    got = parts(attention_backward(dy, q, k, v), 3, "dq, dk, dv")
    expected = np.stack([sum(dy[t] / (t + 1) for t in range(j, 4)) for j in range(4)])
    check_close("dv", got[2], expected, 1e-9)


@check("attention_backward")
def rows_far_apart_backward(attention_backward, rng):
    """queries with scores near -1e6 and others near 1e6: each row has its own maximum; the future stays hidden"""
    q, k, v = apart(rng)
    dy = rng.normal(size=v.shape)
    got = parts(attention_backward(dy, q, k, v), 3, "dq, dk, dv")
    for name, mine, right in zip(("dq", "dk", "dv"), got, by_jacobians(dy, q, k, v)):
        check_close(name, mine, right, 1e-7 * max(1.0, float(np.abs(right).max())))


# --- online_attention ---


class Blocks:
    """Keys and values in blocks that all lie in the same memory; they can be gone through once."""

    def __init__(self, k, v, sizes):
        self.k, self.v, self.sizes, self.begun = k, v, sizes, False

    def __iter__(self):
        if self.begun:
            raise CheckFailed("the blocks were gone through a second time; they come only once")
        self.begun = True
        keys = np.empty((max(self.sizes), self.k.shape[1]))
        values = np.empty((max(self.sizes), self.v.shape[1]))
        start = 0
        for size in self.sizes:
            keys[:size], values[:size] = self.k[start : start + size], self.v[start : start + size]
            yield keys[:size], values[:size]
            start += size


def both(online_attention, q, k, v, sizes, causes=None, tolerance=1e-9):
    result = parts(online_attention(q, Blocks(k, v, sizes)), 2, "y and log_sum_exp")
    rows = [row(query, k, v) for query in q]
    expected = np.array([answer for answer, _ in rows])
    check_close(f"y, blocks of {sizes}", result[0], expected, tolerance, causes)
    return result[1], np.array([log_sum for _, log_sum in rows])


def keys_along(rng, scores):
    """Keys that give a query of (2, 0) the scores wanted, up to sqrt(2)."""
    return np.stack([np.array(scores) / math.sqrt(2), rng.normal(size=len(scores))], axis=1)


@check("online_attention")
def one_block(online_attention, rng):
    """all keys in one block: plain attention without a mask"""
    q, k, v = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    causes = {
        "scores are not divided by sqrt(D)": np.array([row(query, k, v, 1.0)[0] for query in q]),
        "scores are divided by D": np.array([row(query, k, v, 0.25)[0] for query in q]),
    }
    both(online_attention, q, k, v, [6], causes)


@check("online_attention")
def two_blocks(online_attention, rng):
    """the larger scores come in the second block"""
    q, k, v = np.array([[2.0, 0.0]]), keys_along(rng, [0.0, 0.3, 1.5, 2.0]), rng.normal(size=(4, 3))
    first, second = (np.exp(np.array(s) - max(s)) for s in ([0.0, 0.3], [1.5, 2.0]))
    careless = (first @ v[:2] + second @ v[2:]) / (first.sum() + second.sum())
    causes = {
        "what came before a new maximum was not rescaled": careless[None],
        "only the last block counts: blocks were kept, and overwritten": row(q[0], k[2:], v[2:])[0][None],
        "the answers of the blocks were averaged": np.array(
            [(row(q[0], k[:2], v[:2])[0] + row(q[0], k[2:], v[2:])[0]) / 2]
        ),
    }
    both(online_attention, q, k, v, [2, 2], causes)


@check("online_attention")
def the_maximum_falls(online_attention, rng):
    """the larger scores come first, or rise and fall, in blocks of different sizes"""
    q, v = np.array([[2.0, 0.0]]), rng.normal(size=(7, 3))
    for scores in ([3.0, 2.5, 0.2, 0.0, -1.0, 0.5, 0.1], [0.0, 4.0, 1.0, 6.0, 2.0, 5.0, 7.0]):
        for sizes in ([3, 2, 2], [1] * 7, [1, 4, 2]):
            both(online_attention, q, keys_along(rng, scores), v, sizes)


@check("online_attention")
def many_queries(online_attention, rng):
    """each query has a maximum of its own"""
    q, k, v = rng.normal(size=(5, 3)) * 3, rng.normal(size=(9, 3)), rng.normal(size=(9, 3))
    both(online_attention, q, k, v, [4, 4, 1])


@check("online_attention")
def memory_is_reused(online_attention, rng):
    """blocks are gone when the next one comes, and are not changed"""
    q, k, v = rng.normal(size=(2, 3)), rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    last = np.array([row(query, k[6:], v[6:])[0] for query in q])
    both(online_attention, q, k, v, [2, 2, 2, 2], {"only the last block counts: blocks were kept": last})


@check("online_attention")
def large_scores_in_blocks(online_attention, rng):
    """scores that rise from block to block by 1000 and more, and such that fall"""
    for scores in ([-1200.0, 0.0, 1000.0, 1001.0], [1001.0, 1000.0, 0.0, -1200.0]):
        q, k = np.array([[2.0, 0.0]]), keys_along(rng, scores)
        both(online_attention, q, k, rng.normal(size=(4, 3)), [1, 1, 1, 1])


@check("online_attention")
def very_small_scores(online_attention, rng):
    """scores near -2000: the running maximum begins at -inf, not at 0"""
    scores = [-2000.0, -2001.0, -1999.5, -2000.5]
    q, k, v = np.array([[2.0, 0.0]]), keys_along(rng, scores), rng.normal(size=(4, 3))
    for sizes in ([4], [2, 2], [1, 1, 1, 1]):
        got, expected = both(online_attention, q, k, v, sizes)
        check_close(f"log_sum_exp, blocks of {sizes}", got, expected, 1e-8)


@check("online_attention")
def queries_far_apart(online_attention, rng):
    """one query with scores near -1e6, one with scores near 1e6, one in between: each has a maximum of its own"""
    q = np.array([[-1e6, 1.0], [1e6, 1.0], [1.0, 1.0]])
    k = np.stack([np.full(6, math.sqrt(2)), rng.normal(size=6)], axis=1)
    for sizes in ([6], [2, 3, 1]):
        both(online_attention, q, k, rng.normal(size=(6, 3)), sizes, tolerance=1e-7)


@check("online_attention")
def a_wide_spread(online_attention, rng):
    """scores from -3000 to 3000 within one block: the largest is subtracted, no mean and no other"""
    scores = [-3000.0, 0.0, 3000.0, 2999.0, -1.0, 1.0]
    for order in (scores, scores[::-1]):
        for sizes in ([6], [3, 3], [1, 5]):
            both(online_attention, np.array([[2.0, 0.0]]), keys_along(rng, order), rng.normal(size=(6, 3)), sizes)


@check("online_attention")
def log_sum_exp(online_attention, rng):
    """the logarithm of the sum of exp(score), over all blocks"""
    q, k, v = rng.normal(size=(4, 3)) * 2, rng.normal(size=(7, 3)) * 2, rng.normal(size=(7, 2))
    got, expected = both(online_attention, q, k, v, [3, 4])
    causes = {
        "the maximum is missing: the sum is measured from it": expected
        - np.array([max(float(query @ key) / math.sqrt(3) for key in k) for query in q]),
        "it is the sum, not its logarithm": np.exp(expected),
    }
    check_close("log_sum_exp", got, expected, 1e-9, causes)


# --- merge ---


def halves(rng, lead=(), spread=1.0):
    """Answers over two sets of keys, and over both together."""
    q, k, v = rng.normal(size=(*lead, 3)) * spread, rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    found = []
    for part in (slice(0, 3), slice(3, 7), slice(0, 7)):
        y, log_sum = np.zeros((*lead, 2)), np.zeros(lead)
        for index in np.ndindex(lead):
            y[index], log_sum[index] = row(q[index], k[part], v[part])
        found += [y, log_sum]
    return found


def joined(merge, *given):
    return parts(merge(*given), 2, "y and log_sum_exp")


@check("merge")
def two_halves(merge, rng):
    """3 keys on one side, 4 on the other, against all 7 at once"""
    y1, l1, y2, l2, y, log_sum = halves(rng, (5,), 2.0)
    got = joined(merge, y1, l1, y2, l2)
    causes = {
        "the answers were averaged": (y1 + y2) / 2,
        "the halves changed places": np.exp(l2 - log_sum)[:, None] * y1 + np.exp(l1 - log_sum)[:, None] * y2,
        "the answers were added": y1 + y2,
        "the log-sum-exps themselves were taken for weights": (l1[:, None] * y1 + l2[:, None] * y2)
        / (l1 + l2)[:, None],
    }
    check_close("y", got[0], y, 1e-9, causes)
    causes = {"the log-sum-exps were added": l1 + l2, "it is their maximum": np.maximum(l1, l2)}
    check_close("log_sum_exp", got[1], log_sum, 1e-9, causes)


@check("merge")
def batch_axes(merge, rng):
    """(2, 3) queries at once, and a single one"""
    for lead in ((2, 3), ()):
        y1, l1, y2, l2, y, log_sum = halves(rng, lead)
        got = joined(merge, y1, l1, y2, l2)
        check_close(f"y with leading axes {lead}", got[0], y, 1e-9)
        check_close(f"log_sum_exp with leading axes {lead}", got[1], log_sum, 1e-9)


@check("merge")
def far_apart(merge, rng):
    """log-sum-exps of 2000 and -2000 on either side: no overflow, and the larger one wins"""
    y1, y2 = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    l1 = np.array([2000.0, -2000.0, -2000.0, 2000.0])
    l2 = np.array([-2000.0, -2000.0 + math.log(3), 2000.0, 2000.0 + math.log(3)])
    y, log_sum = joined(merge, y1, l1, y2, l2)
    check_close("y", y, np.stack([y1[0], (y1[1] + 3 * y2[1]) / 4, y2[2], (y1[3] + 3 * y2[3]) / 4]), 1e-9)
    check_close("log_sum_exp", log_sum, np.array([2000.0, -2000.0 + math.log(4), 2000.0, 2000.0 + math.log(4)]), 1e-8)


@check("merge")
def nothing_seen(merge, rng):
    """a half without keys changes nothing; two of them give 0 and -inf"""
    y1, l1 = rng.normal(size=(3, 2)), rng.normal(size=3)
    y1[2], l1[2] = 0, -np.inf
    none, never = np.zeros((3, 2)), np.full(3, -np.inf)
    for name, given in {"the second": (y1, l1, none, never), "the first": (none, never, y1, l1)}.items():
        y, log_sum = joined(merge, *given)
        check_close(f"y where {name} half saw nothing", y, y1, 1e-9)
        check_close("log_sum_exp of the queries that saw something", np.asarray(log_sum)[:2], l1[:2], 1e-9)
        check_equal("log_sum_exp of the query that saw nothing", float(np.asarray(log_sum)[2]), -np.inf)


inputs_stay_unchanged("attention", "cached_attention", "attention_backward", "online_attention", "merge")
