"""From the options of `train` to the recipe and the settings of a new run."""

from __future__ import annotations

import argparse
import json
from typing import Any

from . import _memory, _mixing

MINUTES = 5.0
EVALUATIONS = 10
# Options that are called otherwise than the setting they stand for.
_OPTION = {
    "batch_size": "batch",
    "validation_fraction": "validation",
    "learning_rate": "lr",
    "final_learning_rate": "final_lr",
    "statistics_every": "statistics",
}


def _given(args: argparse.Namespace, settings: Any) -> dict[str, Any]:
    """The options that were given and belong to this dataclass, under its names."""
    values = {name: getattr(args, _OPTION.get(name, name), None) for name in settings.__dataclass_fields__}
    return {name: value for name, value in values.items() if value is not None and name not in ("steps", "config")}


def plan(args: argparse.Namespace) -> Any:
    """The recipe and settings of a new run."""
    from ..recipes.recipe import Recipe
    from ..training import TrainingSettings
    from ._session import Plan

    given: dict[str, Any] = {
        "layers": 4,
        "width": 192,
        "heads": 6,
        "vocabulary": 2048,
        "context": 256,
        "batch_size": 16,
    }
    given |= _given(args, Recipe) | {"data": _mixing.data_of(args)}
    stages = getattr(given["data"], "stages", ())
    if stages and args.context is None:
        given["context"] = max(stage.context for stage in stages)
    for name in ("vocabulary", "tokenizer", "special_tokens", "words"):
        if args.teacher is not None and getattr(args, name) is not None:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} is about training a tokenizer; with --teacher it is the teacher's: leave it")
    recipe = Recipe(**given, config=dict(_key_value(text) for text in args.config or []))
    staged, tokens = _mixing.steps_of(args, stages)
    steps = staged or (1000 if args.steps is None else args.steps)  # with --minutes only the proportions count
    if steps < 1:
        raise ValueError(f"--steps must be at least 1, got {steps}")
    rate = 3e-3 if args.lr is None else args.lr
    every = max(1, steps // EVALUATIONS) if args.evaluate_every is None else args.evaluate_every
    chosen: dict[str, Any] = {
        "learning_rate": rate,
        "final_learning_rate": rate / 20,
        "warmup": min(steps, max(1, steps // 20)),
        "evaluate_every": every,
        "checkpoint_every": every,
        "total_tokens": tokens,
    }
    chosen |= {**_given(args, TrainingSettings), **_memory.settings_of(args)}
    settings = TrainingSettings(steps=steps, **chosen)
    if args.steps is not None or staged:
        return Plan(recipe, settings)
    return Plan(recipe, settings, minutes=MINUTES if args.minutes is None else args.minutes)


def _key_value(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"--config wants KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value  # a plain word is a string
