"""The settings that runs of tuning share: which of them are whole numbers, and how small they may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

LEAST: Mapping[str, int] = {
    "tokens": 1, "steps": 1, "batch": 1, "context": 1, "lora": 1, "held_out": 1, "prompts": 1, "max_new_tokens": 1,
    "evaluations": 1, "threads": 1, "estimate": 1, "mismatched": 1, "training_prompts": 1, "reward_tokens": 1,
    "seed": 0, "held_out_seed": 0, "checkpoint_every": 0,
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
