"""What the grader looks at in chapter 21. Nothing is hidden: read on if a message leaves you wondering.

Everything expected is computed one answer and one token at a time, with Python's math, or known by heart.
"""

from __future__ import annotations

import math

import numpy as np

from llm_from_scratch.grading import CheckFailed, check, check_close, check_that, inputs_stay_unchanged


def parts(result, names):
    count = names.count(",") + 1
    if type(result) is not tuple or len(result) != count:
        raise CheckFailed(
            f"the result must be {count} things ({names}), got {type(result).__name__}.", f"return {names}"
        )
    return result


def number(value):
    check_that(type(value) is float, f"the loss must be a Python float, got {type(value).__name__}.", "float(...)")
    return value


def masks():
    """Answers that fill their row, end early, begin late, and are one token long."""
    return np.array(
        [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1]], bool
    )


# --- pair_loss ---


def surprise(lead):
    """-ln σ(lead), without overflow."""
    return math.log1p(math.exp(-lead)) if lead > 0 else -lead + math.log1p(math.exp(lead))


@check("pair_loss")
def loss_of_pairs(pair_loss, rng):
    """the mean of -ln σ(chosen - rejected - margin)"""
    for count in (1, 7):
        chosen, rejected, margin = rng.normal(size=count) + 0.5, rng.normal(size=count), rng.random(count) + 0.3
        for m in (0.0, 0.7, margin):
            leads = [c - r - x for c, r, x in zip(chosen, rejected, np.broadcast_to(m, count))]
            want = math.fsum(map(surprise, leads)) / count
            causes = {
                "the chosen and the rejected were mixed up": math.fsum(
                    surprise(-x - 2 * y) for x, y in zip(leads, np.broadcast_to(m, count))
                ) / count,
                "the margin was added to the lead": math.fsum(
                    surprise(x + 2 * y) for x, y in zip(leads, np.broadcast_to(m, count))
                ) / count,
                "the margin was left out": math.fsum(
                    surprise(x + y) for x, y in zip(leads, np.broadcast_to(m, count))
                ) / count,
                "the sum was not divided by N": want * count,
            }  # fmt: skip
            causes = {words: value for words, value in causes.items() if abs(value - want) > 1e-6}
            loss, *_ = parts(pair_loss(chosen, rejected, m), "loss, d_chosen, d_rejected")
            check_close(f"the loss of {count} pairs", number(loss), want, 1e-9, causes)


@check("pair_loss")
def gradients(pair_loss, rng):
    """how the loss moves when one reward does, by differences"""
    chosen, rejected, margin = rng.normal(size=5), rng.normal(size=5), rng.random(5)

    def loss(c, r):
        return math.fsum(surprise(x - y - m) for x, y, m in zip(c, r, margin)) / 5

    _, d_chosen, d_rejected = parts(pair_loss(chosen, rejected, margin), "loss, d_chosen, d_rejected")
    step = np.eye(5) * 1e-5
    want = np.array([(loss(chosen + s, rejected) - loss(chosen - s, rejected)) / 2e-5 for s in step])
    causes = {
        "it is that of the sum, not of the mean": want * 5,
        "it is σ of the lead, not of what is missing": -0.2 - want,
    }
    check_close("the gradient for chosen", d_chosen, want, 1e-7, causes)
    check_close("the gradient for rejected", d_rejected, -want, 1e-7, {"the two have the same sign": want})


@check("pair_loss")
def far_apart(pair_loss):
    """rewards thousands apart, either way"""
    chosen, rejected = np.array([2000.0, 0.0, -500.0]), np.array([0.0, 3000.0, -500.0])
    loss, d_chosen, _ = parts(pair_loss(chosen, rejected), "loss, d_chosen, d_rejected")
    check_close("the loss", number(loss), (3000 + math.log(2)) / 3, 1e-6)
    check_close("the gradient for chosen", d_chosen, np.array([0.0, -1 / 3, -1 / 6]), 1e-9)


@check("pair_loss")
def keeps_float32_in_pair_loss(pair_loss, rng):
    """float32 in, float32 gradients out"""
    chosen, rejected = rng.normal(size=(2, 4)).astype(np.float32)
    _, *slopes = parts(pair_loss(chosen, rejected, 0.5), "loss, d_chosen, d_rejected")
    for name, slope in zip(("chosen", "rejected"), slopes):
        check_that(slope.dtype == np.float32, f"the gradient for {name} must have dtype float32, got {slope.dtype}.")


