"""`python -m llm_from_scratch finetune`: teach a model to answer, from dialogues or from a larger model."""

from __future__ import annotations

import argparse
from typing import Any

from . import _memory, _tuning

HELP = "teach a model to answer: supervised tuning on dialogues, whole or with LoRA, and distillation"
RANKS = True  # as several processes, too: see cli/_ranks.py
EPILOG = """
examples:
  python -m llm_from_scratch finetune --model runs/quickstart --data tales --out runs/chat     about 3 minutes
  python -m llm_from_scratch finetune --model smollm2 --data format --out runs/format          a made-up format
  python -m llm_from_scratch finetune --model smollm2 --data my.jsonl --lora 8 --out runs/mine
  python -m llm_from_scratch finetune --model runs/small --teacher runs/chat --data tales --out runs/student
  python -m llm_from_scratch finetune --resume --out runs/chat

DATA is a file of dialogues (JSON, JSONL or Parquet, in any of the usual shapes: see `data`), or
  tales    dialogues about tales; afterwards held-out questions are asked, and right answers counted
           (a specialist: tales:rewriting, or other kinds: who what where when why rewriting continuing arithmetic …)
  format   200 questions that are answered as <<topic | answer>>; answers in this format are counted
Before the first step and after the last, answers to held-out questions are shown.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    _tuning.add_arguments(parser, data="a file of dialogues, tales, or format (default tales)")
    _memory.add_arguments(parser)
    group = parser.add_argument_group("supervised tuning")
    group.add_argument(
        "--train-on", choices=["assistant", "last", "all"], help="whose words count (default assistant: its turns)"
    )
    group.add_argument("--nef", type=float, metavar="ALPHA", help="NEFTune: noise on the embeddings, 5 to 15 is usual")
    group.add_argument(
        "--lora",
        type=int,
        metavar="RANK",
        help="train low-rank adapters; OUT/adapter holds them, OUT itself the model with them merged",
    )
    group.add_argument("--context", type=int, metavar="N", help="longest row; longer dialogues lose their first turns")
    group.add_argument("--held-out", type=int, metavar="N", help="dialogues and questions to measure on (default 200)")
    group.add_argument(
        "--held-out-seed",
        type=int,
        metavar="N",
        help="other tales and words to measure on, for a last look (default 0)",
    )
    group = parser.add_argument_group("distillation")
    group.add_argument("--teacher", metavar="MODEL", help="learn from what this model thinks of the same dialogues")
    group.add_argument(
        "--distill", choices=["forward", "reverse", "jensen-shannon"], help="which divergence (default forward)"
    )
    group.add_argument("--temperature", type=float, metavar="X", help="flattens both distributions (default 1)")
    group.add_argument("--beta", type=float, metavar="X", help="the teacher's share for jensen-shannon (default 0.5)")
    group.add_argument(
        "--hard", type=float, metavar="SHARE", help="of the dialogues' own words in the loss (default 0)"
    )
    group.add_argument(
        "--on-policy", type=float, metavar="SHARE", help="of batches that the student writes (default 0)"
    )


def run(args: argparse.Namespace, exchange: Any = None) -> int:
    """Carry out the command; the exit code."""
    from ..recipes import finetuning

    return _tuning.run(args, "finetune", settings_of, finetuning.prepare, exchange)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of a new run."""
    from ..files.download import find_model
    from ..recipes import finetuning

    given = {name: getattr(args, name) for name in finetuning.DEFAULTS if hasattr(args, name)}
    given |= {"noise": args.nef, **_memory.settings_of(args)}
    if args.teacher is not None:
        given["teacher"] = str(find_model(args.teacher))
    data = _tuning.data_of(args, "tales", "format", "tales:KINDS")
    return finetuning.settings_of(str(find_model(args.model)), data, **given)
