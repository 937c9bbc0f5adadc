"""Chapter 21 exercises: what a reward model minimises, and what PPO does with its scores.

Plain NumPy, pure functions: nothing that was handed in is changed, float32 in gives float32 out. Whatever stands
outside a mask is arbitrary, and the result there is 0.

Symbols: N answers, T tokens; mask (N, T) is True at an answer's own tokens, which stand side by side in their row.

Replace each `raise NotImplementedError(...)` by your code, in any order, and run as often as you like:

    python -m llm_from_scratch grade ch21              # add --dir FOLDER if this file stands elsewhere
    python -m llm_from_scratch grade ch21 --hint       # one more step of advice for each --hint
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


# Task 1 of 5: easy, about 15 minutes, 2 points
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
    raise NotImplementedError("pair_loss")


# Task 2 of 5: medium, about 20 minutes, 2 points
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
    raise NotImplementedError("token_rewards")


# Task 3 of 5: medium, about 30 minutes, 3 points
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
    raise NotImplementedError("advantages")


# Task 4 of 5: hard, about 30 minutes, 3 points
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
    raise NotImplementedError("clipped_loss")


# Task 5 of 5: easy, about 15 minutes, 2 points
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
    raise NotImplementedError("debiased_preference")
