"""The command `recipe`: the year's recipes at small scale: what they were, and a run of any of them."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from . import _tuning
from ._telling import say_to

HELP = "the recipes of 2023 in small: Alpaca, Vicuna, Zephyr, LLaMA-2-chat and others"

EXAMPLES = """examples:
  python -m llm_from_scratch recipe list                          all of them, and what was particular to each
  python -m llm_from_scratch recipe show zephyr                   what the original did, and what happens here
  python -m llm_from_scratch recipe table                         which technique goes with which family, tried
  python -m llm_from_scratch recipe run zephyr --model chapters/tales_model --out runs/zephyr
  python -m llm_from_scratch recipe run zephyr --resume --out runs/zephyr      after it was stopped, anywhere
  python -m llm_from_scratch recipe run alpaca --model smollm2 --steps 20 --batch 2 --out runs/alpaca

A run is a directory with a folder for each stage. The model is a directory, a .gguf file, or smollm2 (fetched once).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options; those of a run are None unless given, for with --resume nothing may be."""
    parser.epilog = EXAMPLES
    parser.add_argument("what", choices=("list", "show", "run", "table"), help="what to do")
    parser.add_argument("recipe", nargs="?", metavar="NAME", help="show, run: which recipe")
    _tuning.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    from ..recipes.presets import PRESETS, find_preset

    if args.what == "list":
        _refuse(args, "list", ("recipe", *_tuning.OF_A_RUN, "model", "out", "resume", "force"))
        result = [describe(preset) for preset in PRESETS.values()]
        print(json.dumps(result, indent=2, ensure_ascii=False) if args.json else "\n".join(_list(result)))
        return 0
    if args.what == "table":
        from ..recipes.technique_table import technique_table, trials

        _refuse(args, "table", ("recipe", *_tuning.OF_A_RUN, "model", "out", "resume", "force"))
        found = trials()
        cells = {family: {name: vars(one) for name, one in tried.items()} for family, tried in found.items()}
        print(json.dumps(cells, indent=2, ensure_ascii=False) if args.json else technique_table(found))
        return 0
    if args.recipe is None:
        raise ValueError(f"recipe {args.what} takes a name: {', '.join(PRESETS)}")
    preset = find_preset(args.recipe)
    if args.what == "show":
        _refuse(args, "show", (*_tuning.OF_A_RUN, "model", "out", "resume", "force"))
        page = describe(preset)
        print(json.dumps(page, indent=2, ensure_ascii=False) if args.json else "\n".join(_sheet(page)))
        return 0
    return _run(args, preset)


def describe(preset: Any) -> dict[str, Any]:
    """What is known of a recipe, as JSON can hold it."""
    from ..zoo.assistants import ASSISTANTS

    entries = ("month", "base", "who", "sizes", "data", "technique", "source")
    originals = {title: {entry: ASSISTANTS[title].words(entry) for entry in entries} for title in preset.releases}
    stages = [{"name": stage.name, "does": stage.does} for stage in preset.stages]
    told = {"name": preset.name, "particular": preset.particular, "here": preset.here, "template": preset.template}
    return {**told, "originals": originals, "stages": stages}


def _list(pages: list[dict[str, Any]]) -> list[str]:
    lines = []
    for page in pages:
        first = next(iter(page["originals"].values()))
        lines.append(f"{page['name']:18} {first['month'][:7]}  {' → '.join(stage['name'] for stage in page['stages'])}")
        lines.append(f"{'':18} {page['particular']}")
    return lines


def _sheet(page: dict[str, Any]) -> list[str]:
    lines = [page["name"], ""]
    for title, original in page["originals"].items():
        lines += [title, *(f"  {entry:<11} {words}" for entry, words in original.items()), ""]
    template = page["template"]
    lines += ["particular to it", f"  {page['particular']}", ""]
    lines += ["here, in small", f"  {page['here']}"]
    lines += ["  template: " + (template if "{" not in template else "of its own"), ""]
    lines += [f"  {number}. {stage['name']}: {stage['does']}" for number, stage in enumerate(page["stages"], 1)]
    name = page["name"]
    lines += ["", f"  python -m llm_from_scratch recipe run {name} --model chapters/tales_model --out runs/{name}"]
    return lines


def _run(args: argparse.Namespace, preset: Any) -> int:
    from ..recipes import stages

    say = say_to(sys.stderr if args.json else sys.stdout)
    if args.out is None:
        raise ValueError(_tuning.NO_OUT)
    standing = stages.standing_of(args.out)
    settings = None
    if args.resume:
        _refuse(args, "run … --resume", (*_tuning.OF_A_RUN, "model", "force"))
    else:
        settings = _settings(args, preset)
        if standing != "new":
            if not args.force:
                how = f"go on with --resume --out {args.out}, or " if standing == "unfinished" else ""
                raise ValueError(f"{args.out} holds a run already ({standing}): {how}--force to replace it")
            stages.remove(args.out)
    report = stages.run_stages(args.out, preset.name, preset.stages, settings, say=say)
    if report is None:
        say(f"to go on:  python -m llm_from_scratch recipe run {preset.name} --resume --out {args.out}")
        return 130
    _show(report, say)
    if args.json:
        print(json.dumps(report))  # ASCII: whatever the terminal knows, nothing is lost
    return 0


def _settings(args: argparse.Namespace, preset: Any) -> dict[str, Any]:
    from ..files.download import find_model
    from ..recipes.beginning import chosen_template, open_model
    from ..recipes.settings import check_settings

    if args.model is None:
        raise ValueError(_tuning.NO_MODEL)
    given = {name: getattr(args, name) for name in _tuning.OF_A_RUN}
    check_settings(given)
    path = find_model(args.model)
    _, tokenizer = open_model(path, packed=True)  # both say what is wrong, before anything is written
    chosen_template(tokenizer, args.template, preset.template)
    return {**given, "seed": args.seed or 0, "model": str(path)}


def _refuse(args: argparse.Namespace, where: str, names: tuple[str, ...]) -> None:
    """ValueError for options that have no place there."""
    given = [name for name in names if getattr(args, name) is not None and getattr(args, name) is not False]
    if given:
        options = ", ".join("NAME" if name == "recipe" else "--" + name.replace("_", "-") for name in given)
        raise ValueError(f"recipe {where} takes no {options}")


def _show(report: dict[str, Any], say: Any) -> None:
    """The figures before the first stage and after each that trains."""
    trained = [stage for stage in report["stages"] if "after" in stage]
    names = list(trained[0]["before"]["figures"])
    looks = [("before", trained[0]["before"]), *((stage["stage"], stage["after"]) for stage in trained)]
    say("\n" + " " * 20 + "".join(f"{name.replace('_', ' '):>16}" for name in names))
    for title, look in looks:
        figures = [look["figures"].get(name) for name in names]
        say(f"{title:20}" + "".join(f"{'':>16}" if value is None else f"{value:>16.3f}" for value in figures))
    say(f"\nto talk with it:  python -m llm_from_scratch chat --model {report['model']}")
