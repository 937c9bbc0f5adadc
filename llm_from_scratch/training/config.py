"""The settings of a training run: one dataclass, checked when made, the same in JSON.

Everything that decides the numbers of a run stands here (and in the model and the data), so that a run can be repeated
from its checkpoint alone. Wall-clock time is no setting: a time budget is turned into a number of steps beforehand.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from .adam import Adam
from .adamw import AdamW
from .lion import Lion
from .optimizer import Optimizer
from .schedules import SCHEDULES
from .sgd import SGD
from .storage import STORAGES
from .workers import resolve_threads

OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "adam": Adam, "lion": Lion, "sgd": SGD}
# These change how often a run is saved and looked at, or who remembers what, not what it computes: a resumed run may
# use others.
FREE_TO_CHANGE = ("checkpoint_every", "keep", "statistics_every", "shard_optimizer")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    steps: updates in all. micro_batches: batches whose gradients make up one update.
    learning_rate: the peak; schedule, warmup (steps) and final_learning_rate: its course, see `schedules`.
    total_tokens: how many targets the run has in all, if its batches are not all of one size: the rate then follows the
    tokens trained on (warmup in steps of average size), for a step with more of them is a larger part of the run.
    optimizer: "adamw", "adam", "lion" or "sgd"; betas, eps, weight_decay: what it has of these (the first beta is SGD's
    momentum). clip: the longest gradient allowed (0 switches clipping off).
    evaluate_every, checkpoint_every: in steps; 0 means at the end only. keep: how many checkpoints to keep.
    statistics_every: in steps; 0 measures nothing, see `statistics`.
    storage: "bfloat16" keeps weights and what the optimiser remembers in two bytes a number, see `storage`; what is
    computed stays float32. stochastic_rounding: up or down by chance, so that steps smaller than the distance of two
    such numbers are not lost; False rounds to the nearest.
    shard_optimizer: where several processes train together, each remembers and updates its share of the weights, see
    `parallel`; the numbers are the same.
    recompute: each block's activations are computed again in the backward pass and not kept, see `Decoder.recompute`.
    threads: shards a batch is divided into, over all processes that train together; None is replaced by the number of
    cores when training begins, because sums over other shards differ in the last digits. seed: for dropout.

    >>> TrainingSettings(steps=100, warmup=10).lr(9)
    0.001
    """

    steps: int
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    schedule: str = "cosine"
    warmup: int = 0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    micro_batches: int = 1
    evaluate_every: int = 0
    checkpoint_every: int = 0
    keep: int = 2
    threads: int | None = None
    seed: int = 0
    optimizer: str = "adamw"
    total_tokens: int | None = None
    storage: str = "float32"
    stochastic_rounding: bool = True
    recompute: bool = False
    statistics_every: int = 0
    shard_optimizer: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2 or not all(map(_is_number, self.betas)):
            raise TypeError(f"betas must be two numbers, got {self.betas!r}")
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, least in (("steps", 1), ("micro_batches", 1), ("keep", 1), ("warmup", 0), ("evaluate_every", 0),
                            ("checkpoint_every", 0), ("seed", 0), ("statistics_every", 0)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.total_tokens is not None:
            if isinstance(self.total_tokens, bool) or not isinstance(self.total_tokens, int):
                raise TypeError(f"total_tokens must be a whole number or None, got {self.total_tokens!r}")
            if self.total_tokens < 1:
                raise ValueError(f"total_tokens must be at least 1, got {self.total_tokens}")
        if self.schedule == "exponential" and not (self.learning_rate and self.final_learning_rate):
            raise ValueError(
                "an exponential schedule goes between rates above 0, "
                f"got {self.learning_rate} and {self.final_learning_rate}"
            )
        for name in ("learning_rate", "final_learning_rate", "eps", "weight_decay", "clip"):
            value = getattr(self, name)
            if not _is_number(value):
                raise TypeError(f"{name} must be a number, got {value!r}")
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and at least 0, got {value}")
        for name in ("stochastic_rounding", "recompute", "shard_optimizer"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is True or False, got {getattr(self, name)!r}")
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS), ("storage", STORAGES)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        if self.warmup > self.steps:
            raise ValueError(f"the warmup of {self.warmup} steps is longer than the run of {self.steps}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        resolve_threads(self.threads)

    def lr(self, step: int, tokens: float = 0) -> float:
        """The learning rate of update number `step`, counted from 0, before which so many tokens were trained on.

        >>> growing = TrainingSettings(steps=4, learning_rate=1.0, schedule="linear", total_tokens=400)
        >>> growing.lr(1, tokens=40), growing.lr(2, tokens=80), growing.lr(3, tokens=240)
        (0.9, 0.8, 0.4)
        """
        place = step if self.total_tokens is None else self.steps * tokens / self.total_tokens
        return SCHEDULES[self.schedule](
            place, peak=self.learning_rate, warmup=self.warmup, total=self.steps, final=self.final_learning_rate
        )

    def make_optimizer(self, params: Any) -> Optimizer:
        """The optimiser for these parameters, or groups of them."""
        own: dict[str, Any] = {"betas": self.betas, "eps": self.eps}
        if self.optimizer == "sgd":
            own = {"momentum": self.betas[0]}
        elif self.optimizer == "lion":
            del own["eps"]
        made = OPTIMIZERS[self.optimizer](
            params, lr=self.learning_rate, weight_decay=self.weight_decay, threads=self.threads, **own
        )  # type: ignore[call-arg]
        made.rounding_seed = self.rounding_seed
        return made

    @property
    def rounding_seed(self) -> int | None:
        """What the optimiser rounds by, where it has to round: see `Optimizer`."""
        return self.seed if self.stochastic_rounding else None

    def to_json(self) -> dict[str, Any]:
        """A dict for JSON; `from_json` reads it back."""
        data = {**dataclasses.asdict(self), "betas": list(self.betas)}
        if not self.shard_optimizer:  # what one process writes says nothing of several
            del data["shard_optimizer"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingSettings:
        """ValueError for names that are no settings.

        >>> TrainingSettings.from_json(TrainingSettings(steps=3).to_json()) == TrainingSettings(steps=3)
        True
        """
        if not isinstance(data, Mapping):
            raise TypeError(f"training settings are an object, got {data!r}")
        known = {field.name for field in dataclasses.fields(cls)}
        surplus, missing = sorted(set(data) - known), {"steps"} - set(data)
        if surplus or missing:
            raise ValueError(
                f"unknown training settings {surplus}" if surplus else "the training settings lack 'steps'"
            )
        return cls(**data)

    def differences(self, other: TrainingSettings) -> list[str]:
        """In words, what `other` would compute differently.

        >>> TrainingSettings(steps=3, seed=1).differences(TrainingSettings(steps=3, keep=9))
        ['seed: 1, now 0']
        """
        mine, theirs = self.to_json(), other.to_json()
        return [
            f"{name}: {mine[name]}, now {theirs[name]}"
            for name in mine
            if name not in FREE_TO_CHANGE and mine[name] != theirs[name]
        ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
