"""The command `data`: the catalogue of data sets, what is in a file of tuning data, one shape from another."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import Any

from ..data.catalogue import KINDS as SET_KINDS
from ..data.catalogue import data_sets, find_data_set
from ..data.encoding import find_template
from ..data.rows import read_rows
from ..data.tuning_files import KINDS, convert, kind_of
from ..tokenizers import Tokenizer
from ..tokenizers.chat_template import ChatTemplate
from ..tokenizers.templates import FORMATS, named_template, template_names
from . import _cleaning

HELP = "clean text to train on, the data sets of 2023, what a file of dialogues holds, in other formats"

EXAMPLES = """examples:
  python -m llm_from_scratch data catalogue                       every data set of the year: origin, size, licence …
  python -m llm_from_scratch data catalogue --kind preferences    those of one kind
  python -m llm_from_scratch data catalogue helpsteer             everything about one
  python -m llm_from_scratch data show alpaca_data.json           which shape, how many, and the first one as a text
  python -m llm_from_scratch data show pairs.jsonl --template zephyr
  python -m llm_from_scratch data convert sharegpt.json chats.jsonl
  python -m llm_from_scratch data clean pages clean.jsonl --report report    text worth training on, and what was not
  python -m llm_from_scratch data templates                       the chat formats by name, and where each was read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    catalogue = actions.add_parser("catalogue", help="the data sets that the open models of 2023 were made of")
    catalogue.add_argument("name", nargs="?", metavar="NAME", help="everything about this one")
    catalogue.add_argument("--kind", choices=SET_KINDS, help="only those of a kind")

    show = actions.add_parser("show", help="what shape a file has, how much is in it, and its first item as a text")
    show.add_argument("file", metavar="FILE", help="JSON, JSON lines (gzipped too) or Parquet, of any known shape")
    show.add_argument(
        "--template", metavar="NAME", help=f"how the first item is shown: {', '.join(template_names())}, or Jinja"
    )
    show.add_argument("--tokenizer", metavar="PATH", help="count tokens with it, and take its template by default")

    change = actions.add_parser("convert", help="write a file of any known shape as JSON lines of messages")
    change.add_argument("file", metavar="FILE", help="JSON, JSON lines (gzipped too) or Parquet, of any known shape")
    change.add_argument("out", metavar="OUT", help="the file to write: JSON lines")

    for action in (show, change):
        action.add_argument("--kind", choices=list(KINDS), help="what to read it as, where it could be several things")
        action.add_argument("--skip-bad", action="store_true", help="leave out rows in which something is wrong")

    formats = actions.add_parser("templates", help="the chat formats by name, and where each was read")
    cleaning = actions.add_parser("clean", help=_cleaning.HELP)
    _cleaning.add_arguments(cleaning)
    for action in (catalogue, show, change, formats, cleaning):
        action.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    actions = {"catalogue": _catalogue, "show": _show, "convert": _convert, "templates": _templates,
               "clean": _cleaning.run}  # fmt: skip
    return actions[args.action](args)


def _catalogue(args: argparse.Namespace) -> int:
    if args.name:
        chosen = [find_data_set(args.name)]
    else:
        chosen = data_sets(args.kind)
    if args.json:
        print(json.dumps([asdict(each) for each in chosen], ensure_ascii=False, indent=1))
        return 0
    for each in chosen:
        print(f"{each.name} · {each.told('kind')} · {each.told('date')}")
        for field in ("origin", "size", "schema", "licence", "trained", "source"):
            print(textwrap.fill(each.told(field), 100, initial_indent=f"  {field:9}", subsequent_indent=" " * 11))
    if any(each.doubtful for each in chosen):
        print("\n(?) not certain: look at the source before you rely on it")
    return 0


def _show(args: argparse.Namespace) -> int:
    bad_rows = "skip" if args.skip_bad else "error"
    kind = args.kind or kind_of(args.file)
    found = list(KINDS[kind].rows(args.file, bad_rows))
    total = sum(1 for _ in read_rows(args.file))
    tokenizer = None if args.tokenizer is None else Tokenizer.from_pretrained(args.tokenizer)
    template = _template(args.template, tokenizer)
    shapes = Counter(shape for _, shape, _ in found)
    first = found[0][2]
    messages = first if kind == "dialogues" else [*first["prompt"], *_answer(first)]
    text = template.render(messages)
    summary: dict[str, Any] = {"kind": kind, "items": len(found), "rows": total, "shapes": dict(shapes), "first": text}
    if kind == "dialogues":
        summary["messages"] = sum(len(dialogue) for _, _, dialogue in found)
        summary["characters"] = sum(len(m["content"]) for _, _, dialogue in found for m in dialogue)
    if tokenizer is not None:
        summary["tokens of the first"] = len(template.encode(tokenizer, messages, add_generation_prompt=False))
    if args.json:
        print(json.dumps(summary, ensure_ascii=False))
        return 0
    print(f"{len(found):,} {kind} in {total:,} rows: " + ", ".join(f"{n:,} of {s}" for s, n in shapes.most_common()))
    if kind == "dialogues":
        print(f"{summary['messages']:,} messages, {summary['characters']:,} characters")
    if "tokens of the first" in summary:
        print(f"the first has {summary['tokens of the first']:,} tokens")
    print(f"\nthe first{'' if kind == 'dialogues' else ', with the answer that is best'}:\n{text}")
    return 0


def _template(name: str | None, tokenizer: Tokenizer | None) -> ChatTemplate:
    if tokenizer is not None and (name is not None or tokenizer.chat_template is not None):
        return find_template(tokenizer, name)
    name = "chatml" if name is None else name
    return ChatTemplate(name) if "{" in name else named_template(name)


def _answer(first: dict[str, Any]) -> list[dict[str, Any]]:
    if "chosen" in first:
        return first["chosen"]
    best = first["response"] if "response" in first else first["answers"][first["ranks"].index(min(first["ranks"]))]
    return [{"role": "assistant", "content": best}]


def _convert(args: argparse.Namespace) -> int:
    kind, count = convert(args.file, args.out, kind=args.kind, bad_rows="skip" if args.skip_bad else "error")
    if args.json:
        print(json.dumps({"out": args.out, "kind": kind, "items": count}))
    else:
        print(f"{count:,} {kind} written to {args.out}")
    return 0


def _templates(args: argparse.Namespace) -> int:
    if args.json:
        known = {name: {"facts": f.facts, "inferred": f.inferred, "jinja": f.jinja()} for name, f in FORMATS.items()}
        print(json.dumps(known, ensure_ascii=False, indent=1))
        return 0
    for name, form in sorted(FORMATS.items()):
        print(f"{name:10} {form.facts}")
        if form.inferred:
            print(textwrap.fill(f"inferred: {form.inferred}", 100, initial_indent=" " * 11, subsequent_indent=" " * 11))
    return 0
