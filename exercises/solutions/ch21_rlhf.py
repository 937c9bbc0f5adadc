"""Chapter 21 exercises: what a reward model minimises, and what PPO does with its scores.

Plain NumPy, pure functions: nothing that was handed in is changed, float32 in gives float32 out. Whatever stands
outside a mask is arbitrary, and the result there is 0.

Symbols: N answers, T tokens; mask (N, T) is True at an answer's own tokens, which stand side by side in their row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from llm_from_scratch.grading import task


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "loss_of_pairs: the sum was not divided by N": "The loss is a mean over pairs, and so is its gradient.",
        "loss_of_pairs: the margin was added to the lead": "A margin makes it harder to win: subtract it.",
        "gradients: the two have the same sign": "More for the chosen answer lowers the loss.",
        "far_apart: inf, nan or RuntimeWarning: overflow": (
            "exp(-lead) overflows for a lead of -1000. np.logaddexp(0, -lead) is ln(1 + exp(-lead)) without it, and "
            "its slope can be written with tanh: 1 / (1 + exp(x)) = (1 - tanh(x / 2)) / 2."
        ),
    },
    why="""The gradient is the probability that the model gave to the wrong outcome: a pair that is told apart well
    teaches nothing more. It only ever moves the difference of two rewards, so their level is left open; that is why
    reward models are centred after training.""",
)
def pair_loss(
    chosen: np.ndarray, rejected: np.ndarray, margin: np.ndarray | float = 0.0
) -> tuple[float, np.ndarray, np.ndarray]:
    """Bradley-Terry's loss of a batch of pairs, and its gradients.

    chosen, rejected: (N,), rewards of the better and of the worse answer, of any size
    margin: (N,) or one number, by how much the better one has to win
    returns: the mean of -ln σ(chosen - rejected - margin), a float; its gradients (N,) for chosen and for rejected

    >>> loss, d_chosen, d_rejected = pair_loss(np.array([2.0, 0.0]), np.array([1.0, 0.0]))
    >>> round(loss, 4), d_chosen.round(4).tolist(), d_rejected.round(4).tolist()
    (0.5032, [-0.1345, -0.25], [0.1345, 0.25])
    """
    lead = chosen - rejected - margin
    loss = float(np.logaddexp(0, -lead).mean())
    d_lead = -((1 - np.tanh(lead / 2)) / 2 / len(lead)).astype(chosen.dtype)
    return loss, d_lead, -d_lead


@task(
    points=2,
    difficulty="medium",
    minutes=20,
    hints={
        "score_at_the_end: the score stands on the last column": (
            "The rows are filled up: an answer's last real token is the last True of its mask, not the last column."
        ),
        "score_at_the_end: the score stands one token after the end": "The end is the last True itself.",
        "per_token: the divergence was charged with the wrong sign": (
            "A token that is more probable than the reference thinks costs: -beta (log p - log p_ref)."
        ),
        "outside_is_nothing: what stands outside the mask was used": "Padding may hold anything, also nan.",
    },
    why="""Spreading the KL over the tokens tells each of them what it costs, and the sum over an answer is what a
    penalty at its end would be. Where the score stands matters as much: one token too far, it lies in the padding,
    the masked sums never see it, and training goes on without a reward and without an error.""",
)
def token_rewards(
    log_p: np.ndarray, log_p_ref: np.ndarray, scores: np.ndarray, mask: np.ndarray, beta: float
) -> np.ndarray:
    """What each token of an answer is rewarded with: its share of the KL, and for the last one the score.

    log_p, log_p_ref: (N, T), log-probability of the token that was sampled, from the policy and from the reference
    scores: (N,)
    mask: (N, T) bool; a row has at least one True, and may begin late and end early
    beta: what a nat costs
    returns: (N, T), 0 outside the mask

    >>> token_rewards(np.array([[-1.0, -2.0, 9.0]]), np.array([[-1.5, -1.0, 7.0]]), np.array([3.0]),
    ...               np.array([[True, True, False]]), 0.1).round(2).tolist()
    [[-0.05, 3.1, 0.0]]
    """
    rewards = np.where(mask, -beta * (log_p - log_p_ref), 0).astype(log_p.dtype)
    last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    rewards[np.arange(len(mask)), last] += scores
    return rewards


@task(
    points=3,
    difficulty="medium",
    minutes=30,
    hints={
        "by_definition: the advantages of later tokens are missing": (
            "A_t = δ_t + gamma lam A_{t+1}: go from the last token to the first, and carry A along."
        ),
        "by_definition: lam stands beside the value": "δ_t = r_t + gamma V_{t+1} - V_t has no lam; the sum over δ has.",
        "late_and_early: what stands outside the mask flowed in": (
            "After an answer's last token nothing is expected, whatever the padding says: V = 0, or last_values."
        ),
        "cut_off: the value after the last token was not used": (
            "An answer that was cut off has not ended: last_values stands in for V after its last token."
        ),
    },
    why="""lam is a dial between two ways to say how good a token was: what the critic thinks one token later (lam = 0,
    little noise, as wrong as the critic), and what came out in the end (lam = 1, right, and noisy). Padding is where
    implementations differ silently: values of padded tokens are numbers, too, and one of them next to the end changes
    every advantage before it.""",
)
def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    gamma: float,
    lam: float,
    last_values: np.ndarray | None = None,
) -> np.ndarray:
    """Generalised advantage estimation.

    rewards, values: (N, T), values[n, t] what was expected before token t was chosen
    mask: (N, T) bool; the True of a row stand side by side, and may begin late and end early
    gamma, lam: between 0 and 1
    last_values: (N,), what is expected after the last token of each answer; None is 0 for all
    returns: (N, T), 0 outside the mask

    >>> ones = np.ones((1, 3))
    >>> advantages(np.array([[0.0, 0.0, 1.0]]), 0.5 * ones, ones > 0, 1.0, 0.5).tolist()
    [[0.125, 0.25, 0.5]]
    """
    result = np.zeros_like(rewards)
    advantage = np.zeros(len(rewards), rewards.dtype)
    following = np.zeros(len(rewards), rewards.dtype) if last_values is None else last_values
    for t in reversed(range(mask.shape[1])):
        here = mask[:, t]
        reward, value = np.where(here, rewards[:, t], 0), np.where(here, values[:, t], 0)
        surprise = reward + gamma * following - value
        advantage = np.where(here, surprise + gamma * lam * advantage, advantage)
        following = np.where(here, value, following)
        result[:, t] = np.where(here, advantage, 0)
    return result


@task(
    points=3,
    difficulty="hard",
    minutes=30,
    hints={
        "clips: a good token gained beyond the clip": (
            "For A > 0 nothing is gained by a ratio above 1 + clip: the loss is flat there, and the gradient 0."
        ),
        "clips: the clip also holds where the ratio has gone the wrong way": (
            "It is the smaller of both, ratio × A and clipped ratio × A: a good token below 1 - clip is still drawn up."
        ),
        "formula: the mean was taken over all places, padding included": "Divide by the number of True in the mask.",
        "slopes: the gradient misses the ratio": "d ratio / d log p = ratio, where the clip does not hold.",
    },
    why="""The smaller of the two makes the objective a pessimist: it never counts on more than the clip allows, and
    still sees every loss. Clipping the ratio alone (without the minimum) would also flatten the slope that leads back,
    and tokens that went astray would stay there.""",
)
def clipped_loss(
    log_p: np.ndarray, old_log_p: np.ndarray, advantages: np.ndarray, mask: np.ndarray, clip: float = 0.2
) -> tuple[float, np.ndarray]:
    """PPO's loss of the policy, and its gradient for log_p.

    log_p, old_log_p: (N, T), log-probability of the sampled token now, and when it was sampled
    advantages: (N, T); mask: (N, T) bool, at least one True
    clip: how far the ratio exp(log_p - old_log_p) may go from 1
    returns: the mean over True of -min(ratio A, clip(ratio, 1 - clip, 1 + clip) A), a float; its gradient (N, T)

    >>> loss, slope = clipped_loss(np.log([[1.5, 0.9]]), np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 2), bool))
    >>> round(loss, 4), slope.round(4).tolist()           # -(1.2 + 0.9) / 2; the first has gained enough
    (-1.05, [[0.0, -0.45]])
    """
    ratio = np.exp(np.where(mask, log_p - old_log_p, 0))
    advantage = np.where(mask, advantages, 0)
    free = ratio * advantage
    held = np.clip(ratio, 1 - clip, 1 + clip) * advantage
    count = mask.sum()
    loss = -float(np.minimum(free, held).sum() / count)
    slope = np.where(mask & (free <= held), -free / count, 0).astype(log_p.dtype)
    return loss, slope


@task(
    points=2,
    difficulty="easy",
    minutes=15,
    hints={
        "both_orders: only one order was asked": "Ask the judge twice, a first and b first, and average.",
        "both_orders: the second answer was not turned round": (
            'When b is shown first, the judge\'s probability of "the first" is that of b: take 1 minus it.'
        ),
        "probabilities: the logits were averaged": "Average probabilities: softmax first.",
        "far_apart_logits: nan or overflow": "Subtract the larger of the two logits before exp.",
    },
    why="""A judge that likes whatever stands first says 0.9 to both orders; turned round and averaged that is 0.5, no
    opinion, which is what it has. Averaging logits would cancel a constant leaning too, but a judge that is sure in
    one order and undecided in the other would count as nearly sure.""",
)
def debiased_preference(
    judge: Callable[[str, str, str], tuple[float, float]], prompts: list[str], a: list[str], b: list[str]
) -> np.ndarray:
    """How probable a judge finds it that a is the better answer, whichever stands first.

    judge: called as judge(prompt, first, second), gives the logits of "the first is better", "the second is better"
    prompts, a, b: lists of equal length
    returns: (N,) float64 in 0..1, the mean of both orders

    >>> always_first = lambda prompt, first, second: (2.0, 0.0)
    >>> debiased_preference(always_first, ["Why?"], ["Because."], ["No."]).round(4).tolist()
    [0.5]
    """

    def first_wins(prompt: str, first: str, second: str) -> float:
        logits = np.array(judge(prompt, first, second), np.float64)
        e = np.exp(logits - logits.max())
        return float(e[0] / e.sum())

    return np.array([(first_wins(p, x, y) + 1 - first_wins(p, y, x)) / 2 for p, x, y in zip(prompts, a, b)])
