"""From the scores of answers to what each token did for them: rewards a token, advantages, whitening.

Everything here is arrays of one number a token, (N, T) in all: N answers, T tokens. `mask` says which tokens are an
answer's own; the prompt before it and the padding after it are not, and wherever they stand the result is 0.
Glossary: r_t the reward of token t, V_t what is expected before it is written, A_t its advantage, R_t the return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .checking import not_negative, one_a_row, per_token, probability

# What a token is charged for d = ln π - ln π_ref. The first has the KL divergence as its mean, the others keep the sign
# away: see http://joschu.net/blog/kl-approx.html for the last.
CHARGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "difference": lambda d: d,
    "absolute": np.abs,
    "squared": lambda d: d * d / 2,
    "low variance": lambda d: np.expm1(-d) + d,
}


def kl_rewards(
    log_probabilities: Any,
    reference_log_probabilities: Any,
    scores: Any,
    mask: Any,
    *,
    beta: float,
    charge: str = "difference",
) -> np.ndarray:
    """-beta (ln π - ln π_ref) for each token, and the score on the last real one: (N, T).

    log_probabilities, reference_log_probabilities (N, T); scores (N,); mask (N, T). The last real token is the one
    that ends the answer, or where it was cut off: never the padding after it. charge: what is paid in place of the
    difference, see `CHARGES`.

    Raises ValueError for a row without a real token, numbers that are not finite, other shapes, a negative beta.

    >>> kl_rewards([[-1.0, -2.0, 0.0]], [[-1.5, -1.0, 0.0]], [3.0], [[1, 1, 0]], beta=0.1)
    array([[-0.05,  3.1 ,  0.  ]])

    Source: Stiennon et al. 2020, arXiv:2009.01325, section 3.4; Ouyang et al. 2022, arXiv:2203.02155, equation 2.
    """
    ours, theirs, real = per_token(mask, log_probabilities=log_probabilities, reference=reference_log_probabilities)
    scores = one_a_row("scores", scores, ours)
    beta = not_negative("beta", beta)
    if charge not in CHARGES:
        raise ValueError(f"charge must be one of {', '.join(CHARGES)}; got {charge!r}")
    empty = np.flatnonzero(~real.any(axis=1))
    if empty.size:
        raise ValueError(
            f"answer {empty[0]} is empty: its mask has no real token, and there is none to put the score on"
        )
    zero = ours.dtype.type(0)
    rewards = np.where(real, -ours.dtype.type(beta) * CHARGES[charge](ours - theirs), zero)
    last = real.shape[1] - 1 - real[:, ::-1].argmax(axis=1)
    rewards[np.arange(len(real)), last] += scores
    return rewards


def generalized_advantages(
    rewards: Any, values: Any, mask: Any, *, gamma: float = 1.0, lam: float = 0.95, last_values: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Generalised advantage estimation: advantages and returns, (N, T) each.

        δ_t = r_t + γ V_{t+1} - V_t        A_t = δ_t + γ λ A_{t+1}        R_t = A_t + V_t

    rewards, values, mask (N, T). After the last real token nothing is expected, V = 0, unless last_values (N,) says
    what: an answer that was cut off has not ended, and what the critic expects of the rest stands in for it. λ = 1
    compares what came out with what was expected, λ = 0 looks one token ahead. Tokens inside an answer that are not
    real (what a tool said) are passed over.

    Raises ValueError for numbers that are not finite, other shapes, gamma or lam outside 0..1, a mask without True.

    >>> generalized_advantages([[0.0, 0.0, 1.0]], [[0.5, 0.5, 0.5]], [[1, 1, 1]], lam=0.5)
    (array([[0.125, 0.25 , 0.5  ]]), array([[0.625, 0.75 , 1.   ]]))

    Source: Schulman et al. 2015, arXiv:1506.02438, equation 16.
    """
    rewards, values, real = per_token(mask, rewards=rewards, values=values)
    gamma, lam = probability("gamma", gamma), probability("lam", lam)
    following = np.zeros(len(real), rewards.dtype)
    if last_values is not None:
        following = one_a_row("last_values", last_values, rewards)
    advantages = np.zeros_like(rewards)
    advantage = np.zeros(len(real), rewards.dtype)
    gamma, decay = rewards.dtype.type(gamma), rewards.dtype.type(gamma * lam)
    for t in reversed(range(real.shape[1])):
        here = real[:, t]
        surprise = rewards[:, t] + gamma * following - values[:, t]
        advantage = np.where(here, surprise + decay * advantage, advantage)
        following = np.where(here, values[:, t], following)
        advantages[:, t] = np.where(here, advantage, 0)
    return advantages, advantages + values


def whiten(x: Any, mask: Any, *, shift_mean: bool = True, unbiased: bool = False) -> np.ndarray:
    """To mean 0 and variance 1 over the places that count, all rows together; the others become 0. x, mask (N, T).

    shift_mean: False keeps the mean and changes the spread alone, for rewards, whose mean says something. unbiased: the
    variance over n - 1 as in the trl library, not over n. 1e-8 is added to the variance.

    Raises ValueError for numbers that are not finite, other shapes, a mask without True (unbiased: with one alone).

    >>> whiten([[1.0, 3.0, 9.0]], [[1, 1, 0]]).round(4)
    array([[-1.,  1.,  0.]])
    """
    x, real = per_token(mask, x=x)
    count = int(real.sum())
    if unbiased and count < 2:
        raise ValueError(
            "a variance over n - 1 needs two numbers, and the mask has one: unbiased=False, or more answers"
        )
    inside = x[real]
    mean = inside.mean(dtype=np.float64)  # a float32 sum over a whole rollout would lose digits
    variance = np.square(inside - mean).sum(dtype=np.float64) / (count - unbiased)
    white = ((x - mean) / np.sqrt(variance + 1e-8) + (0.0 if shift_mean else mean)).astype(x.dtype)
    return np.where(real, white, x.dtype.type(0))