# --- token_rewards ---


def rewards_by_hand(log_p, log_p_ref, scores, mask, beta, shift=0, sign=-1):
    out = np.zeros(mask.shape)
    for n in range(len(mask)):
        tokens = np.flatnonzero(mask[n])
        for t in tokens:
            out[n, t] = sign * beta * (log_p[n, t] - log_p_ref[n, t])
        place = min(tokens[-1] + shift, mask.shape[1] - 1)
        out[n, place] += scores[n]
    return out


def rollout(rng):
    mask = masks()
    log_p, log_p_ref = rng.normal(size=(2, *mask.shape)) - 2
    return log_p, log_p_ref, rng.normal(size=len(mask)) + 2, mask


@check("token_rewards")
def per_token(token_rewards, rng):
    """-beta times how much more probable the policy finds each token"""
    log_p, log_p_ref, scores, mask = rollout(rng)
    want = rewards_by_hand(log_p, log_p_ref, 0 * scores, mask, 0.7)
    causes = {
        "the divergence was charged with the wrong sign": -want,
        "beta was left out": want / 0.7,
        "policy and reference were compared as probabilities, not as logarithms": np.where(
            mask, -0.7 * (np.exp(log_p) - np.exp(log_p_ref)), 0
        ),
        "each token pays for the whole answer": np.where(mask, want.sum(axis=1, keepdims=True), 0),
    }
    check_close("the rewards", token_rewards(log_p, log_p_ref, 0 * scores, mask, 0.7), want, 1e-9, causes)


@check("token_rewards")
def score_at_the_end(token_rewards, rng):
    """the score is added at the last real token, not after it and not in the last column"""
    log_p, log_p_ref, scores, mask = rollout(rng)
    want = rewards_by_hand(log_p, log_p_ref, scores, mask, 0.1)
    none = rewards_by_hand(log_p, log_p_ref, 0 * scores, mask, 0.1)
    column = none.copy()
    column[:, -1] += scores
    first = none.copy()
    first[np.arange(6), mask.argmax(axis=1)] += scores
    count = none.copy()
    count[np.arange(6), mask.sum(axis=1) - 1] += scores
    causes = {
        "the score stands one token after the end": rewards_by_hand(log_p, log_p_ref, scores, mask, 0.1, shift=1),
        "the score stands on the last column": column,
        "the score stands on the first token": first,
        "the end was counted from the first column, though an answer may begin late": count,
        "the score was given to every token": np.where(mask, none + scores[:, None], 0),
        "the score replaced the last token's share of the KL": np.where(want - none != 0, want - none, none),
    }
    check_close("the rewards", token_rewards(log_p, log_p_ref, scores, mask, 0.1), want, 1e-9, causes)


@check("token_rewards")
def outside_is_nothing(token_rewards, rng):
    """what stands outside the mask is not read: nan there leaves zeros"""
    log_p, log_p_ref, scores, mask = rollout(rng)
    want = rewards_by_hand(log_p, log_p_ref, scores, mask, 0.1)
    got = token_rewards(np.where(mask, log_p, np.nan), np.where(mask, log_p_ref, -np.inf), scores, mask, 0.1)
    check_close("the rewards", got, want, 1e-9)


@check("token_rewards")
def keeps_float32_in_rewards(token_rewards, rng):
    """float32 in, float32 out"""
    log_p, log_p_ref, scores, mask = rollout(rng)
    given = [x.astype(np.float32) for x in (log_p, log_p_ref, scores)]
    want = rewards_by_hand(*given, mask, 0.1).astype(np.float32)
    check_close("the rewards", token_rewards(*given, mask, 0.1), want, 1e-5)


# --- advantages ---


def advantages_by_definition(rewards, values, mask, gamma, lam, rests):
    """A_t = Σ_k (gamma lam)^k δ_{t+k}, answer by answer."""
    out = np.zeros(mask.shape)
    for n in range(len(mask)):
        tokens = np.flatnonzero(mask[n])
        v = [*values[n, tokens], rests[n]]
        deltas = [rewards[n, t] + gamma * v[k + 1] - v[k] for k, t in enumerate(tokens)]
        for k, t in enumerate(tokens):
            out[n, t] = math.fsum((gamma * lam) ** j * d for j, d in enumerate(deltas[k:]))
    return out


