"""`python -m llm_from_scratch.book`: make, execute and check chapters."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..kernels import processor
from . import compare, notebook, structure
from .check import check, message
from .execute import SECONDS, ExecutionError, execute

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
NEW = """# {number} · {title}

*Takes about 20 seconds on two CPU cores.*

One sentence: the question of this chapter.

```python
import numpy as np

from llm_from_scratch import book

book.use_style()
book.where_it_sits("block")
```

## Symbols

## The smallest case by hand

## Loop, NumPy, package

## Backward

## Using it

## Who used it in 2023

## What surprised us

## Common mistakes

## Exercises

## Papers
"""


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command; 0 if all is well, 1 if a chapter fails, 2 if the question made no sense."""
    parser = argparse.ArgumentParser(prog="python -m llm_from_scratch.book", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("run", "execute notebooks and write their outputs"),
        ("check", "execute notebooks and compare the outputs with the committed ones"),
        ("lint", "check the form of notebooks without executing them"),
        ("count", "say how much of each notebook's output is compared"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("notebooks", nargs="*", type=Path, help="default: all in chapters/")
        if name in ("run", "check"):
            command.add_argument("--seconds", type=float, default=SECONDS, help="limit for one cell (%(default)g)")
        if name == "check":
            command.add_argument("--lower", action="store_true", help="as a lesser processor than this one finds them")
    command = commands.add_parser("new", help="begin a chapter: write its skeleton as Markdown")
    command.add_argument("markdown", type=Path, help="such as 05_adam.md")
    command = commands.add_parser(
        "build", help="turn Markdown (```python blocks are cells) into a notebook, and run it"
    )
    command.add_argument("markdown", type=Path)
    command.add_argument("notebook", type=Path)
    command = commands.add_parser("text", help="print a notebook as Markdown without outputs, for review or rewriting")
    command.add_argument("notebook", type=Path)
    options = parser.parse_args(arguments)
    try:
        return _carry_out(options)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"book: {error}", file=sys.stderr)
        return 1 if isinstance(error, ExecutionError) else 2


def _carry_out(options: argparse.Namespace) -> int:
    if options.command == "new":
        if options.markdown.exists():
            raise ValueError(f"{options.markdown} exists already")
        number, _, topic = options.markdown.stem.partition("_")
        options.markdown.write_text(
            NEW.format(number=number.lstrip("0"), title=topic.replace("_", " ").capitalize()),
            encoding="utf-8",
        )
        return 0
    if options.command == "text":
        sys.stdout.buffer.write(notebook.to_markdown(notebook.read(options.notebook)).encode())
        return 0
    if options.command == "build":
        notebook.write(options.notebook, notebook.from_markdown(options.markdown.read_text(encoding="utf-8")))
        return _run(options.notebook, SECONDS)
    paths = options.notebooks or sorted(CHAPTERS.glob("*.ipynb"))
    if not paths:
        raise ValueError("there is no notebook in chapters/; name one")
    if options.command == "run":
        return max([_run(path, options.seconds) for path in paths])
    if options.command == "check":
        setting = processor.lower() if options.lower else None
        if setting:
            processor.verify(setting)
        return max([_check(path, options.seconds, setting) for path in paths])
    return max([{"lint": _lint, "count": _count}[options.command](path) for path in paths])


def _run(path: Path, seconds: float) -> int:
    executed, took = execute(path, seconds=seconds)
    notebook.write(path, executed)
    print(f"{path.name}: {took:.0f} s, {path.stat().st_size / 1000:.0f} kB")
    return _lint(path)


def _check(path: Path, seconds: float, setting: processor.Setting | None) -> int:
    differences, took = check(path, seconds=seconds, setting=setting)
    print(f"{path.name}: {took:.0f} s, {len(differences) or 'no'} differences", flush=True)
    if differences:
        print(message(differences), flush=True)
    return int(bool(differences))


def _count(path: Path) -> int:
    print(f"{path.name}:", ", ".join(f"{number} {what}" for what, number in compare.count(notebook.read(path)).items()))
    return 0


def _lint(path: Path) -> int:
    found = structure.problems(path)
    for problem in found:
        print(f"{path.name}: {problem}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
