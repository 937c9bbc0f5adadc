"""`python -m llm_from_scratch.book`: make, execute and check chapters."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import compare, notebook, structure
from .execute import ExecutionError, execute

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
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("notebooks", nargs="*", type=Path, help="default: all in chapters/")
        command.add_argument("--seconds", type=float, default=300.0, help="limit for one cell (default: 300)")
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
        return _run(options.notebook, 300.0)
    paths = options.notebooks or sorted(CHAPTERS.glob("*.ipynb"))
    if not paths:
        raise ValueError("there is no notebook in chapters/; name one")
    act = {"run": _run, "check": _check, "lint": _lint}[options.command]
    return max([act(path, options.seconds) for path in paths])


def _run(path: Path, seconds: float) -> int:
    executed, took = execute(path, seconds=seconds)
    notebook.write(path, executed)
    print(f"{path.name}: {took:.0f} s, {path.stat().st_size / 1000:.0f} kB")
    return _lint(path, seconds)


def _check(path: Path, seconds: float) -> int:
    executed, took = execute(path, seconds=seconds)
    differences = compare.compare(notebook.read(path), executed)
    print(
        f"{path.name}: {took:.0f} s, {len(differences)} cells differ"
        if differences
        else f"{path.name}: {took:.0f} s, same"
    )
    for difference in differences:
        print(f"  {difference}")
    if differences:
        print(f"  If the new output is right: python -m llm_from_scratch.book run chapters/{path.name}")
    return int(bool(differences))


def _lint(path: Path, seconds: float) -> int:
    found = structure.problems(path)
    for problem in found:
        print(f"{path.name}: {problem}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