def case(rng):
    mask = masks()
    rewards, values = rng.normal(size=(2, *mask.shape))
    return rewards, values + 1, mask


@check("advantages")
def by_definition(advantages, rng):
    """A_t is the sum of (gamma lam)^k δ_{t+k}"""
    rewards, values, mask = case(rng)
    rewards, values, mask = rewards[:1], values[:1], mask[:1]
    for gamma, lam in ((1.0, 0.95), (0.9, 0.5), (1.0, 0.0), (0.8, 1.0)):
        want = advantages_by_definition(rewards, values, mask, gamma, lam, [0.0])
        deltas = advantages_by_definition(rewards, values, mask, gamma, 0.0, [0.0])
        causes = {
            "the advantages of later tokens are missing": deltas,
            "these are the returns: V was added": want + values,
            "lam stands where gamma lam should, or the other way round": advantages_by_definition(
                rewards, values, mask, lam, gamma, [0.0]
            ),
        }
        causes = {words: wrong for words, wrong in causes.items() if np.abs(wrong - want).max() > 1e-6}
        check_close(f"the advantages for gamma = {gamma}, lam = {lam}", advantages(rewards, values, mask, gamma, lam),
                    want, 1e-9, causes)  # fmt: skip


@check("advantages")
def late_and_early(advantages, rng):
    """answers that begin late or end early, among padding that holds large numbers"""
    rewards, values, mask = case(rng)
    want = advantages_by_definition(rewards, values, mask, 0.9, 0.8, np.zeros(6))
    wild = np.where(mask, rewards, 1000.0), np.where(mask, values, -700.0)
    got = advantages(*wild, mask, 0.9, 0.8)
    check_that(np.shape(got) == mask.shape, f"the advantages must have the shape {mask.shape}, got {np.shape(got)}.")
    check_that(not np.asarray(got)[~mask].any(), "outside the mask the advantages must be 0.")
    check_close("the advantages", got, want, 1e-9)


@check("advantages")
def nothing_outside(advantages, rng):
    """nan outside the mask leaves zeros there and changes nothing inside"""
    rewards, values, mask = case(rng)
    want = advantages_by_definition(rewards, values, mask, 0.9, 0.8, np.zeros(6))
    got = advantages(*(np.where(mask, x, np.nan) for x in (rewards, values)), mask, 0.9, 0.8)
    check_close("the advantages", got, want, 1e-9)


@check("advantages")
def cut_off(advantages, rng):
    """what is expected after the last token, where the answer has not ended"""
    rewards, values, mask = case(rng)
    rests = rng.normal(size=6) + 2
    want = advantages_by_definition(rewards, values, mask, 0.9, 0.8, rests)
    causes = {
        "the value after the last token was not used": advantages_by_definition(
            rewards, values, mask, 0.9, 0.8, np.zeros(6)
        ),
        "it was not discounted by gamma": advantages_by_definition(rewards, values, mask, 0.9, 0.8, rests / 0.9),
    }
    check_close("the advantages", advantages(rewards, values, mask, 0.9, 0.8, rests), want, 1e-9, causes)


@check("advantages")
def keeps_float32_in_advantages(advantages, rng):
    """float32 in, float32 out"""
    rewards, values, mask = case(rng)
    given = [x.astype(np.float32) for x in (rewards, values)]
    want = advantages_by_definition(*given, mask, 0.9, 0.8, np.ones(6)).astype(np.float32)
    check_close("the advantages", advantages(*given, mask, 0.9, 0.8, np.ones(6, np.float32)), want, 1e-4)


# --- clipped_loss ---


def clipped_by_hand(log_p, old, adv, mask, clip):
    total = 0.0
    for n, t in np.argwhere(mask):
        ratio = math.exp(log_p[n, t] - old[n, t])
        total += min(ratio * adv[n, t], min(max(ratio, 1 - clip), 1 + clip) * adv[n, t])
    return -total / mask.sum()


def batch(rng):
    """Ratios on all sides of the clip, each with good and with bad tokens, none near a kink."""
    mask = masks()
    logs = rng.permuted(np.resize(np.log([0.5, 0.7, 0.95, 1.1, 1.4, 2.0]), mask.size)).reshape(mask.shape)
    old = rng.normal(size=mask.shape) - 2
    return old + logs, old, rng.choice([-1.0, 1.0], mask.shape) * (0.5 + rng.random(mask.shape)), mask


