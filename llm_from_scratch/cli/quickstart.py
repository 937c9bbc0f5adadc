"""`python -m llm_from_scratch quickstart`: from text to a model that tells small tales, in about two minutes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "train a small model on embedded tales in about two minutes, and read what it tells"
EPILOG = """
What happens: a tokenizer is trained on thousands of short tales (no network needed), a small LLaMA-style model learns
from them, and its own tales are shown before and after, with figures. Everything stays in runs/quickstart.

examples:
  python -m llm_from_scratch quickstart
  python -m llm_from_scratch quickstart --minutes 10 --out runs/longer
  python -m llm_from_scratch quickstart --steps 50 --seed 7 --out runs/short --json

It may be repeated: an unfinished run is taken up where it stopped, a finished one is shown again (--force trains anew).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help="train for about so long; the number of steps is fixed "
        f"beforehand from a short measurement (default: {STEPS} steps, fewer if they would take more "
        f"than {LIMIT_MINUTES:g} minutes)",
    )
    length.add_argument("--steps", type=int, metavar="N", help="train for exactly so many steps")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed gives another model (default 0)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/quickstart"),
        metavar="DIR",
        help="where everything goes (default runs/quickstart)",
    )
    parser.add_argument(
        "--force", action="store_true", help="train anew even if DIR holds a run; the old one is removed"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the report as one line of JSON; messages go to standard error"
    )


# Chosen by trying: what reads best after about two minutes on two cores.
STEPS = 1_500
LIMIT_MINUTES = 2.5
TALES = 12_000  # about as many as are read, so that hardly one is seen twice


def plan(args: argparse.Namespace) -> Any:
    """The recipe and settings of a new run."""
    from ..recipes.recipe import Recipe
    from ..training import TrainingSettings
    from ._session import Plan

    recipe = Recipe(
        data=f"tales:{TALES}",
        family="llama",
        layers=4,
        width=128,
        heads=4,
        feed_forward=352,
        vocabulary=1024,
        context=256,
        batch_size=8,
        validation_fraction=0.02,
        seed=args.seed,
        sampling="documents",  # a row that begins in the middle of a tale cannot know its hero
    )
    steps = STEPS if args.steps is None else args.steps
    settings = TrainingSettings(
        steps=steps,
        learning_rate=1e-2,  # large, but this is where a small model learns to copy a name within minutes
        final_learning_rate=5e-4,
        warmup=min(100, steps),
        weight_decay=0.1,
        betas=(0.9, 0.98),
        evaluate_every=max(1, steps // 5),
        checkpoint_every=max(1, steps // 5),
        seed=args.seed,
    )
    if args.steps is not None:
        return Plan(recipe, settings)
    return Plan(
        recipe, settings, minutes=LIMIT_MINUTES if args.minutes is None else args.minutes, capped=args.minutes is None
    )


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from . import _session

    say = _session.say_to(sys.stderr if args.json else sys.stdout)
    made = plan(args)
    with _session.writing(args.out) as state:
        if state != "new" and args.force:
            _session.clear(args.out)
            state = "new"
        if state == "finished":
            report = _session.read_report(args.out)
            say(f"{args.out} holds a finished run; here is what it learnt. --force trains it anew, --out elsewhere.")
        else:
            if state == "unfinished":
                say(
                    f"{args.out} holds an unfinished run ({_session.how_far(args.out)}): going on with its own "
                    "settings (--force starts anew)\n"
                )
            found = _session.carry_out(args.out, made if state == "new" else None, say)
            if found is None:
                say(f"to go on:  python -m llm_from_scratch quickstart --out {args.out}")
                return 130
            report = found
    _session.show_report(report, say)
    say("\nnow it tells:\n")
    report["tales"] = _session.show_tales(args.out, say)
    say(NEXT.format(out=args.out))
    if args.json:
        print(json.dumps(report))  # ASCII: whatever the terminal knows, nothing is lost
    return 0


NEXT = """\
the loss curve is {out}/loss.png, the model {out}/model.safetensors (Hugging Face layout)
what to try next:
  python -m llm_from_scratch generate --model {out} --prompt "Max the bear and the red kite"
  python -m llm_from_scratch quickstart --minutes 10 --out runs/longer
  python -m llm_from_scratch train --data shakespeare --minutes 5 --out runs/shakespeare
  python -m llm_from_scratch grade --start mine        the exercises of the book"""
