"""Losses of a reward model: from comparisons between answers to a number for each.

A comparison says nothing about a reward but that it is larger than another one, so rewards are defined up to a constant
for each prompt. Glossary: N prompts (or pairs), K answers to each, r their rewards, σ the logistic function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from .checking import answers, finite, floating, masked, positive


def reward_pair_loss(
    chosen: Any, rejected: Any, *, margin: Any = None, preference: Any = None, normaliser: float | None = None
) -> Tensor:
    """Bradley-Terry: mean -ln σ(r_chosen - r_rejected - margin). chosen, rejected (N,) -> a single number.

    margin: by how much the chosen one has to win, one number or (N,), none negative: LLaMA-2's, larger for pairs that
    were told apart clearly. preference (N,): how probable it is that "chosen" is the better one, for labels that are
    not sure (a judge's): then the loss is the cross-entropy with it, and without it 1. normaliser: divide the sum by
    this in place of N.

    Raises ValueError for rewards that are not finite or of other shapes, a negative margin, probabilities beyond 0..1.

    >>> reward_pair_loss([2.0, 0.0], [1.0, 0.0])                # (ln(1 + 1/e) + ln 2) / 2
    Tensor(0.5032)
    >>> reward_pair_loss([2.0], [1.0], margin=1.0)
    Tensor(0.6931)

    Source: Bradley & Terry 1952; Touvron et al. 2023 (LLaMA-2), arXiv:2307.09288, equation 2.
    """
    chosen, rejected = answers(chosen=floating(chosen), rejected=floating(rejected))
    lead = chosen - rejected
    if margin is not None:
        lead = lead - _beside("margin", margin, lead)
    if preference is None:
        losses = F.softplus(-lead)
    else:
        sure = _beside("preference", preference, lead)
        if sure.max() > 1:
            raise ValueError(f"a preference is a probability, at most 1; got {sure.max()}")
        losses = F.softplus(-lead) * Tensor(sure) + F.softplus(lead) * Tensor(1 - sure)
    return losses.sum() / _over(normaliser, lead.size)


def reward_ranking_loss(rewards: Any, mask: Any = None, *, normaliser: float | None = None) -> Tensor:
    """Plackett-Luce: how surprised the rewards are by a ranking. rewards (N, K), best first -> a single number.

    The ranking is drawn place by place, each time among the answers that are left, with odds exp(r): the loss is
    -Σ ln of these probabilities, summed over places, and the mean over rows. mask (N, K): False where a row has fewer
    than K answers. With two answers it is `reward_pair_loss`. normaliser: in place of N.

    Raises ValueError for rewards that are not finite, other shapes, or a row with fewer than two answers.

    >>> reward_ranking_loss([[2.0, 1.0, 0.0]])                  # ln(1 + 1/e + 1/e²) + ln(1 + 1/e)
    Tensor(0.7209)

    Source: Plackett 1975; Zhu et al. 2023 (Starling), arXiv:2301.11270.
    """
    rewards, real = _ranking(rewards, mask)
    places = np.arange(rewards.shape[1])
    left = real[:, None, :] & (places >= places[:, None])  # (N, place, K): who may still be drawn
    nothing = Tensor(np.asarray(-np.inf, rewards.dtype))
    surprises = F.logsumexp(F.where(left, rewards[:, None, :], nothing), axis=-1) - rewards
    zero = Tensor(np.zeros((), rewards.dtype))
    return F.where(real, surprises, zero).sum() / _over(normaliser, len(real))


def reward_all_pairs_loss(rewards: Any, mask: Any = None, *, normaliser: float | None = None) -> Tensor:
    """InstructGPT's loss of a ranking: Bradley-Terry over all its pairs, their mean in a row, then over rows.

    rewards (N, K), best first; mask (N, K): False where a row has fewer than K answers. normaliser: in place of N.
    All pairs of a prompt are in one batch because they are no independent data: as single pairs each answer would be
    seen K - 1 times in an epoch. Raises ValueError as `reward_ranking_loss`.

    >>> reward_all_pairs_loss([[2.0, 1.0, 0.0]])                # (2 ln(1 + 1/e) + ln(1 + 1/e²)) / 3
    Tensor(0.2512)

    Source: Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, equation 1.
    """
    rewards, real = _ranking(rewards, mask)
    better, worse = np.triu_indices(rewards.shape[1], k=1)
    counts = real[:, better] & real[:, worse]
    share = (counts / counts.sum(axis=1, keepdims=True)).astype(rewards.dtype)
    losses = F.softplus(rewards[:, worse] - rewards[:, better]) * Tensor(share)
    return losses.sum() / _over(normaliser, len(real))


def _ranking(rewards: Any, mask: Any) -> tuple[Tensor, np.ndarray]:
    """The rewards (N, K), those that are not real 0, and which are."""
    real, (rewards,) = masked(mask, rewards=floating(rewards))
    few = np.flatnonzero(real.sum(axis=1) < 2)
    if few.size:
        raise ValueError(f"row {few[0]} ranks {real[few[0]].sum()} answers: a ranking has at least 2")
    return F.where(real, rewards, Tensor(np.zeros((), rewards.dtype))), real


def _beside(name: str, value: Any, lead: Tensor) -> np.ndarray:
    """A setting for each pair, in the dtype of the rewards."""
    array = np.asarray(value, lead.dtype)
    if array.shape not in ((), lead.shape):
        raise ValueError(f"{name} has the shape {array.shape}, expected one number or {lead.shape}")
    finite(name, array)
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got {array.min()}")
    return array


def _over(normaliser: float | None, count: int) -> float:
    return positive("normaliser", count if normaliser is None else normaliser)
