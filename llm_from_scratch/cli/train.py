"""`python -m llm_from_scratch train`: a model of one's own, on one's own text, with all the knobs."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from . import _memory, _mixing
from ._planning import EVALUATIONS, MINUTES, plan

HELP = "train a model on your own text"
RANKS = True  # as several processes, too: see cli/_ranks.py
EPILOG = """
examples:
  python -m llm_from_scratch train --data my-diary.txt --minutes 5
  python -m llm_from_scratch train --data shakespeare --minutes 10 --out runs/shakespeare
  python -m llm_from_scratch train --data notes/ --family gpt2 --layers 6 --width 256 --heads 8 --steps 2000
  python -m llm_from_scratch train --data shakespeare --find-lr
  python -m llm_from_scratch train --data tales --width 384 --layers 8 --storage bfloat16 --recompute
  python -m llm_from_scratch train --resume --out runs/shakespeare
  python -m llm_from_scratch train --explain 812 --out runs/shakespeare       # what happened at step 812?

Stop it with Ctrl-C whenever you like: it finishes the step, saves, and --resume goes on as if nothing had happened, to
the byte. The run's directory holds the model in the Hugging Face layout, the tokenizer, log.jsonl, loss.png and the
newest checkpoints. In run.json only checkpoint_every, keep and statistics_every may be changed: the rest decides a
run's numbers.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options. All defaults are None, to tell what was given: with --resume nothing may be."""
    parser.epilog = EPILOG + _mixing.EPILOG
    group = parser.add_argument_group("what and where")
    group.add_argument(
        "--data",
        nargs="+",
        metavar="SOURCE",
        help="a text file, a folder of them, or one of tales, pydoc (Python's help texts), shakespeare (fetched once); "
        "several of them: SOURCE=WEIGHT each, or without weights by size",
    )
    _mixing.add_arguments(group)
    group.add_argument(
        "--out", type=Path, metavar="DIR", help="where everything goes (default runs/ and the name of the data)"
    )
    group.add_argument(
        "--teacher",
        metavar="MODEL",
        help="learn what this model expects next, rather than what comes next; the tokenizer is then its own",
    )
    group.add_argument(
        "--resume", action="store_true", help="go on with the unfinished run in DIR, with its own settings"
    )
    group.add_argument(
        "--explain",
        type=int,
        metavar="STEP",
        help="replay the run in DIR up to a step whose loss jumped, and say which batch, document and layer it was",
    )
    group.add_argument("--force", action="store_true", help="remove the run that DIR holds and start anew")
    group.add_argument(
        "--json", action="store_true", help="print the report as one line of JSON; messages go to standard error"
    )

    group = parser.add_argument_group("how long")
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=float,
        metavar="M",
        help=f"about so long: the number of steps is fixed beforehand from a short measurement (default {MINUTES:g})",
    )
    length.add_argument("--steps", type=int, metavar="N", help="exactly so many steps")

    group = parser.add_argument_group("the model")
    group.add_argument(
        "--family",
        metavar="NAME",
        help="llama (default), gpt2, mamba, …, or a released model in small, such as pythia-1b; see zoo",
    )
    _number(group, "--layers", "how many layers (default 4)")
    _number(group, "--width", "width of the hidden state (default 192)")
    _number(group, "--heads", "attention heads; must divide the width (default 6)")
    _number(group, "--key-value-heads", "fewer than --heads share keys and values (default: as many)")
    _number(group, "--feed-forward", "width inside the feed-forward part (default: the family's usual multiple)")
    _number(group, "--context", "tokens a row, the longest text it learns from at once (default 256)")
    _number(group, "--vocabulary", "tokens of the tokenizer that is trained on the text (default 2048)")
    kinds = ["byte-level", "sentencepiece"]
    group.add_argument(
        "--special-tokens",
        nargs="+",
        metavar="TOKEN",
        help="further special tokens, for training on later: '<|user|>' '<|assistant|>' '<|end|>'",
    )
    group.add_argument(
        "--words", nargs="+", metavar="WORD", help="words that are one token each, whatever the text holds: Who who"
    )
    group.add_argument("--tokenizer", choices=kinds, help="GPT-2's kind of BPE (default), or LLaMA's")
    group.add_argument(
        "--embedding-std",
        type=float,
        metavar="X",
        help="spread the embedding starts with; 0.2 lets a small model learn sooner to repeat names it has read "
        "(default: as published, mostly 0.02)",
    )
    group.add_argument(
        "--copying",
        type=float,
        metavar="X",
        help="let attention begin as a copier, so strongly: 0.5 lets a small model learn much sooner to say again what "
        "it has read (default: as published, not at all)",
    )
    group.add_argument(
        "--config",
        action="append",
        metavar="KEY=VALUE",
        help="any further entry of the family's config.json, as rope_theta=50000; may be given several times",
    )

    group = parser.add_argument_group("training")
    _number(group, "--batch", "rows a batch (default 16)")
    group.add_argument(
        "--sampling",
        choices=("epochs", "documents", "random"),
        help="where rows begin: one after the other through the text (default), where a document does, or anywhere",
    )
    _number(group, "--micro-batches", "batches that make up one step: a larger batch in the same memory (default 1)")
    group.add_argument("--lr", type=float, metavar="X", help="the highest learning rate (default 0.003)")
    group.add_argument("--final-lr", type=float, metavar="X", help="the last one (default: a twentieth of --lr)")
    group.add_argument("--schedule", choices=("cosine", "linear", "constant"), help="its course (default cosine)")
    _number(group, "--warmup", "steps until the highest rate is reached (default: a twentieth of all)")
    group.add_argument(
        "--weight-decay", type=float, metavar="X", help="of matrices; norms and biases have none (default 0.1)"
    )
    group.add_argument("--clip", type=float, metavar="X", help="longest gradient allowed, 0 for no limit (default 1)")
    group.add_argument("--validation", type=float, metavar="SHARE", help="share of the text held out (default 0.05)")
    _mixing.add_tasks(group)
    _number(group, "--evaluate-every", f"steps between evaluations (default: {EVALUATIONS} in all)")
    _number(group, "--checkpoint-every", "steps between checkpoints (default: as evaluations)")
    _number(group, "--keep", "newest checkpoints to keep (default 2)")
    _number(group, "--statistics", "steps between measurements of every layer, to statistics.jsonl (default: none)")
    _number(group, "--threads", "shares a batch is divided into, over all processes (default: the cores)")
    _number(group, "--seed", "of everything (default 0)")
    _memory.add_arguments(parser)


