"""`python -m llm_from_scratch bench`: speed beside the peers that are installed."""

from __future__ import annotations

import argparse

from ..bench.runner import bench
from ..data.sources import load_text
from ..files.atomic import write_json

HELP = "measure speed beside PyTorch, tokenizers and tiktoken, where they are installed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.epilog = (
        "Every contender runs in a process of its own and they take turns. A ratio below 1 means that this package is "
        "faster. The peers are optional: pip install torch tokenizers tiktoken."
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only these, for example step-384 (default: all)")
    parser.add_argument("--threads", type=int, help="for every contender (default: all cores)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender gets its turn (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="the shortest turn (default: 1)")
    parser.add_argument("--text", help="what the tokenizers are timed on: shakespeare, a file … (default: synthetic)")
    parser.add_argument("--json", metavar="FILE", help="also write the numbers here")


def run(args: argparse.Namespace) -> int:
    """Run it."""
    text = None if args.text is None else load_text(args.text)
    measured = bench(args.cases or None, threads=args.threads, rounds=args.rounds, seconds=args.seconds, text=text)
    if args.json:
        write_json(args.json, measured)
        print(f"Numbers written to {args.json}")
    return 0
