"""The sub-command `data clean`: its options, and what it prints."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..data.curation.chain import Chain
from ..data.curation.choosing import PRESETS, choose, listed
from ..data.curation.decontamination import Decontamination
from ..data.curation.pipeline import NothingLeft, clean, place_to_write
from ..data.curation.reading import LONGEST, SPLITS, Inputs
from ..data.curation.report import PAGE, complete, write_report
from ..data.curation.wording import counted, share, summary, typed
from ..files.lock import sole_writer
from ..training.workers import available_cores

HELP = "text as it is found to text worth training on: rules one can choose, what each removed, and a page to look at"
EXAMPLES = """examples:
  python -m llm_from_scratch data clean --rules                             the rules, their settings, what is on
  python -m llm_from_scratch data clean pages clean.jsonl --report report   a folder of HTML and text
  python -m llm_from_scratch data clean a.jsonl b.jsonl clean.jsonl         several inputs, then the output
  python -m llm_from_scratch data clean book.txt clean.jsonl --split paragraph --without near
  python -m llm_from_scratch data clean a.jsonl clean.jsonl --preset c4 --set near.threshold=0.7
  python -m llm_from_scratch train --data clean.jsonl

The same command goes on where it was stopped. What is no text (binary, not UTF-8, not JSON, longer than --longest) is
skipped, named and counted; with --strict the first such document is an error.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = HELP, EXAMPLES
    parser.add_argument("paths", nargs="*", metavar="IN … OUT", help="what to clean, one or several: JSON lines "
                        "with a text, a text or HTML file (gzipped too), a folder of them, or tales:SIZE, pydoc, "
                        "shakespeare; last the file to write: JSON lines with a text")  # fmt: skip
    parser.add_argument("--report", metavar="DIR", help="write report.html and report.json into this directory")
    parser.add_argument("--rules", action="store_true", help="list the rules as they would be applied, and stop")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default", help="which rules are on to begin with")
    parser.add_argument("--without", action="append", default=[], metavar="RULE", help="switch a rule off")
    parser.add_argument("--with", action="append", default=[], metavar="RULE", dest="including", help="switch one on")
    parser.add_argument("--set", action="append", default=[], metavar="RULE.NAME=VALUE", dest="settings",
                        help="change a setting of a rule")  # fmt: skip
    parser.add_argument("--evaluation", action="append", default=[], metavar="FILE",
                        help="remove what shares a run of words with these texts (decontamination)")  # fmt: skip
    parser.add_argument("--split", choices=list(SPLITS), default="document", help="where a text is cut into documents: "
                        "at <|endoftext|> (without any it is one), at empty lines, at line ends")  # fmt: skip
    parser.add_argument("--longest", type=int, default=LONGEST, metavar="BYTES",
                        help=f"of a document; longer texts are cut at line ends (default {LONGEST:,})")  # fmt: skip
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core, at most 8)")
    parser.add_argument("--seed", type=int, default=0, help="which tales")
    parser.add_argument("--strict", action="store_true", help="what cannot be read is an error, not skipped")
    parser.add_argument("--restart", action="store_true", help="begin afresh, whatever a stopped call left behind")


