"""A chapter's experiment with three seeds: `python -m llm_from_scratch.book.repeat chapters/09_positions.ipynb`.

A claim about learning rests on several seeds, and that takes longer than a chapter may. So the chapter defines
`experiment(seed)`, which returns what JSON can hold, and reads the small result that is made here beforehand and
committed as `results/09_positions.json`. The code is the chapter's own: its cells are run from the top to that one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files.atomic import write_text
from .notebook import read, text

SEEDS = (0, 1, 2)


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command: 0, or 2 if there is nothing to repeat."""
    parser = argparse.ArgumentParser(prog="python -m llm_from_scratch.book.repeat", description=__doc__)
    parser.add_argument("notebook", type=Path)
    path: Path = parser.parse_args(arguments).notebook
    try:
        print(f"written to {repeat(path)}")
    except (OSError, ValueError) as error:
        print(f"book.repeat: {error}", file=sys.stderr)
        return 2
    return 0


def repeat(path: Path) -> Path:
    """Run the experiment of the chapter at `path` with every seed; the file that now holds the results.

    ValueError if no cell of the chapter defines `experiment`.
    """
    import matplotlib

    matplotlib.use("Agg")
    path = path.resolve()
    with _inside(path.parent):
        experiment = _experiment_of(path)
        seeds = {}
        for seed in SEEDS:
            seeds[seed] = experiment(seed)
            print(f"seed {seed} is done", flush=True)
    kept = {"command": f"python -m llm_from_scratch.book.repeat chapters/{path.name}", "seeds": seeds}
    results = path.parent / "results" / f"{path.stem}.json"
    results.parent.mkdir(exist_ok=True)
    write_text(results, json.dumps(kept) + "\n")
    return results


def _experiment_of(path: Path) -> Callable[[int], Any]:
    namespace: dict[str, Any] = {"__name__": "__main__"}  # where dataclasses look for their module
    for number, cell in enumerate(read(path)["cells"], start=1):
        if cell["cell_type"] != "code":
            continue
        with contextlib.redirect_stdout(io.StringIO()):  # what the cells show stands in the chapter
            exec(compile(text(cell["source"]), f"{path.name}, cell {number}", "exec"), namespace)
        if "experiment" in namespace:
            found: Callable[[int], Any] = namespace["experiment"]
            return found
    raise ValueError(f"{path.name} has no experiment: a cell that defines experiment(seed) was expected")


@contextlib.contextmanager
def _inside(folder: Path) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
