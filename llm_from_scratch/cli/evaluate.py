"""`python -m llm_from_scratch evaluate`: how good a model is at tasks and texts, and whether two differ."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HELP = "measure a model on tasks and texts, with intervals; compare two on the same items"
EPILOG = """
examples:
  python -m llm_from_scratch evaluate tasks
  python -m llm_from_scratch evaluate --model runs/quickstart --task comprehension --task agreement
  python -m llm_from_scratch evaluate --model smollm2 --task hellaswag_val.jsonl --limit 200 --shots 3 --out runs/eval-a
  python -m llm_from_scratch evaluate --model runs/quickstart --task perplexity --data tales:50 --out runs/eval-b
  python -m llm_from_scratch evaluate compare runs/eval-a runs/eval-b
  python -m llm_from_scratch evaluate --model runs/a --against runs/b --judge smollm2 --task mt_bench.jsonl --limit 20

TASK is one of the package's (`evaluate tasks`), perplexity (of --data), or a file: HellaSwag, ARC, MMLU, TruthfulQA,
GSM8K, LAMBADA, MT-Bench, or items of your own, {"context", "choices", "answer": place of the right one}. With --out
every item's score is kept as it comes: the same command goes on after an interruption, and two such directories can
be compared. Intervals hold the true score in 95 of 100 cases.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.epilog = EPILOG
    parser.add_argument("action", nargs="?", choices=("compare", "tasks"), help="nothing: evaluate a model")
    parser.add_argument("results", nargs="*", metavar="RESULTS", help="with compare: two directories made by --out")
    parser.add_argument("--model", metavar="MODEL", help="a directory, a .gguf file, or a name such as smollm2")
    parser.add_argument("--adapter", metavar="DIR", help="an adapter that acts on the model, as peft saves it")
    parser.add_argument("--task", action="append", default=[], metavar="TASK", help="may be given several times")
    parser.add_argument("--data", metavar="SOURCE", help="for perplexity: tales:50, a text file, a folder …")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N items (or documents)")
    parser.add_argument("--items", type=int, default=200, metavar="N", help="of the package's own tasks (default 200)")
    parser.add_argument(
        "--shots", type=int, default=0, metavar="K", help="solved examples before each item (default 0)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the examples (default 0)")
    parser.add_argument(
        "--normalize",
        choices=("none", "tokens", "characters", "bytes"),
        help="what a choice's log-likelihood is divided by (default: what is usual for the task)",
    )
    parser.add_argument("--no-prior", action="store_true", help="do not score the choices without their questions")
    parser.add_argument("--truncate", action="store_true", help="cut contexts that are too long on the left")
    parser.add_argument("--context", type=int, metavar="N", help="perplexity: tokens in a window (default up to 512)")
    parser.add_argument("--stride", type=int, metavar="N", help="perplexity: tokens between windows (default: half)")
    parser.add_argument("--template", metavar="NAME", help="chat template, for contexts that are conversations")
    parser.add_argument("--contamination", metavar="SOURCE", help="also tell which items stand in this text")
    parser.add_argument("--against", metavar="MODEL", help="MT-Bench: the model whose answers are compared")
    parser.add_argument("--judge", metavar="MODEL", help="MT-Bench: the model that judges, in both orders")
    parser.add_argument("--packed", action="store_true", help="keep a .gguf file's matrices packed: less memory")
    parser.add_argument("--threads", type=int, metavar="N", help="default: all cores")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep scores here: results.json, results.png")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the scores into a PNG file")
    parser.add_argument("--save-items", type=Path, metavar="FILE", help="write a task's items as JSON lines, and stop")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def run(args: argparse.Namespace) -> int:
    """Carry out the command; the exit code."""
    if args.action == "tasks":
        return _list_tasks(args)
    if args.action == "compare":
        return _compare(args)
    if args.results:
        raise ValueError(f"{args.results[0]} is one argument too many: name tasks with --task")
    if not args.task:
        raise ValueError("name at least one --task; `evaluate tasks` lists those of the package")
    tasks = [_task(name, args) for name in args.task]
    if len({name for name, _ in tasks}) < len(tasks):
        raise ValueError("a task was named twice")
    if args.save_items is not None:
        return _save_items(tasks, args)
    if args.model is None:
        raise ValueError("name a --model to evaluate: a directory, a .gguf file, or smollm2")
    outcomes = _evaluate(tasks, args)
    if args.plot is not None:
        _plot(outcomes, args.plot, args.model)
    if args.json:
        print(json.dumps({"model": args.model, "outcomes": [outcome.to_json() for outcome in outcomes]}))
    else:
        for outcome in outcomes:
            print(_told(outcome))
    return 0