def run(args: argparse.Namespace) -> int:
    chain = choose(
        args.preset,
        without=_names(args.without),
        including=_names(args.including),
        settings=args.settings,
        evaluation=args.evaluation,
    )
    if args.rules:
        _show_rules(chain, as_json=args.json)
        return 0
    if len(args.paths) < 2:
        raise ValueError("name what to clean and the file to write: data clean IN OUT (data clean --rules lists rules)")
    *names, out = args.paths
    known = importlib.util.find_spec("py3langid") is not None
    chain = dataclasses.replace(chain, languages=args.report is not None and known)
    inputs = Inputs(names, split=args.split, longest=args.longest, seed=args.seed)
    for rule in chain.rules:
        if isinstance(rule, Decontamination) and rule.ignored:
            names = ", ".join(rule.ignored[:3]) + (", …" if len(rule.ignored) > 3 else "")
            short = f"{counted(len(rule.ignored), 'evaluation text')} too short to be looked for"
            print(f"{short} (fewer than {min(rule.shortest, rule.ngram)} words): {names}", file=sys.stderr)
    workers = min(8, available_cores()) if args.workers is None else args.workers
    with contextlib.ExitStack() as stack:
        if args.report is not None:
            if Path(args.report).is_file():
                raise ValueError(f"{args.report} is a file: name a directory for the report")
            place_to_write(Path(args.report) / PAGE, inputs)
            stack.enter_context(sole_writer(args.report))
        bar = stack.enter_context(tqdm(total=inputs.size, unit="B", unit_scale=True, disable=None, leave=False))
        try:
            numbers = clean(
                inputs, out, chain, workers=workers, strict=args.strict, restart=args.restart,
                progress=bar.update, report=lambda numbers: _report(args.report, complete(numbers, inputs, chain)),
            )  # fmt: skip
        except KeyboardInterrupt:
            print("\nthe same command goes on where this one stood", file=sys.stderr)
            raise
        except NothingLeft as error:
            where = f"; {Path(args.report) / PAGE} shows what each rule removed" if args.report else ""
            raise ValueError(f"{error}{where}") from None
    report = complete(numbers, inputs, chain)
    if args.json:
        print(json.dumps(report, ensure_ascii=False))
        return 0
    _show(report)
    print(f"\nwritten to {out}" + (f"; look at {Path(args.report) / PAGE}" if args.report else ""))
    return 0


def _names(values: list[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",")]


def _report(directory: str | None, report: dict[str, Any]) -> None:
    if directory is not None:
        write_report(directory, report)


def _show(report: dict[str, Any]) -> None:
    documents, characters = report["documents"]["read"], report["characters"]["read"]
    width = max(len(rule["name"]) for rule in report["rules"]) + 2
    print(f"{'':{width}}{'documents':>12}{'characters':>16}")
    print(f"{'read':{width}}{documents:12,}{characters:16,}")
    for rule in report["rules"]:
        documents -= rule["removed"]
        characters += rule["added_characters"] - rule["removed_characters"]
        did = [f"{rule[what]:,} {what}" for what in ("removed", "changed") if rule[what]]
        print(f"  {rule['name']:{width - 2}}{documents:12,}{characters:16,}   {', '.join(did)}".rstrip())
    kept, read = report["documents"]["kept"], report["documents"]["read"]
    letters = share(report["characters"]["kept"], report["characters"]["read"])
    print(f"{'kept':{width}}{documents:12,}{characters:16,}   {share(kept, read)} of the documents, "
          f"{letters} of the characters")  # fmt: skip
    print("\n" + summary(report))
    for reason, entry in report["skipped"].items():
        first = entry["examples"][0]
        print(f"skipped, {reason}: {entry['count']:,}, such as {first['place']}: {first['detail']}", file=sys.stderr)


def _show_rules(chain: Chain, *, as_json: bool) -> None:
    rules = listed()
    now = chain.identity()
    if as_json:
        rows = [{**rule, "on": rule["name"] in now, "now": now.get(rule["name"])} for rule in rules]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    width = max(len(rule["name"]) for rule in rules)
    print("in the order in which a text meets them:\n")
    for rule in rules:
        on = rule["name"] in now
        print(f"  {'on ' if on else 'off'}  {rule['name']:{width}}  {rule['does']}")
        for name, value in now.get(rule["name"], rule["settings"]).items():
            changed = "" if value == rule["settings"][name] else f"   (default {typed(rule['settings'][name])})"
            print(f"{'':{width + 9}}{name}={typed(value)}{changed}")
    print("\npresets (--preset):")
    for preset, names in PRESETS.items():
        print(f"  {preset:12} {', '.join(names)}")
    print("\n--without RULE, --with RULE, --set RULE.NAME=VALUE")
