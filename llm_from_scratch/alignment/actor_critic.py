"""A policy and a critic, trained together: what `PPO` and `Rollouts` call the model.

The critic is a `RewardModel` with weights of its own, or a `ValueHead` on the policy's states, which then learn for
both. What remains of a training is the policy: that is what is saved, asked and generated with.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import functional as F
from ..autograd import Tensor
from ..layers import Module
from ..training.objectives import IGNORE
from .value_head import RewardModel, ValueHead


class ActorCritic(Module):
    """policy: a decoder. critic: a `RewardModel`, or a `ValueHead` for one that shares the policy's states.

    ValueError where both are the same decoder, or of different vocabularies.
    """

    def __init__(self, policy: Any, critic: RewardModel | ValueHead) -> None:
        self.policy, self.critic = policy, critic
        if isinstance(critic, RewardModel):
            if critic.model is policy:
                raise ValueError("the critic is the policy itself: pass its head alone to share, or critic.copy()")
            sizes = [part.spec.vocab_size for part in (policy, critic.model)]
            if sizes[0] != sizes[1]:
                raise ValueError(f"the policy knows {sizes[0]} tokens, the critic {sizes[1]}: they must be the same")
            if policy.dtype != critic.dtype:
                raise TypeError(f"the policy is {policy.dtype}, the critic {critic.dtype}: convert one with astype")

    @classmethod
    def of(cls, policy: Any, critic: str = "policy", reward_model: RewardModel | None = None) -> ActorCritic:
        """By the name that `PPOSettings.critic` has: "reward model" (a copy of it), "policy" or "shared"."""
        if critic == "reward model":
            if reward_model is None:
                raise ValueError(
                    "a critic that begins as the reward model needs one; without it choose critic='policy'"
                )
            return cls(policy, reward_model.copy())
        if critic == "policy":
            return cls(policy, RewardModel(copy.deepcopy(policy)))
        if critic == "shared":
            return cls(policy, ValueHead(policy.embedding_width).astype(policy.dtype))
        raise ValueError(f"a critic is 'reward model', 'policy' or 'shared', not {critic!r}")

    def answers(
        self, batch: Mapping[str, Any], *, temperature: float = 1.0, rng: np.random.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the targets that count, in a row (n,); and what the critic expects after each token.

        batch: "ids" and "targets" (B, T), filled up on the right. The values are (B, T): at a token that has a target,
        values[b, t] is what is expected before that target is chosen.
        """
        ids, targets = batch["ids"], np.asarray(batch["targets"])
        states = self.policy.states({"ids": ids}, rng=rng)
        log_probabilities = target_log_probabilities(self.policy, states, targets, temperature)
        if isinstance(self.critic, RewardModel):
            return log_probabilities, self.critic.values({"ids": ids}, rng=rng)
        return log_probabilities, self.critic(states)

    def token_log_probabilities(self, batch: Mapping[str, Any], **settings: Any) -> Tensor:
        """The policy's."""
        return self.policy.token_log_probabilities(batch, **settings)

    def generate(self, ids: Any, **settings: Any) -> np.ndarray:
        """The policy's."""
        return self.policy.generate(ids, **settings)

    def describe(self) -> dict[str, Any]:
        """What is needed to build it again, weights aside."""
        critic = self.critic.describe() if isinstance(self.critic, RewardModel) else "shared"
        return {"policy": self.policy.describe(), "critic": critic}

    def check_saving(self) -> None:
        """ValueError if the policy could not be saved as it is."""
        self.policy.check_saving()

    def save_pretrained(self, directory: str | os.PathLike[str], **settings: Any) -> None:
        """Write the policy alone; a checkpoint of the run has the critic too."""
        self.policy.save_pretrained(directory, **settings)


def target_log_probabilities(model: Any, states: Tensor, targets: np.ndarray, temperature: float = 1.0) -> Tensor:
    """Log-probabilities (n,) of the targets that count, row by row, under softmax(logits / temperature).

    The head reads these places alone: of a long prompt it needs to say nothing.
    """
    real = targets != IGNORE
    logits = model.head(states[real])
    if temperature != 1.0:
        logits = logits * (1.0 / temperature)
    return -F.cross_entropy(logits, targets[real], reduction="none")