@check("clipped_loss")
def clips(clipped_loss):
    """good tokens gain nothing above 1 + clip, bad ones nothing below 1 - clip; the ways back stay open"""
    one = np.ones((1, 1))
    for ratio, advantage, clip, loss, slope in (
        (1.5, 2.0, 0.2, -2.4, 0.0), (0.5, -2.0, 0.2, 1.6, 0.0), (1.5, -2.0, 0.2, 3.0, 3.0),
        (0.5, 2.0, 0.2, -1.0, -1.0), (1.1, 2.0, 0.2, -2.2, -2.2), (0.9, -2.0, 0.2, 1.8, 1.8),
        (1.25, 2.0, 0.3, -2.5, -2.5), (1.25, 2.0, 0.1, -2.2, 0.0),
    ):  # fmt: skip
        got, found = parts(clipped_loss(one * math.log(ratio), 0 * one, advantage * one, one > 0, clip), "loss, slope")
        side = "good" if advantage > 0 else "bad"
        free, held = -ratio * advantage, -min(max(ratio, 1 - clip), 1 + clip) * advantage
        causes = {"nothing was clipped": free, "the clip also holds where the ratio has gone the wrong way": held}
        causes = {words: wrong for words, wrong in causes.items() if abs(wrong - loss) > 1e-6}
        name = f"a {side} token of ratio {ratio} at clip {clip}"
        check_close(f"the loss of {name}", number(got), loss, 1e-9, causes)
        found = float(np.asarray(found).reshape(-1)[0])
        check_that(abs(found - slope) < 1e-9, f"the gradient of {name} must be {slope:g}, got {found:g}.")


@check("clipped_loss")
def formula(clipped_loss, rng):
    """the mean over the tokens of answers, and of no others"""
    log_p, old, adv, mask = batch(rng)
    want = clipped_by_hand(log_p, old, adv, mask, 0.2)
    wild = [np.where(mask, x, 3.0) for x in (log_p, old, adv)]
    causes = {
        "the mean was taken over all places, padding included": want * mask.sum() / mask.size,
        "the sign is turned: the loss is minus what is gained": -want,
        "the sum was not divided": want * mask.sum(),
        "the mean of each answer was averaged": float(
            np.mean([clipped_by_hand(*(x[n : n + 1] for x in (log_p, old, adv, mask)), 0.2) for n in range(6)])
        ),
    }
    got, _ = parts(clipped_loss(*wild, mask), "loss, slope")
    check_close("the loss", number(got), want, 1e-9, causes)


@check("clipped_loss")
def slopes(clipped_loss, rng):
    """how the loss moves with each log-probability, by differences"""
    log_p, old, adv, mask = batch(rng)
    want = np.zeros(mask.shape)
    for place in np.ndindex(*mask.shape):
        step = np.zeros(mask.shape)
        step[place] = 1e-5
        ends = [clipped_by_hand(log_p + s * step, old, adv, mask, 0.2) for s in (1, -1)]
        want[place] = (ends[0] - ends[1]) / 2e-5
    ratio = np.exp(log_p - old)
    causes = {
        "the gradient misses the ratio": np.where(want != 0, want / ratio, 0),
        "the gradient is that without a clip": np.where(mask, -ratio * adv / mask.sum(), 0),
    }
    _, slope = parts(clipped_loss(log_p, old, adv, mask), "loss, slope")
    check_close("the gradient", slope, want, 1e-7, causes)


@check("clipped_loss")
def unread(clipped_loss, rng):
    """nan outside the mask changes nothing, and leaves a gradient of 0 there"""
    log_p, old, adv, mask = batch(rng)
    got, slope = parts(clipped_loss(*(np.where(mask, x, np.nan) for x in (log_p, old, adv)), mask), "loss, slope")
    check_close("the loss", number(got), clipped_by_hand(log_p, old, adv, mask, 0.2), 1e-9)
    check_that(not np.asarray(slope)[~mask].any(), "outside the mask the gradient must be 0.")


