"""Options for runs that are to take less memory: `train` has them, and so have the commands that tune."""

from __future__ import annotations

import argparse
from typing import Any

_STORAGES = ("float32", "bfloat16")  # those of `training.storage`, without loading it to answer --help


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options. All defaults are None, to tell what was given: with --resume nothing may be."""
    group = parser.add_argument_group("less memory")
    group.add_argument(
        "--storage",
        choices=_STORAGES,
        help="bfloat16 keeps weights and the optimiser's means in two bytes a number; arithmetic stays float32",
    )
    group.add_argument(
        "--rounding",
        choices=("stochastic", "nearest"),
        help="how bfloat16 rounds: up or down by chance, so that small steps are not lost (default), or to the nearest",
    )
    group.add_argument(
        "--shard-optimizer",
        action="store_true",
        default=None,
        help="of several processes each remembers and updates its share of the weights; the numbers are the same",
    )
    group.add_argument(
        "--recompute",
        action="store_true",
        default=None,
        help="compute each block's activations again in the backward pass instead of keeping them",
    )


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What was given, under the names of `TrainingSettings`; ValueError for a rounding of nothing."""
    given = {name: getattr(args, name) for name in ("storage", "shard_optimizer", "recompute")}
    if args.rounding is not None:
        if args.storage != "bfloat16":
            raise ValueError("--rounding is for --storage bfloat16: in float32 nothing is rounded further")
        given["stochastic_rounding"] = args.rounding == "stochastic"
    return {name: value for name, value in given.items() if value is not None}
