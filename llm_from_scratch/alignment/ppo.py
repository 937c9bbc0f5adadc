"""Proximal policy optimisation on answers that were sampled before: the clipped losses, as a function and an objective.

A rollout says for every token of an answer what was chosen, how probable that was, what the critic expected, and what
came of it. The loss makes good tokens more probable, and lets no token gain by moving further from where it was sampled
than the clip. Glossary: ρ = π / π_old of a token, A its advantage, V the critic's value, R the return.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor, as_tensor, no_grad
from ..training.objectives import IGNORE, Batch
from .checking import finite, not_negative, per_token, positive
from .ppo_settings import PPOSettings


def ppo_loss(
    log_probabilities: Any,
    old_log_probabilities: Any,
    advantages: Any,
    values: Any,
    old_values: Any,
    returns: Any,
    mask: Any,
    *,
    clip: float = 0.2,
    value_clip: float | None = 0.2,
    value_coefficient: float = 0.1,
    normaliser: float | None = None,
) -> Tensor:
    """The policy's loss + value_coefficient × the critic's, each a mean over the tokens that count: a single number.

        policy   -min(ρ A, clip(ρ, 1 - clip, 1 + clip) A)
        critic   1/2 max((V - R)², (clip(V, V_old - value_clip, V_old + value_clip) - R)²)

    All are (N, T). log_probabilities and values are those of the model that trains, and get gradients; the others were
    noted when the answers were sampled. Tokens outside the mask change nothing, whatever stands there. Where a clip
    holds, the gradient is 0: of a good token that has gained enough, of a bad one that has lost enough, never the
    other way round. value_clip: None switches it off. normaliser: divide the sums by this in place of the tokens that
    count, for shards of one batch.

    Raises ValueError for numbers that are not finite, other shapes, a mask without True, a clip that is not positive.

    >>> half, one = np.log([[0.5]]), np.ones((1, 1))
    >>> ppo_loss(half + 0.5, half, one, one, one, one, one)         # ρ = 1.65 earns no more than 1.2 would
    Tensor(-1.2)
    >>> ppo_loss(half - 0.5, half, one, 2 * one, one, one, one)     # ρ = 0.61; V is 1 off: 0.1 × 1/2
    Tensor(-0.5565)

    Source: Schulman et al. 2017, arXiv:1707.06347, equation 7; Ouyang et al. 2022, arXiv:2203.02155, appendix C.4.
    """
    ours, critic = as_tensor(log_probabilities), as_tensor(values)
    clip = positive("clip", clip)
    value_clip = None if value_clip is None else positive("value_clip", value_clip)
    value_coefficient = not_negative("value_coefficient", value_coefficient)
    told = {"old_log_probabilities": old_log_probabilities, "advantages": advantages, "returns": returns}
    *noted, _, _, real = per_token(mask, **told, old_values=old_values, log_probabilities=ours.data, values=critic.data)
    total = positive("normaliser", real.sum() if normaliser is None else normaliser)
    old, advantage, goal, before = (Tensor(array[real]) for array in noted)
    return _loss(
        ours[real], old, advantage, critic[real], before, goal,
        clip=clip, value_clip=value_clip, value_coefficient=value_coefficient, normaliser=total,
    )  # fmt: skip


def _loss(
    ours: Tensor, old: Tensor, advantage: Tensor, value: Tensor, before: Tensor, goal: Tensor,
    *, clip: float, value_clip: float | None, value_coefficient: float, normaliser: float,
) -> Tensor:  # fmt: skip
    """`ppo_loss` of the tokens that count alone, (n,) each."""
    ratio = F.exp(ours - old)
    gain = F.minimum(ratio * advantage, F.clip(ratio, 1 - clip, 1 + clip) * advantage).sum()
    error = (value - goal) * (value - goal)
    if value_clip is not None:
        held = F.clip(value, before - value_clip, before + value_clip) - goal
        error = F.maximum(error, held * held)
    return (error.sum() * (0.5 * value_coefficient) - gain) / normaliser


class PPO:
    """The objective of a minibatch of a rollout: its count are the tokens of the answers.

    A batch has "ids" and "targets" (the answer's tokens; -100 elsewhere), and beside them "old_log_probabilities",
    "advantages", "old_values" and "returns", all (N, T); with a pretraining mix also "pretraining_ids",
    "pretraining_targets" (N, T') and "pretraining_weight" (N,). The model is an `ActorCritic`.
    """

    def __init__(self, settings: PPOSettings) -> None:
        self.settings = settings
        self.__name__ = "PPO"

    def count(self, batch: Batch) -> float:
        """The tokens that are learned from."""
        return float(np.count_nonzero(batch["targets"] != IGNORE))

    def __call__(
        self, model: Any, batch: Batch, *, normaliser: float, rng: np.random.Generator | None = None
    ) -> Tensor:
        settings, real = self.settings, batch["targets"] != IGNORE
        rng = rng if settings.dropout else None
        ours, values = model.answers(batch, temperature=settings.temperature, rng=rng)
        noted = [batch[name][real] for name in ("old_log_probabilities", "advantages", "old_values", "returns")]
        for name, array in zip(("log-probabilities", "values"), (ours.data, values.data)):
            finite(name, array)
        old, advantage, before, goal = map(Tensor, noted)
        loss = _loss(
            ours, old, advantage, values[real], before, goal, clip=settings.clip, value_clip=settings.value_clip,
            value_coefficient=settings.value_coefficient, normaliser=normaliser,
        )  # fmt: skip
        if settings.pretraining_coefficient == 0:
            return loss
        # Each row's weight is answer tokens / pretraining tokens of its minibatch: so both parts are means over tokens.
        texts = {name: batch[f"pretraining_{name}"] for name in ("ids", "targets")}
        nats = -model.policy.token_log_probabilities(texts, rng=rng).sum(axis=1)
        weight = batch["pretraining_weight"].astype(nats.dtype) * (settings.pretraining_coefficient / normaliser)
        return loss + (nats * Tensor(weight)).sum()


def ppo_statistics(model: Any, batch: Batch, settings: PPOSettings) -> dict[str, float]:
    """How far the policy has moved from where a batch was sampled, as means over the answers' tokens alone.

    "ratio": of ρ. "clipped": the share of tokens whose ρ lies beyond the clip. "moved": 1/2 the squared change of the
    log-probability, which is about the KL divergence between both. "value_error": the mean squared error of the critic.
    """
    real = batch["targets"] != IGNORE
    with no_grad():
        ours, values = model.answers(batch, temperature=settings.temperature)
    change = ours.data - batch["old_log_probabilities"][real]
    ratio = np.exp(change)
    error = values.data[real] - batch["returns"][real]
    return {
        "ratio": float(ratio.mean()),
        "clipped": float((np.abs(ratio - 1) > settings.clip).mean()),
        "moved": float(np.square(change).mean() / 2),
        "value_error": float(np.square(error).mean()),
    }
