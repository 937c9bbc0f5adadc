"""The command `zoo`: the map of the year, one model in full, what two differ in, and who descends from whom."""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.lineage import tree_of
from ..families import VARIABLE
from ..files.sharded import open_checkpoint
from ..files.strict_json import read_json_object
from ..zoo.assistants import ASSISTANTS
from ..zoo.catalogue import UNPUBLISHED_MARK, Row, ancestry, difference, read_lineage, rows, sheet, tree
from ..zoo.scaffold import scaffold

HELP = "the map of the open models of 2023: their choices, sizes and costs"

EXAMPLES = """examples:
  python -m llm_from_scratch zoo                                  one row a family
  python -m llm_from_scratch zoo llama-2-70b                      one model in full
  python -m llm_from_scratch zoo runs/quickstart                  a checkpoint of yours, with its lineage
  python -m llm_from_scratch zoo diff llama-2-7b mistral-7b       what changed
  python -m llm_from_scratch zoo assistants                       who tuned which of them, on what, and how
  python -m llm_from_scratch zoo tree                             who descends from whom
  python -m llm_from_scratch zoo tree runs/quickstart             what a checkpoint of yours was made from
  python -m llm_from_scratch zoo race                             train a miniature of each (a quarter of an hour)
  python -m llm_from_scratch zoo race gpt2 mamba-130m --steps 100
  python -m llm_from_scratch zoo race pythia-1b pythia-1b,use_parallel_residual=false
  python -m llm_from_scratch zoo new olmo --from config.json --weights model.safetensors
                                                                  begin a family file, olmo.py, from what is published

"?" stands for what is not publicly stated.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME | diff A B | tree [DIRECTORY] | assistants | race | new NAME",
        help="a released size or a checkpoint directory",
    )
    parser.add_argument(
        "--steps", type=int, default=400, metavar="N", help="race: training steps of each (default 400)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="race: another start, another order of the text"
    )
    parser.add_argument("--data", default="tales", metavar="TEXT", help="race: as for train (default tales)")
    parser.add_argument(
        "--out", metavar="FILE", help="race: keep results here, and go on from those it holds; new: the folder"
    )
    parser.add_argument("--from", dest="config", metavar="FILE", help="new: the published config.json")
    parser.add_argument(
        "--weights", metavar="PATH", help="new: a checkpoint whose tensors are listed (file, index or directory)"
    )
    parser.add_argument("--length", type=int, metavar="N", help="tokens to count FLOPs for (default: the context)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    if args.length is not None and args.length < 1:
        raise ValueError(f"--length must be at least 1, not {args.length}")
    if args.words[:1] == ["race"]:
        return _race(args)
    if args.words[:1] == ["new"]:
        return _new(args)
    result, lines = _answer(args.words, args.length)
    print(json.dumps(result, indent=2, ensure_ascii=False) if args.json else "\n".join(lines))
    return 0


def _answer(words: Sequence[str], length: int | None) -> tuple[Any, list[str]]:
    if not words:
        table = rows()
        return [dataclasses.asdict(row) for row in table], _map(table)
    if words == ["assistants"]:
        return {title: dataclasses.asdict(row) for title, row in ASSISTANTS.items()}, _assistants()
    if words[0] == "tree":
        if len(words) == 1:
            return tree(), tree()
        if len(words) > 2 or not Path(words[1]).is_dir():
            raise ValueError("zoo tree takes no names; zoo tree DIRECTORY shows what one checkpoint was made from")
        return read_lineage(words[1]), ancestry(words[1])
    if words[0] == "diff":
        if len(words) != 3:
            raise ValueError("zoo diff takes two names, such as: zoo diff llama-2-7b mistral-7b")
        found = difference(words[1], words[2])
        return {key: list(pair) for key, pair in found.items()}, _difference(words[1], words[2], found)
    if len(words) > 1:
        raise ValueError(f"zoo shows one model at a time; to compare two: zoo diff {words[0]} {words[1]}")
    page = sheet(words[0], length=length)
    return page, _sheet(page)


def _race(args: argparse.Namespace) -> int:
    from ..zoo.race import Course, race  # training is slow to import; the map should appear at once

    names = args.words[1:] or [row.sizes[len(row.sizes) // 2] for row in rows()]
    course = Course(steps=args.steps, seed=args.seed, data=args.data)
    quiet = args.json

    def report(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        found = race(names, course, folder, out=args.out, report=report)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    ranked = sorted(found["runs"].items(), key=lambda item: item[1]["loss"])
    cells = [
        (name, f"{r['loss']:.3f}", f"{r['bits_per_byte']:.3f}", f"{r['layer_parameters']:,}") for name, r in ranked
    ]
    print("\n".join(["", *_table([("", "held-out loss", "bits per byte", "parameters in layers"), *cells])]))
    return 0


def _new(args: argparse.Namespace) -> int:
    if len(args.words) != 2 or args.config is None or not args.words[1].isidentifier():
        raise ValueError("zoo new takes a name for the file and a config, such as: zoo new olmo --from config.json")
    config, shapes = read_json_object(Path(args.config)), None
    if args.weights is not None:
        checkpoint = open_checkpoint(args.weights)
        shapes = {tensor: checkpoint.entry(tensor).shape for tensor in checkpoint}
    text, path = scaffold(args.words[1], config, shapes), Path(args.out or ".") / f"{args.words[1]}.py"
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"{path} is there already: choose another name, or another folder with --out") from None
    print(f"wrote {path}; {text.count('TODO')} places marked TODO. To try it:")
    print(f"  {VARIABLE}={path} python -m llm_from_scratch zoo {args.words[1].replace('_', '-')}")
    return 0


def _map(table: Sequence[Row]) -> list[str]:
    design: list[list[str]] = [["", "parameters", *table[0].design]]
    release = [["", "month", "context", "tokens", "tokenizer", "licence", "training text"]]
    for row in table:
        design.append([row.title, _range(row.parameters, _count), *row.design.values()])
        tokens = row.release.tokens
        seen: list[Any] = list(tokens.values()) if isinstance(tokens, Mapping) else [tokens]
        facts = [row.release.month, _range(row.context, str), _range(seen, _count) if seen[0] else None]
        facts += [row.release.tokenizer, row.release.licence, row.release.data]
        release.append([row.title, *("?" if fact is None else fact for fact in facts)])
    models = ["design (read off the specs)", "", *_with_footnote(_table(design)), "", "release", "", *_table(release)]
    return [*models, "", "assistants made of them", "", *_assistants()]


def _assistants() -> list[str]:
    headings = ["", "month", "base", "who", "sizes", "data", "technique", "source"]
    rows = [[title, *(row.words(h) for h in headings[1:])] for title, row in ASSISTANTS.items()]
    notes = (
        "review: the month that Clémentine Fourrier's review of 2023 has",
        "? at the end: seen in no source of the authors",
    )
    return [*_table([headings, *rows], widest=32), "", *notes]


def _table(cells: Sequence[Sequence[str]], widest: int = 24) -> list[str]:
    """Columns as wide as they need to be, at most `widest`; longer words are folded below each other."""
    widths = [min(widest, max(len(row[k]) for row in cells)) for k in range(len(cells[0]))]
    lines = []
    for number, row in enumerate(cells):
        folded = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        for k in range(max(map(len, folded))):
            parts = [
                (fold[k] if k < len(fold) else "").ljust(width) for fold, width in zip(folded, widths, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in widths))
    return lines


def _sheet(page: dict[str, Any]) -> list[str]:
    facts = {key: value for key, value in page["facts"].items() if key != "release"}
    facts["training tokens"] = None if facts["training tokens"] is None else _count(facts["training tokens"])
    lines = [page["name"] + (f" ({page['facts']['release']})" if page["facts"]["release"] else ""), ""]
    lines += _pairs(page["design"])
    if page["unpublished"]:
        lines += ["", "* not published", *_pairs(page["unpublished"])]
    if page["facts"]["release"]:
        lines += ["", "release", *_pairs({key: value if value else "?" for key, value in facts.items()})]
    total = page["parameters"]
    parts = {part: f"{count:>18,}  {count / total:6.1%}" for part, count in page["parts"].items()}
    lines += ["", "parameters", *_pairs(parts), *_pairs({"in all": f"{total:>18,}"})]
    if page["active_parameters"] != total:
        lines += _pairs({"used by a token": f"{page['active_parameters']:>18,}"})
    lines += ["", "bytes to load", *_pairs({key: _bytes(size) for key, size in page["bytes_to_load"].items()})]
    lines += ["", "memory of generation (bfloat16)", *_pairs(_remembered(page))]
    flops = {
        "matrices": f"{page['matrix_flops_per_token']:.3e} a token",
        "attention": f"{page['attention_flops_per_token']:.3e} a token, on the average of {page['length']:,} tokens",
    }
    lines += ["", "FLOPs forward", *_pairs(flops)]
    training = {"weights, gradients, AdamW": _bytes(page["training_bytes"]) + ", activations not counted"}
    if page["training_flops"]:
        training["6ND"] = f"{page['training_flops']['6ND']:.3e} FLOPs"
        training["counted"] = f"{page['training_flops']['counted']:.3e} FLOPs"
    lines += ["", "training", *_pairs(training)]
    if page["lineage"] is not None:
        steps = tree_of(tuple(page["lineage"] or [{}]))
        lines += ["", "lineage", *[f"  {step}" for step in steps]]
    return lines


def _remembered(page: dict[str, Any]) -> dict[str, str]:
    if page["memory_per_token"] is None:
        return {"a token": "? (a mixer that is not counted here)"}
    found, fixed = {"a token": _bytes(page["memory_before_windows"])}, "fixed"
    if page["memory_before_windows"] != page["memory_per_token"]:
        found["… once windows are full"], fixed = _bytes(page["memory_per_token"]), "full windows"
    found[fixed] = _bytes(page["memory_fixed"])
    return found | {f"at {page['length']:,} tokens": _bytes(page["memory_at_length"])}


def _difference(a: str, b: str, found: dict[str, tuple[str, str]]) -> list[str]:
    if not found:
        return [f"{Path(a).name} and {Path(b).name} are of one design"]
    return _with_footnote(_table([["", a, b], *([heading, *pair] for heading, pair in found.items())], widest=40))


def _with_footnote(lines: list[str]) -> list[str]:
    """What the marks in a table mean, below it, if there are any."""
    marked = any(UNPUBLISHED_MARK in line for line in lines)
    return [*lines, "", "* not published: inferred or assumed, see the model's own sheet"] if marked else lines


def _pairs(words: dict[str, str]) -> list[str]:
    return [f"  {key:<26} {value}" for key, value in words.items()]


def _range(values: Sequence[Any], write: Any) -> str:
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low} to {high}"


def _count(value: float) -> str:
    """Three digits and a letter.

    >>> _count(124439808), _count(2e12), _count(6738415616)
    ('124M', '2T', '6.74B')
    """
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def _bytes(value: float) -> str:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.0f} bytes"
