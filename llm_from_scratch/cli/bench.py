"""`python -m llm_from_scratch bench`: speed beside the peers that are installed."""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

from ..bench.growth import growth
from ..bench.plots import check_path, plot
from ..bench.report import between, markdown
from ..bench.runner import bench
from ..data.sources import load_text
from ..files.atomic import write_json, write_text

HELP = "measure speed beside PyTorch, llama.cpp, tokenizers and others, where they are installed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.epilog = (
        "Every contender runs in a process of its own and they take turns; then comes the table of goals: what must be "
        "reached, and whether it is. The peers are optional: pip install torch transformers peft llama-cpp-python "
        "tokenizers tiktoken."
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these, for example step-384")
    parser.add_argument("--all", action="store_true", help="every row of the table of goals (so without any CASE)")
    parser.add_argument("--quick", action="store_true", help="a look: two short rounds, without what takes long")
    parser.add_argument("--growth", action="store_true", help="how time and memory grow with length, width, depth …")
    parser.add_argument("--as", dest="kind", choices=("avx2", "avx"), help="as a processor with no more than that")
    parser.add_argument("--threads", type=int, help="for every contender (default: all cores, and 1 where it matters)")
    parser.add_argument("--rounds", type=int, help="how often each contender gets its turn (default: 5; quick: 2)")
    parser.add_argument("--seconds", type=float, help="the shortest turn (default: 1; quick: 0.2)")
    parser.add_argument("--text", help="what the tokenizers are timed on: shakespeare, a file … (default: synthetic)")
    parser.add_argument("--into", metavar="PAGE", help="with --markdown: not printed, but put between the page's marks")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers here")
    parser.add_argument("--plot", metavar="FILE", help="also draw them: .png or .svg")
    parser.add_argument(
        "--markdown", nargs="+", metavar="JSON", help="measure nothing: the README's tables of such files"
    )


def run(args: argparse.Namespace) -> int:
    """Run it."""
    if args.markdown:
        made = markdown([json.loads(Path(path).read_text(encoding="utf-8")) for path in args.markdown])
        if args.into:
            write_text(args.into, between(Path(args.into).read_text(encoding="utf-8"), made))
        else:
            print(made)
        return 0
    if args.all and args.cases:
        raise ValueError(f"--all measures every case of the table: leave out {', '.join(args.cases)}, or --all")
    if args.plot:
        check_path(args.plot)
    rounds = (2 if args.quick else 5) if args.rounds is None else args.rounds
    seconds = (0.2 if args.quick else 1.0) if args.seconds is None else args.seconds
    settings: dict[str, Any] = {
        "threads": args.threads,
        "rounds": rounds,
        "seconds": seconds,
        "kind": args.kind,
        "quick": args.quick,
    }
    if args.growth and args.cases:
        raise ValueError(f"--growth measures cases of its own: leave out {', '.join(args.cases)}, or --growth")
    if args.growth:
        measured = growth(**settings)
    else:
        text = None if args.text is None else load_text(args.text)
        keep: dict[str, Any] = {"keep": functools.partial(write_json, args.json)} if args.json else {}
        measured = bench(args.cases or None, **settings, text=text, **keep)
    if args.json:
        write_json(args.json, measured)
        print(f"Numbers written to {args.json}")
    if args.plot:
        plot(measured, args.plot)
        print(f"Plot written to {args.plot}")
    return 0
