"""Applies the named wrong solutions of a chapter and sees each rejected by the check that is meant for it.

A wrong solution is a one-line patch of the worked one: `"name": (old text, new text, the check that must
fail)`. This runs the authors' own code, in this process; a learner's file never comes here.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .session import CheckResult, run_task
from .tasks import Chapter, Task

Patch = tuple[str, str, str]
FEWEST_WRONGS = 5


@dataclass
class Verdict:
    """What the checks said of one wrong solution."""

    task: str
    wrong: str
    meant_check: str
    results: list[CheckResult]

    @property
    def failing(self) -> list[str]:
        """Names of the checks that the mistake fails."""
        return [result.name for result in self.results if result.status == "failed"]

    @property
    def caught(self) -> bool:
        """Whether the check that is meant for it is among them."""
        return self.meant_check in self.failing

    @property
    def message(self) -> str:
        """What a learner who made this mistake would read first."""
        first = next((r for r in self.results if not r.passed), None)
        if first is None:
            return "ACCEPTED"
        return f"[{first.name}] {first.message}" + (f"\n    likely cause: {first.cause}" if first.cause else "")


def load(path: Path, name: str) -> ModuleType:
    """Import one of the authors' files under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]  # where a learner's code could import it
    return module


def read_wrongs(chapter: Chapter) -> dict[str, dict[str, Patch]]:
    """The table WRONGS of `exercises/wrongs/chNN_topic.py`: task -> name -> patch."""
    table: Mapping[str, Mapping[str, Patch]] = load(chapter.wrongs, "wrongs_" + chapter.name).WRONGS
    return {task: dict(patches) for task, patches in table.items()}


def patched_source(source: str, task: Task, old: str, new: str) -> str:
    """The solution with `old` replaced by `new` in the body of one task, where it must stand exactly once.

    >>> from llm_from_scratch.grading.tasks import Task
    >>> text = '''def double(x):
    ...     \"\"\"Twice x.\"\"\"
    ...     return 2 * x
    ... '''
    >>> where = Task("double", 1, "easy", 5, {"a": "b"}, "So.", def_line=1, body_line=3, last_line=3)
    >>> print(patched_source(text, where, "2 * x", "x").splitlines()[-1])
        return x
    >>> patched_source(text, where, "3 * x", "x")
    Traceback (most recent call last):
    ValueError: double: the text '3 * x' must occur exactly once in the body, found 0 times
    """
    lines = source.splitlines(keepends=True)
    body = "".join(lines[task.body_line - 1 : task.last_line])
    found = body.count(old)
    if found != 1:
        raise ValueError(f"{task.name}: the text {old!r} must occur exactly once in the body, found {found} times")
    if "\n" in old:
        raise ValueError(f"{task.name}: a patch changes one line, got {old!r}")
    changed = body.replace(old, new)
    result = "".join(lines[: task.body_line - 1]) + changed + "".join(lines[task.last_line :])
    ast.parse(result)
    return result


def wrong_module(chapter: Chapter, source: str, task: Task, patch: Patch) -> ModuleType:
    """The worked solution with one mistake in it, as a module."""
    module = ModuleType("wrong_" + chapter.name)
    exec(compile(patched_source(source, task, patch[0], patch[1]), "wrong/" + chapter.file_name, "exec"), vars(module))
    return module


def sweep(chapter: Chapter, seed: int = 1) -> Iterator[Verdict]:
    """Run every wrong solution of a chapter against its task's checks."""
    source, wrongs = chapter.source(), read_wrongs(chapter)
    checks = load(chapter.checks, "checks_" + chapter.name)
    worked = load(chapter.solution, "worked_" + chapter.name)
    for task in chapter.tasks():
        for name, patch in wrongs.get(task.name, {}).items():
            module = wrong_module(chapter, source, task, patch)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # wrong code overflows and divides by zero
                results = list(run_task(task, checks, module, worked, [seed, seed + 1], "wrong/" + chapter.file_name))
            yield Verdict(task.name, name, patch[2], results)