def _task(name: str, args: argparse.Namespace) -> tuple[str, Any]:
    """(name, Task), or (name, documents) for perplexity; mistakes are found before a model is loaded."""
    from ..data.sources import documents
    from ..evaluation import OWN_TASKS, own_task, read_task

    if name == "perplexity":
        if args.data is None:
            raise ValueError("--task perplexity needs --data: a text file, or tales:50")
        texts = list(documents(args.data))[: args.limit]
        if not texts:
            raise ValueError(f"there is no text in {args.data}, or --limit is {args.limit}")
        return f"perplexity of {Path(args.data).name}", texts
    if name.partition(":")[0] in OWN_TASKS and not Path(name).is_file():
        if args.items < 1:
            raise ValueError(f"--items must be at least 1, got {args.items}")
        return name, own_task(name, args.items).limited(args.limit)
    if not Path(name).is_file():
        raise FileNotFoundError(
            f"there is no task and no file {name!r}; the package's tasks are {', '.join(OWN_TASKS)} and perplexity"
        )
    task = read_task(name).limited(args.limit)
    return task.name, task


def _evaluate(tasks: list[tuple[str, Any]], args: argparse.Namespace) -> list[Any]:
    from tqdm import tqdm

    from ..evaluation import run_task, run_text, write_outcomes
    from ..files.download import find_model

    judged = [name for name, task in tasks if getattr(task, "kind", "") == "prompts"]
    if judged and (args.against is None or args.judge is None):
        raise ValueError(
            f"{judged[0]} asks for conversations: name the model to compare with (--against) and a --judge"
        )
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    model, tokenizer = _load(find_model(args.model), args)
    cache = None if args.out is None else args.out / "scores.jsonl"
    outcomes: list[Any] = []
    for name, task in tasks:
        total = len(task if isinstance(task, list) else task.items)
        with tqdm(total=total, desc=name, disable=None, file=sys.stderr, leave=False) as bar:
            about: dict[str, Any] = {"cache": cache, "progress": lambda count, bar=bar: bar.update(count - bar.n)}
            if isinstance(task, list):
                outcome = run_text(model, tokenizer, task, name=name, context=args.context, stride=args.stride, **about)
            elif task.kind == "prompts":
                outcome = _judged(model, tokenizer, task, args)
            else:
                outcome = run_task(
                    model, tokenizer, task, normalize=args.normalize, shots=args.shots, seed=args.seed,
                    template=args.template, truncate=args.truncate, prior=not args.no_prior, threads=args.threads,
                    **about,
                )  # fmt: skip
        if args.contamination is not None and not isinstance(task, list):
            _add_contamination(outcome, task, args.contamination)
        outcomes.append(outcome)
        if args.out is not None:
            write_outcomes(args.out, args.model, outcomes)
    if args.out is not None:
        _plot(outcomes, args.out / "results.png", args.model)
    return outcomes


def _load(path: Path, args: argparse.Namespace) -> tuple[Any, Any]:
    from ..adapters import load_adapter
    from ..checkpoints import from_pretrained
    from ..tokenizers import Tokenizer

    tokenizer = Tokenizer.from_pretrained(path)
    model = from_pretrained(path, packed=args.packed)
    if args.adapter is not None:
        load_adapter(model, args.adapter)
    return model, tokenizer


def _judged(model: Any, tokenizer: Any, task: Any, args: argparse.Namespace) -> Any:
    """The share of conversations that the model wins against another, as a judge sees them in both orders."""
    from ..evaluation import judged_task
    from ..files.download import find_model

    other, judge = _load(find_model(args.against), args), _load(find_model(args.judge), args)
    return judged_task((model, tokenizer), other, judge, task, template=args.template, seed=args.seed)


def _add_contamination(outcome: Any, task: Any, source: str) -> None:
    """How much of a task stands in a text, and the score on the items that do not."""
    import numpy as np

    from ..data.sources import documents
    from ..evaluation import bootstrap, contamination

    texts = [
        f"{item.get('context', item.get('turns'))} {item.get('choices', item.get('ending', ''))}" for item in task.items
    ]
    found = contamination(texts, documents(source))
    details = {"contaminated": [found.value, *found.interval], "examples": list(found.examples.values())[:3]}
    clean = np.array(outcome.scores)[~found.seen]
    if 0 < len(clean) < len(texts):
        rest = bootstrap(clean)
        details["score of the others"] = [rest.value, *rest.interval]
    outcome.details["contamination"] = details