def run(args: argparse.Namespace, exchange: Any = None) -> int:
    """Carry out the command; the exit code."""
    from ..training.exchange import Exchange
    from ..training.run import Diverged
    from . import _rates, _run_files, _session, _telling

    exchange = exchange or Exchange()
    if exchange.size > 1 and (args.explain is not None or args.find_lr):
        option = "--find-lr" if args.explain is None else "--explain"
        raise ValueError(f"{option} is for one process: start it without mpiexec")
    say = _telling.say_to(sys.stderr if args.json else sys.stdout)
    if args.explain is not None:
        from . import _explaining

        _only_out(args, "explain")
        found = _explaining.explain_run(args.out, args.explain, say)
        if args.json:
            print(json.dumps(found))
        return 0
    made: Any = None
    if args.resume:
        _only_out(args, "resume")
        if not args.out.exists():
            raise ValueError(f"there is no run in {args.out}")
    else:
        if args.data is None:
            raise ValueError("--data is missing: name a text file, a folder, or one of tales, pydoc, shakespeare")
        made = plan(args)
        args.out = args.out or Path("runs") / _name(args.data[0])
    with _run_files.writing(args.out) if exchange.leads else contextlib.nullcontext():
        state = exchange.alone(lambda: _run_files.state_of(args.out))
        if args.resume:
            if state == "new":
                raise ValueError(
                    f"there is nothing to resume in {args.out}: a run that was stopped while it prepared its text "
                    "begins again with the options it was begun with, without --resume"
                )
            if state == "finished":
                raise ValueError(f"the run in {args.out} is finished: there is nothing to resume")
            say(f"going on with {args.out} from {_run_files.how_far(args.out)}\n")
        elif args.find_lr:
            if state != "new":
                raise ValueError(f"{args.out} holds a run: let --find-lr have another --out, it is about a fresh model")
            return _rates.find(args.out, made, say, as_json=args.json)
        elif state != "new":
            if not args.force:
                where = (
                    f"at {_run_files.how_far(args.out)}; go on with --resume --out {args.out}, or"
                    if state == "unfinished"
                    else "finished;"
                )
                raise ValueError(
                    f"{args.out} holds a run already ({where} choose another --out, or --force to replace it)"
                )
            exchange.alone(lambda: _run_files.clear(args.out))
        try:
            report = _session.carry_out(args.out, made, say, exchange=exchange)
        except Diverged as error:
            command = f"python -m llm_from_scratch train --explain {error.step} --out {args.out}"
            raise ValueError(f"{error}; what it began with:  {command}") from error
    if report is None:
        say(f"to go on:  python -m llm_from_scratch train --resume --out {args.out}")
        return 130
    _telling.show_report(report, say)
    say("\nnow it says:\n")
    report["texts"] = exchange.alone(lambda: _telling.show_tales(args.out, say, count=1), patient=True)
    say(f"more of it:  python -m llm_from_scratch generate --model {args.out} --prompt …")
    say(f"the loss curve is {args.out / 'loss.png'}, the model {args.out / 'model.safetensors'} (Hugging Face layout)")
    if args.json:
        print(json.dumps(report))  # ASCII: whatever the terminal knows, nothing is lost
    return 0


def _only_out(args: argparse.Namespace, what: str) -> None:
    given = [name for name, value in vars(args).items() if value is not None and value is not False]
    surplus = [name for name in given if name not in ("out", what, "json", "traceback")]
    if args.out is None:
        raise ValueError(f"--{what} needs --out DIR: which run is it?")
    if surplus:
        options = ", ".join("--" + name.replace("_", "-") for name in surplus)
        raise ValueError(f"with --{what} the run's own settings hold: leave out {options}")


def _name(data: str) -> str:
    return Path(data.split(":")[0]).stem or "mine"


def _number(group: Any, name: str, text: str) -> None:
    group.add_argument(name, type=int, metavar="N", help=text)
