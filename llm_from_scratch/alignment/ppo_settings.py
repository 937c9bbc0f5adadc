"""The settings of PPO: every detail that implementations differ in, as one named switch each.

Beside each stands what the trl library calls it, in the release with the first trainer (0.7.4, `PPOTrainer.step`) and
in the later one (0.15.2, `PPOTrainer.train`), and what differs there. `TABLE` is the same for a program. Of
two differences no setting speaks: 0.15.2 puts the score on the token after the end wherever there is room, ours and
0.7.4 on the last real one; and some of what it reports are means over padding too, which ours never are.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .advantages import CHARGES

# field: (its name in trl 0.7.4, its name in trl 0.15.2, what differs); "-": there is no such setting.
TABLE: dict[str, tuple[str, str, str]] = {
    "answers": ("batch_size", "batch_size (computed)", ""),
    "minibatch": ("mini_batch_size × gradient_accumulation_steps", "batch_size / num_mini_batches",
                  "an optimiser step each; trl averages means of micro-batches, ours is the mean over all tokens"),
    "epochs": ("ppo_epochs", "num_ppo_epochs", "4 by default in both; 1 here, as in InstructGPT"),
    "max_new_tokens": ("argument of generate", "response_length", ""),
    "temperature": ("argument of generate", "temperature (0.7)",
                    "0.7.4 leaves log-probabilities at temperature 1, whatever was sampled at; 0.15.2 and ours take "
                    "all three (policy, sampled, reference) at the temperature of sampling"),
    "beta": ("init_kl_coef (0.2)", "kl_coef (0.05)", ""),
    "kl_target": ("target (6), with adap_kl_ctrl", "-", "None keeps beta fixed, as adap_kl_ctrl=False"),
    "kl_horizon": ("horizon (10000)", "-", "both count answers"),
    "charge": ("kl_penalty: kl, abs, mse", "-", "here difference, absolute, squared; theirs \"full\" is left out"),
    "gamma": ("gamma", "gamma", ""),
    "lam": ("lam", "lam", ""),
    "clip": ("cliprange", "cliprange", ""),
    "value_clip": ("cliprange_value", "cliprange_value", "None switches it off; in trl only a large number does"),
    "value_coefficient": ("vf_coef", "vf_coef", "all have the 1/2 inside; 0.15.2 learns the token after the end, too"),
    "whiten_advantages": ("always", "always", "over the whole rollout in all three"),
    "whiten_rewards": ("whiten_rewards", "whiten_rewards",
                       "the mean is kept in all; in 0.7.4 whitened padding flows into the advantages"),
    "unbiased": ("always True", "always True", "the variance over n - 1"),
    "score_normalisation": ("use_score_scaling, use_score_norm", "-",
                            "\"running\" is both together; \"initial\" keeps the first rollout's moments"),
    "score_clip": ("score_clip", "-", "after the normalisation in both"),
    "cut_off": ("-", "missing_eos_penalty",
                "theirs is subtracted from the score, our \"penalty\" replaces it; nothing there bootstraps"),
    "cut_off_penalty": ("-", "missing_eos_penalty (None)", "ours is the score itself, so it is mostly negative"),
    "critic": ("shared", "separate", "0.7.4: a new head on the policy; 0.15.2: any value_model"),
    "dropout": ("the model's own, summary_dropout_prob (0.1)", "always off",
                "0.7.4 trains with dropout, so that the ratio is not 1 at the start"),
    "stop_moved": ("early_stopping, target_kl", "-", "0.7.4 stops above 1.5 × target_kl, ours above the number itself"),
    "pretraining_coefficient": ("-", "-", "InstructGPT's PPO-ptx"),
}  # fmt: skip

CRITICS = ("reward model", "policy", "shared")
CUT_OFF = ("score", "penalty", "bootstrap")
NORMALISATIONS = ("none", "initial", "running")


@dataclasses.dataclass(frozen=True)
class PPOSettings:
    """How rollouts are made, rewarded and learned from. Learning rate, steps and clipping are `TrainingSettings`'.

    answers: how many are sampled in an iteration. minibatch: answers an optimiser step; it divides `answers`. epochs:
    how often a rollout is gone over. max_new_tokens: where an answer is cut off. temperature: of sampling, and of every
    log-probability (policy, sampled, reference), or ratio and KL would be those of another policy than the one that
    sampled; top-k and top-p do not exist here for the same reason.

    beta: the price of a nat of KL from the reference. kl_target: nats an answer that an adaptive beta aims at; None
    keeps it fixed. kl_horizon: answers over which it adapts, by at most 20 % of answers / horizon an iteration. charge:
    which estimate of the KL a token pays, see `advantages.CHARGES`.

    gamma, lam: of `generalized_advantages`. clip, value_clip, value_coefficient: of `ppo_loss`. whiten_advantages:
    over the whole rollout. whiten_rewards: the spread of the rewards a token is made 1 before advantages are computed.
    unbiased: which variance whitening takes.

    score_normalisation: "none"; "initial": (score - mean) / spread of the first iteration's scores; "running": of all
    scores so far. score_clip: afterwards to at most so much, either way. cut_off: an answer without an end is given its
    "score" as if it had ended; a "penalty" in its place; or no score, and the critic's expectation of the rest stands
    in for it ("bootstrap"). cut_off_penalty: that penalty, in units of normalised scores.

    critic: begins as a copy of the "reward model", or of the "policy" with a new head; or is a head on the policy,
    which "shared" with it learns for both. dropout: on while training. stop_moved: the rest of a rollout is left out
    when the policy has moved this far, in nats a token (`ppo_statistics`); None never. pretraining_coefficient: weight
    of the mean loss on pretraining texts (PPO-ptx).

    What trl calls each of these, and what differs there, is `TABLE`; `print(PPOSettings.table())` shows it.
    """

    answers: int = 64
    minibatch: int = 16
    epochs: int = 1
    max_new_tokens: int = 48
    temperature: float = 1.0
    beta: float = 0.05
    kl_target: float | None = None
    kl_horizon: int = 2000
    charge: str = "difference"
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2
    value_clip: float | None = 0.2
    value_coefficient: float = 0.5
    whiten_advantages: bool = True
    whiten_rewards: bool = False
    unbiased: bool = False
    score_normalisation: str = "initial"
    score_clip: float | None = None
    cut_off: str = "penalty"
    cut_off_penalty: float = -1.0
    critic: str = "reward model"
    dropout: bool = False
    stop_moved: float | None = None
    pretraining_coefficient: float = 0.0

    def __post_init__(self) -> None:
        for name in ("answers", "minibatch", "epochs", "max_new_tokens", "kl_horizon"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.answers % self.minibatch:
            raise ValueError(f"minibatch ({self.minibatch}) must divide answers ({self.answers})")
        for name in ("temperature", "clip", "value_clip", "kl_target", "score_clip", "stop_moved"):
            value = getattr(self, name)
            optional = name not in ("temperature", "clip")
            if not (optional and value is None) and not (_number(value) and value > 0):
                raise ValueError(f"{name} must be above 0{' or None' * optional}, got {value!r}")
        for name in ("beta", "value_coefficient", "pretraining_coefficient"):
            value = getattr(self, name)
            if not (_number(value) and value >= 0):
                raise ValueError(f"{name} must be at least 0, got {value!r}")
        for name in ("gamma", "lam"):
            value = getattr(self, name)
            if not (_number(value) and 0 <= value <= 1):
                raise ValueError(f"{name} must lie in 0..1, got {value!r}")
        if not _number(self.cut_off_penalty):
            raise ValueError(f"cut_off_penalty must be a finite number, got {self.cut_off_penalty!r}")
        known = {"critic": CRITICS, "cut_off": CUT_OFF, "score_normalisation": NORMALISATIONS, "charge": tuple(CHARGES)}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")

    @property
    def steps_an_iteration(self) -> int:
        """Optimiser steps that a rollout gives."""
        return self.epochs * (self.answers // self.minibatch)

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return dataclasses.asdict(self)

    @staticmethod
    def table() -> str:
        """Every setting, its default, and what it is called in trl."""
        rows = [("setting", "default", "trl 0.7.4", "trl 0.15.2", "what differs")]
        rows += [(f.name, repr(f.default), *TABLE[f.name]) for f in dataclasses.fields(PPOSettings)]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        return "\n".join("  ".join([*(f"{row[k]:{widths[k]}}" for k in range(4)), row[4]]).rstrip() for row in rows)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
