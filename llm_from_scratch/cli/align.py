"""`python -m llm_from_scratch align`: let a model learn from preferences, with any of the year's methods."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from typing import Any

from . import _memory, _tuning
from ._telling import say_to

HELP = "align a chat model with preferences: DPO and its relatives, reward models, PPO"
RANKS = True  # as several processes, too: see cli/_ranks.py
EPILOG = """
examples:
  python -m llm_from_scratch align --methods
  python -m llm_from_scratch align --method dpo --data tales --model runs/chat --out runs/dpo
  python -m llm_from_scratch align --method ipo --set tau=0.05 --data pairs.jsonl --model runs/chat --out runs/ipo
  python -m llm_from_scratch align --method ppo --data tales --model runs/chat --out runs/ppo
  python -m llm_from_scratch align --method ppo --set kl_target=6 --set value_clip=0 --model runs/chat --out runs/ppo
  python -m llm_from_scratch align --resume --out runs/dpo

Of PPO, kl_target lets beta adapt until an answer costs so many nats, kl_horizon says how fast (in answers); without it
beta is fixed. value_clip=0 switches the clipping of the values off. --ppo-settings shows the rest.

DATA is a file of preferences (JSON, JSONL or Parquet; a prompt with a chosen and a rejected answer, in any of the usual
shapes), or tales: preferences about tales, where the true score of an answer can be computed. What the model says of
the answers before training is computed once and kept beside the data (FILE.log-probabilities).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("--method", metavar="NAME", help="how to learn; --methods shows the table (default dpo)")
    parser.add_argument("--methods", action="store_true", help="print the methods with their settings, and stop")
    parser.add_argument(
        "--ppo-settings", action="store_true", help="print PPO's settings beside those of the trl library, and stop"
    )
    _tuning.add_arguments(parser, data="a file of preferences, or tales (default tales)")
    _memory.add_arguments(parser)
    parser.add_argument("--beta", type=float, metavar="X", help="how dear it is to leave the model as it was")
    parser.add_argument("--noise", type=float, metavar="SHARE", help="of the tales' preferences: so many are wrong")
    parser.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="any other setting of the method, as tau=0.05; may be given several times",
    )


def run(args: argparse.Namespace, exchange: Any = None) -> int:
    """Carry out the command; the exit code."""
    from ..recipes import aligning

    if args.methods:
        print(aligning.methods_table())
        return 0
    if args.ppo_settings:
        from ..alignment import PPOSettings

        print(PPOSettings.table())
        return 0
    say = say_to(sys.stderr if args.json else sys.stdout)
    return _tuning.run(args, "align", settings_of, partial(aligning.prepare_run, say=say), exchange)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of a new run."""
    from ..files.download import find_model
    from ..recipes import aligning

    names = ("tokens", "steps", "lr", "batch", "threads", "seed", "checkpoint_every", "beta", "noise")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    method = args.method or "dpo"
    texts = [name for name, value in aligning.find_method(method).settings.items() if isinstance(value, str)]
    given |= {**_memory.settings_of(args), **dict(_name_value(text, texts) for text in args.set or [])}
    data, model = _tuning.data_of(args, "tales"), str(find_model(args.model))
    given |= {"model": model, "data": data, "template": args.template}
    return aligning.resolved(method, **given)


def _name_value(text: str, texts: list[str]) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"--set wants NAME=VALUE, got {text!r}")
    name = name.replace("-", "_")
    if name in texts:
        return name, value  # reward=true: no truth value, but the true score
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a plain word is a text