def _list_tasks(args: argparse.Namespace) -> int:
    from ..evaluation import OWN_TASKS
    from ..evaluation.public_tasks import SHAPES

    if args.json:
        print(json.dumps({name: about for name, (_, about, _) in OWN_TASKS.items()}))
        return 0
    print("tasks of the package, generated from the world of the tales:")
    for name, (_, about, _) in OWN_TASKS.items():
        print(f"  {name:<16}{about}")
    print(f"  {'perplexity':<16}bits per byte, and perplexity per token, byte and word, of --data")
    print("\nfiles, by their rows:")
    for shape in SHAPES:
        print(f"  {shape.name:<16}{shape.keys}")
    return 0


def _save_items(tasks: list[tuple[str, Any]], args: argparse.Namespace) -> int:
    from ..files.jsonl import write_jsonl

    if len(tasks) != 1 or isinstance(tasks[0][1], list):
        raise ValueError("--save-items writes the items of one task")
    write_jsonl(args.save_items, tasks[0][1].items)
    print(f"{len(tasks[0][1].items)} items of {tasks[0][0]} written to {args.save_items}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from ..evaluation import compare, read_outcomes
    from ..files.strict_json import finite_json

    if len(args.results) != 2:
        raise ValueError(f"compare takes two directories made by evaluate --out, got {len(args.results)}")
    (first, ours), (second, theirs) = (read_outcomes(path) for path in args.results)
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise ValueError(f"the two have no task in common: {sorted(ours)} and {sorted(theirs)}")
    found = [compare(ours[name], theirs[name], args.seed) for name in shared]
    if args.json:
        told = [{**finite_json(one.__dict__), "verdict": one.verdict} for one in found]
        print(json.dumps({"models": [first, second], "comparisons": told}))
        return 0
    print(f"first   {first} ({args.results[0]})\nsecond  {second} ({args.results[1]})\n")
    print(f"{'task':<28}{'first':>9}{'second':>9}{'difference':>12}  {'95 % interval':<20}{'p':>8}  verdict")
    for one in found:
        low, high = one.interval
        print(
            f"{one.task:<28.28}{one.first:>9.4f}{one.second:>9.4f}{one.value:>+12.4f}  "
            f"{f'{low:+.4f} to {high:+.4f}':<20}{one.p_value:>8.4f}  {one.verdict} ({one.metric}, n = {one.count})"
        )
        if one.missing:
            print(f"{'':<28}{one.missing} items that only one of them was asked are left out")
    if len(found) > 1:
        print(
            f"\none comparison in 20 finds a difference by chance: of {len(found)}, ask for p below "
            f"{0.05 / len(found):.3f}"
        )
    return 0


def _told(outcome: Any) -> str:
    """An outcome as a table."""
    low, high = outcome.interval
    lines = [
        f"\n{outcome.task}",
        f"  {outcome.metric:<32}{outcome.value:>10.4f}   {low:.4f} to {high:.4f}, n = {outcome.count}",
    ]
    if low == high and outcome.metric != "bits per byte":
        lines.append(
            f"  {'':<32}{'':>10}   all alike: the true share may still differ by {min(1, 3 / outcome.count):.3f}"
        )
    asked = ", ".join(f"{name} {value}" for name, value in outcome.settings.items() if value not in (None, 0))
    if asked:
        lines.append(f"  {'asked with':<32}{asked:>10}")
    for name, value in outcome.details.items():
        if name == "groups":
            lines += [f"    {about:<30}{score:>10.4f}   n = {count}" for about, (score, count) in value.items()]
        elif name == "calibration error":
            lines.append(f"  {name:<32}{value[0]:>10.4f}   by chance alone {value[1]:.4f}")
        elif name == "contamination":
            lines.append(f"  {'contaminated':<32}{value['contaminated'][0]:>10.4f}   such as {value['examples'][:1]}")
            if "score of the others" in value:
                lines.append(f"  {'score of the others':<32}{value['score of the others'][0]:>10.4f}")
        elif name == "truncated":
            lines += [f"  {'contexts cut on the left':<32}{value:>10}"] * bool(value)
        elif isinstance(value, list) and len(value) == 3 and all(isinstance(edge, float) for edge in value):
            lines.append(f"  {name:<32}{value[0]:>10.4f}   {value[1]:.4f} to {value[2]:.4f}")
        elif isinstance(value, (int, float)):
            lines.append(f"  {name:<32}{value:>10,}" if isinstance(value, int) else f"  {name:<32}{value:>10.4f}")
    return "\n".join(lines)


def _plot(outcomes: list[Any], path: Path, title: str) -> None:
    from ..evaluation.picture import plot_outcomes

    plot_outcomes(outcomes, path, title=title)
