"""`python -m llm_from_scratch quickstart`: from text to a model that tells small tales, in a few minutes."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

HELP = "train a small model on embedded tales in a few minutes, and read what it tells"
RANKS = True  # as several processes, too: see cli/_ranks.py
EPILOG = """
What happens: a tokenizer is trained on thousands of short tales (no network needed), a small LLaMA-style model learns
from them while one can watch how it goes on with a beginning, and its own tales are shown with figures. The work is
the same on every machine; how long it will take is measured and said first. Everything stays in runs/quickstart.

examples:
  python -m llm_from_scratch quickstart
  python -m llm_from_scratch quickstart --minutes 10 --out runs/longer
  python -m llm_from_scratch quickstart --large
  python -m llm_from_scratch quickstart --teacher runs/large
  python -m llm_from_scratch quickstart --steps 50 --seed 7 --out runs/short --json

It may be repeated: an unfinished run is taken up where it stopped, a finished one is shown again (--force trains anew).
"""
BEGINNING = "Max the bear and the red kite in the garden\n\nOnce"  # continued again and again while the model learns
CARRIED = Path(__file__).resolve().parents[2] / "chapters" / "tales_model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="train for about so long instead; the number of steps is fixed beforehand from a short measurement",
    )
    length.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="train for so many steps instead of the usual number, the same everywhere",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--large",
        action="store_true",
        help="4.5 million parameters instead of 1 million, trained for longer (default for --out: runs/large)",
    )
    which.add_argument(
        "--teacher",
        metavar="DIR",
        help="a tiny model that learns what the one in DIR thinks of tales, to guess ahead of it: the draft of "
        "generate --draft (default for --out: runs/draft)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed gives another model (default 0)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where everything goes (default runs/quickstart)",
    )
    parser.add_argument(
        "--force", action="store_true", help="train anew even if DIR holds a run; the old one is removed"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as one line of JSON; messages go to standard error"
    )


def plan(args: argparse.Namespace) -> Any:
    """The recipe and settings of a new run."""
    from ..recipes import quickstart
    from ._session import Plan

    if args.large:
        recipe, settings, steps = quickstart.large_recipe(args.seed), quickstart.large_settings, quickstart.LARGE_STEPS
    elif args.teacher is not None:
        recipe = quickstart.draft_recipe(args.teacher, args.seed)
        settings, steps = quickstart.settings, quickstart.DRAFT_STEPS
    else:
        recipe, settings, steps = quickstart.recipe(args.seed), quickstart.settings, quickstart.STEPS
    return Plan(recipe, settings(steps if args.steps is None else args.steps, args.seed), minutes=args.minutes)


def run(args: argparse.Namespace, exchange: Any = None) -> int:
    """Carry out the command; the exit code."""
    from ..training.exchange import Exchange
    from . import _run_files, _session, _telling

    exchange = exchange or Exchange()
    say = _telling.say_to(sys.stderr if args.json else sys.stdout)
    made = plan(args)
    args.out = args.out or Path("runs") / ("large" if args.large else "draft" if args.teacher else "quickstart")
    with _run_files.writing(args.out) if exchange.leads else contextlib.nullcontext():
        state = exchange.alone(lambda: _run_files.state_of(args.out))
        if state != "new" and args.force:
            exchange.alone(lambda: _run_files.clear(args.out))
            state = "new"
        if state == "finished":
            report = _run_files.read_report(args.out)
            say(f"{args.out} holds a finished run; here is what it learnt. --force trains it anew, --out elsewhere.")
        else:
            if state == "unfinished":
                say(
                    f"{args.out} holds an unfinished run ({_run_files.how_far(args.out)}): going on with its own "
                    "settings (--force starts anew)\n"
                )
            fresh = made if state == "new" else None
            found = _session.carry_out(args.out, fresh, say, beginning=BEGINNING, exchange=exchange)
            if found is None:
                say(f"to go on:  python -m llm_from_scratch quickstart --out {args.out}")
                return 130
            report = found
    _telling.show_report(report, say)
    say("\nnow it tells:\n")
    report["tales"] = exchange.alone(lambda: _telling.show_tales(args.out, say), patient=True)
    if CARRIED.is_dir():
        say(f"and the model that was trained for longer and comes with the repository ({CARRIED}):\n")
        report["longer_trained"] = exchange.alone(lambda: _telling.show_tales(CARRIED, say, count=1), patient=True)
    else:
        say("(The longer-trained model that the repository carries is not installed here.)\n")
    say(NEXT.format(out=args.out))
    if args.large:
        say(f"  python -m llm_from_scratch quickstart --teacher {args.out}        a draft that guesses ahead of it")
    if args.teacher is not None:
        say(f"  python -m llm_from_scratch generate --model {args.teacher} --draft {args.out}   faster, and the same")
    if args.json:
        print(json.dumps(report))  # ASCII: whatever the terminal knows, nothing is lost
    return 0


NEXT = """\
the loss curve is {out}/loss.png, the model {out}/model.safetensors (Hugging Face layout)
what to try next:
  python -m llm_from_scratch generate --model {out} --prompt "Max the bear and the red kite in the garden"
  python -m llm_from_scratch quickstart --minutes 10 --out runs/longer
  python -m llm_from_scratch train --data shakespeare --minutes 5 --out runs/shakespeare
  python -m llm_from_scratch grade --start mine        the exercises of the book"""
