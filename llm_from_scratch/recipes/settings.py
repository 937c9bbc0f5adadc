"""The settings that runs of tuning share: what can be, and what takes less memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..training.storage import STORAGES

LEAST: Mapping[str, int] = {
    "tokens": 1, "steps": 1, "batch": 1, "context": 1, "lora": 1, "held_out": 1, "prompts": 1, "max_new_tokens": 1,
    "evaluations": 1, "threads": 1, "estimate": 1, "mismatched": 1, "training_prompts": 1, "reward_tokens": 1,
    "seed": 0, "held_out_seed": 0, "checkpoint_every": 0,
}  # fmt: skip
# Of `TrainingSettings`, by its names: every run of tuning may have them.
MEMORY: Mapping[str, Any] = {
    "storage": "float32", "stochastic_rounding": True, "recompute": False, "shard_optimizer": False,
}  # fmt: skip


def check_settings(settings: Mapping[str, Any]) -> None:
    """TypeError or ValueError for a setting that cannot be; None stands for what follows from the rest, and is fine.

    >>> check_settings({"steps": None, "batch": 0})
    Traceback (most recent call last):
    ValueError: batch must be at least 1, got 0
    """
    for name, value in settings.items():
        if value is None:
            continue
        if name in LEAST:
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < LEAST[name]:
                raise ValueError(f"{name} must be at least {LEAST[name]}, got {value}")
        elif name == "lr" and not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise ValueError(f"lr must be a finite number above 0, got {value!r}")
        elif name == "storage" and value not in STORAGES:
            raise ValueError(f"storage must be one of {', '.join(STORAGES)}; got {value!r}")
        elif name in MEMORY and name != "storage" and not isinstance(value, bool):
            raise TypeError(f"{name} is true or false, got {value!r}")
