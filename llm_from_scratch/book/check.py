"""Whether a chapter still says what it says: executes it, compares every output, keeps the differences in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files.atomic import write_text
from ..kernels.processor import Setting
from .compare import Difference, compare
from .execute import SECONDS, ExecutionError, execute
from .notebook import read

KEPT = Path(".book-differences")
"""The folder for them, below the current one, ignored by git: a file a chapter, gone when the chapter agrees again."""


def check(path: Path, *, seconds: float = SECONDS, setting: Setting | None = None) -> tuple[list[Difference], float]:
    """All differences of the chapter at `path`, and the seconds it took; under a lesser processor's `setting` if given.

    A cell that raises does not end the search. One that runs too long does: what came before it is compared.
    """
    committed, name = read(path), path.stem + (f" on {setting.kind}" if setting else "")
    environment = setting.environment() if setting else None
    took = 0.0
    try:
        executed, took = execute(path, seconds=seconds, keep_going=True, environment=environment)
        differences = compare(committed, executed, name)
    except ExecutionError as error:
        before, reached = ({"cells": each["cells"][: max(error.cell - 1, 0)]} for each in (committed, error.executed))
        silent = Difference(name, error.cell, "", None, "an end", str(error))
        differences = [*compare(before, reached, name), silent]
    _keep(name, differences)
    return differences, took


def message(differences: Sequence[Difference]) -> str:
    """All of them, where they are kept, and what to do; empty if there are none."""
    if not differences:
        return ""
    name = differences[0].chapter
    return "\n".join(
        [
            *map(str, differences),
            f"These differences are kept in {_file(name)}. If the new output is right, and every processor will find "
            f"it: python -m llm_from_scratch.book run chapters/{name.partition(' on ')[0]}.ipynb",
        ]
    )


def _file(name: str) -> Path:
    return KEPT / f"{name.replace(' ', '_')}.txt"


def _keep(name: str, differences: Sequence[Difference]) -> None:
    if differences:
        write_text(_file(name), "\n".join(map(str, differences)) + "\n")
    else:
        _file(name).unlink(missing_ok=True)
