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
from .workers import resolve_threads

OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "adam": Adam, "lion": Lion, "sgd": SGD}
# These change how often a run is saved, not what it computes: a resumed run may use others.
FREE_TO_CHANGE = ("checkpoint_every", "keep")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    steps: updates in all. micro_batches: batches whose gradients make up one update.
    learning_rate: the peak; schedule, warmup (steps) and final_learning_rate: its course, see `schedules`.
    optimizer: "adamw", "adam", "lion" or "sgd"; betas, eps, weight_decay: what it has of these (the first beta is SGD's
    momentum). clip: the longest gradient allowed (0 switches clipping off).
    evaluate_every, checkpoint_every: in steps; 0 means at the end only. keep: how many checkpoints to keep.
    threads: shards a batch is divided into; None is replaced by the number of cores when training begins, because sums
    over other shards differ in the last digits. seed: for dropout.

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

    def __post_init__(self) -> None:
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2 or not all(map(_is_number, self.betas)):
            raise TypeError(f"betas must be two numbers, got {self.betas!r}")
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, least in (("steps", 1), ("micro_batches", 1), ("keep", 1), ("warmup", 0), ("evaluate_every", 0),
                            ("checkpoint_every", 0), ("seed", 0)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        for name in ("learning_rate", "final_learning_rate", "eps", "weight_decay", "clip"):
            value = getattr(self, name)
            if not _is_number(value):
                raise TypeError(f"{name} must be a number, got {value!r}")
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and at least 0, got {value}")
        for name, known in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
        if self.warmup > self.steps:
            raise ValueError(f"the warmup of {self.warmup} steps is longer than the run of {self.steps}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        resolve_threads(self.threads)

    def lr(self, step: int) -> float:
        """The learning rate of update number `step`, counted from 0."""
        return SCHEDULES[self.schedule](
            step, peak=self.learning_rate, warmup=self.warmup, total=self.steps, final=self.final_learning_rate
        )

    def make_optimizer(self, params: Any) -> Optimizer:
        """The optimiser for these parameters, or groups of them."""
        own: dict[str, Any] = {"betas": self.betas, "eps": self.eps}
        if self.optimizer == "sgd":
            own = {"momentum": self.betas[0]}
        elif self.optimizer == "lion":
            del own["eps"]
        return OPTIMIZERS[self.optimizer](
            params, lr=self.learning_rate, weight_decay=self.weight_decay, threads=self.threads, **own
        )  # type: ignore[call-arg]

    def to_json(self) -> dict[str, Any]:
        """A dict for JSON; `from_json` reads it back."""
        return {**dataclasses.asdict(self), "betas": list(self.betas)}

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
