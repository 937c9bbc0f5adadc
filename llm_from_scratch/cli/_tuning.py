"""What the commands that tune a model have in common: their options, and a run from its first line to its report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._telling import say_to

NO_MODEL = "--model is missing: name a model's directory, a .gguf file, or smollm2"
NO_OUT = "--out is missing: name the directory that everything goes to"
OF_A_RUN = ("tokens", "steps", "lr", "batch", "template", "threads", "seed", "checkpoint_every")


def add_arguments(parser: argparse.ArgumentParser, *, data: str | None = None) -> None:
    """The options of every tuning. All defaults are None, to tell what was given: with --resume nothing may be.

    data: what --data takes, for its help; without it there is no such option.
    """
    group = parser.add_argument_group("what and where")
    group.add_argument(
        "--model", metavar="MODEL", help="where it begins: a model's directory, a .gguf file, or smollm2 (fetched once)"
    )
    if data is not None:
        group.add_argument("--data", metavar="DATA", help=data)
    group.add_argument("--out", type=Path, metavar="DIR", help="where everything goes")
    group.add_argument("--resume", action="store_true", help="go on with the unfinished run in DIR, as it was begun")
    group.add_argument("--force", action="store_true", help="remove the run that DIR holds and start anew")
    group.add_argument(
        "--json", action="store_true", help="print the report as one line of JSON; messages go to standard error"
    )
    group = parser.add_argument_group("how long, and how")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--tokens", type=int, metavar="N", help="about so many tokens pass through the model")
    length.add_argument("--steps", type=int, metavar="N", help="exactly so many steps")
    group.add_argument("--lr", type=float, metavar="X", help="the highest learning rate")
    group.add_argument("--batch", type=int, metavar="N", help="examples a step")
    group.add_argument("--template", metavar="NAME", help="chat template, by name (default: the model's own)")
    group.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="shares a batch is divided into, over all processes (default: the cores)",
    )
    group.add_argument("--seed", type=int, metavar="N", help="of everything (default 0)")
    group.add_argument("--checkpoint-every", type=int, metavar="N", help="steps between checkpoints")


def data_of(args: argparse.Namespace, *names: str) -> str:
    """What --data names: the first of `names` where it is not given; FileNotFoundError for what is neither nor there.

    names: what else may stand there than a file; of one with a colon, what stands before it counts.
    """
    if args.data is None:
        return names[0]
    several = {name.partition(":")[0] for name in names if ":" in name}
    named = args.data in names or (":" in args.data and args.data.partition(":")[0] in several)
    if not named and not Path(args.data).exists():
        raise FileNotFoundError(f"there is no file {args.data!r}: --data takes a file, or {' or '.join(names)}")
    return args.data


def run(
    args: argparse.Namespace,
    command: str,
    settings_of: Callable[[argparse.Namespace], dict[str, Any]],
    make: Any,
    exchange: Any = None,
) -> int:
    """Begin a run with `settings_of(args)`, or go on with one, and show its report; the exit code.

    make: see `recipes.tuning.carry_out`. What may be wrong with the settings is best said by `settings_of`, which is
    called before anything is written.
    """
    from ..recipes import tuning
    from ..training.exchange import Exchange

    exchange = exchange or Exchange()
    say = say_to(sys.stderr if args.json else sys.stdout)
    if args.out is None:
        raise ValueError(NO_OUT)
    if args.resume:
        given = [name for name, value in vars(args).items() if value is not None and value is not False]
        surplus = [name for name in given if name not in ("out", "resume", "json", "traceback")]
        if surplus:
            options = ", ".join("--" + name.replace("_", "-") for name in surplus)
            raise ValueError(f"with --resume the run's own settings hold: leave out {options}")
        if exchange.alone(lambda: tuning.state_of(args.out)) == "unfinished":
            say(f"going on with {args.out} from {tuning.how_far(args.out)}\n")
        settings = None
    else:
        if args.model is None:
            raise ValueError(NO_MODEL)
        state = exchange.alone(lambda: tuning.state_of(args.out))
        if state != "new" and not args.force:
            how = f"unfinished; go on with --resume --out {args.out}, or" if state == "unfinished" else "finished;"
            raise ValueError(f"{args.out} holds a run already ({how} choose another --out, or --force to replace it)")
        settings = exchange.first(lambda: settings_of(args))
        if state != "new" and exchange.leads:
            with tuning.writing(args.out):
                tuning.clear(args.out)
    report = tuning.carry_out(args.out, command, make, settings, say=say, exchange=exchange)
    if report is None:
        say(f"to go on:  python -m llm_from_scratch {command} --resume --out {args.out}")
        return 130
    show_report(report, say)
    if args.json:
        print(json.dumps(report))  # ASCII: whatever the terminal knows, nothing is lost
    return 0


def show_report(report: dict[str, Any], say: Callable[[str], None]) -> None:
    """The figures before beside those after."""
    before, after = report["before"]["figures"], report["after"]["figures"]
    if after:
        say(f"\n{'':32}{'before':>10}{'after':>10}")
    for name, value in after.items():
        was = f"{before[name]:>10.3f}" if name in before else f"{'':10}"
        say(f"  {name.replace('_', ' '):30}{was}{value:>10.3f}")
    say(f"\n{report['steps']:,} steps in {report['training_seconds']:.0f} s; everything is in {report['directory']}")