@check("clipped_loss")
def keeps_float32_in_loss(clipped_loss, rng):
    """float32 in, float32 gradient out"""
    log_p, old, adv, mask = batch(rng)
    _, slope = parts(clipped_loss(*(x.astype(np.float32) for x in (log_p, old, adv)), mask), "loss, slope")
    check_that(slope.dtype == np.float32, f"the gradient must have dtype float32, got {slope.dtype}.")


# --- debiased_preference ---


def judge_of(worth, leaning, spread=1.0):
    """A judge who knows what answers are worth, and likes whatever stands first by `leaning`."""

    def judge(prompt, first, second):
        lead = spread * (worth[prompt, first] - worth[prompt, second])
        return lead / 2 + leaning, -lead / 2 + 0.3

    return judge


def won(logits):
    top = max(logits)
    e = [math.exp(z - top) for z in logits]
    return e[0] / (e[0] + e[1])


def comparisons(rng, count=6):
    prompts = [f"prompt {k}" for k in range(count)]
    a, b = [f"a{k}" for k in range(count)], [f"b{k}" for k in range(count)]
    worth = {(p, x): float(w) for p, x, w in zip(prompts * 2, a + b, rng.normal(size=2 * count) * 2)}
    return prompts, a, b, worth


@check("debiased_preference")
def both_orders(debiased_preference, rng):
    """each pair is asked in both orders, and the second answer is turned round"""
    prompts, a, b, worth = comparisons(rng)
    judge = judge_of(worth, 1.5)
    first = np.array([won(judge(p, x, y)) for p, x, y in zip(prompts, a, b)])
    second = np.array([won(judge(p, y, x)) for p, x, y in zip(prompts, a, b)])
    causes = {
        "only one order was asked": first,
        "the second answer was not turned round": (first + second) / 2,
        "the probability that b is better stands there": 1 - (first + 1 - second) / 2,
        "only the winner was noted, not how probable it is": ((first > 0.5) * 1.0 + (second < 0.5)) / 2,
        "the two were multiplied": first * (1 - second),
    }
    check_close("the preferences", debiased_preference(judge, prompts, a, b), (first + 1 - second) / 2, 1e-9, causes)


@check("debiased_preference")
def no_opinion(debiased_preference):
    """a judge who always likes the first one has no opinion"""
    got = debiased_preference(lambda p, x, y: (3.0, -1.0), ["p"] * 4, list("abcd"), list("efgh"))
    check_close("the preferences", got, np.full(4, 0.5), 1e-9)


@check("debiased_preference")
def probabilities(debiased_preference, rng):
    """probabilities are averaged, not logits"""
    prompts, a, b, worth = comparisons(rng)
    judge = judge_of(worth, 4.0, spread=2.0)
    logits = [np.subtract(judge(p, x, y), judge(p, y, x)) / 2 for p, x, y in zip(prompts, a, b)]
    want = np.array([(won(judge(p, x, y)) + 1 - won(judge(p, y, x))) / 2 for p, x, y in zip(prompts, a, b)])
    causes = {"the logits were averaged": np.array([won(pair) for pair in logits])}
    check_close("the preferences", debiased_preference(judge, prompts, a, b), want, 1e-9, causes)


@check("debiased_preference")
def far_apart_logits(debiased_preference):
    """logits of thousands, of either sign"""
    answers = {("x", "y"): (5000.0, 4999.0), ("y", "x"): (-5000.0, -2000.0)}
    got = debiased_preference(lambda p, x, y: answers[x, y], ["p"], ["x"], ["y"])
    check_close("the preference", got, np.array([(1 / (1 + math.exp(-1)) + 1) / 2]), 1e-9)


@check("debiased_preference")
def own_pairs(debiased_preference, rng):
    """one pair alone, and pairs among which the same answer occurs again"""
    for count in (1, 4):
        prompts, _, _, _ = comparisons(rng, count)
        a, b = ["yes"] * count, ["no"] * count
        worth = {(p, x): float(w) for p, x, w in zip(prompts * 2, a + b, rng.normal(size=2 * count) * 3)}
        judge = judge_of(worth, 0.0)
        want = [(won(judge(p, "yes", "no")) + 1 - won(judge(p, "no", "yes"))) / 2 for p in prompts]
        check_close(
            f"the preferences of {count} pairs", debiased_preference(judge, prompts, a, b), np.array(want), 1e-9
        )


inputs_stay_unchanged("pair_loss", "token_rewards", "advantages", "clipped_loss", "debiased_preference")
