"""Runs the checks of one task against one function, in the process it is called in.

The child process uses it on a learner's file; the authors' sweep uses it on wrong solutions. Nothing here
protects against endless loops or crashes: that is the parent's business.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np

from .assertions import CheckBroken, CheckFailed
from .attempt import Attempt
from .guard import Guard
from .registry import Check, collect
from .tasks import Task

FIXED_SEED = 2023
_default_rng = np.random.default_rng


class OutputFlood(BaseException):
    """The learner's code prints without end."""


@dataclass
class CheckResult:
    """What one check said. `status`: passed, failed, not started, or broken (the check's own fault)."""

    name: str
    about: str
    status: str
    message: str = ""
    cause: str = ""
    seed: int | None = None

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


EXPLAINED: dict[str, str] = {
    "RecursionError": "the calls are nested deeper than Python allows; a loop with a list is not.",
    "SystemExit": "exit() ends the whole program; a function ends with `return`.",
    "KeyboardInterrupt": "the code raises KeyboardInterrupt itself.",
    "EOFError": "the grader has no keyboard: the values come in as arguments, not through input().",
    "OutputFlood": "it prints without end; a print inside a loop that never stops?",
    "MemoryError": "it asks for far more memory than the task needs: which array is that large?",
    "UnboundLocalError": "the name is assigned further down, or only in a branch that was not taken.",
    "NameError": "a spelling mistake, or a missing import at the top of the file?",
    "IndentationError": "lines of one block start in the same column.",
}


def explain_error(error: BaseException, file: str) -> tuple[str, str]:
    """A learner's exception, with the line of `file` it comes from, and the likely cause."""
    name = type(error).__name__
    text = " ".join(str(error).split())[:300]
    what = text if isinstance(error, OutputFlood) else f"{name}: {text}" if text else name
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.basename(f.filename) == file]
    if frames:
        frame = frames[-1]
        code = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
        what += f"\n    at {file}, line {frame.lineno}, in {frame.name}:  {code}"
    for kind in type(error).__mro__:
        if kind.__name__ in EXPLAINED:
            return what, EXPLAINED[kind.__name__]
    return what, ""


@contextlib.contextmanager
def lending(module: ModuleType, worked: ModuleType, names: tuple[str, ...]) -> Iterator[None]:
    """Within the block, `module` calls the worked versions of these functions instead of its own."""
    own = {name: vars(module)[name] for name in names if name in vars(module)}
    vars(module).update({name: vars(worked)[name] for name in names})
    try:
        yield
    finally:
        vars(module).update(own)


def run_check(check: Check, attempt: Attempt, seeds: list[int], file: str, guard: Guard | None = None) -> CheckResult:
    """Run one check once for every seed, stopping at the first failure."""
    started = sys.getrecursionlimit()
    for seed in seeds if check.takes_rng else [None]:
        failed = CheckResult(check.name, check.about, "failed", seed=seed)
        try:
            if seed is None:
                check.function(attempt)
            else:
                # the name makes checks independent of one another and of their order
                check.function(attempt, _default_rng([seed, crc32(f"{check.task}.{check.name}".encode())]))
            outcome = None
        except CheckFailed as failure:
            failed.message, failed.cause = failure.message, failure.cause
            outcome = failed
        except CheckBroken as failure:
            failed.status, failed.message = (
                "broken",
                f"the check itself is at fault, please report it: {failure}",
            )
            outcome = failed
        except NotImplementedError as error:
            failed.message, failed.cause = explain_error(error, file)
            failed.status = "not started" if _raised_by(error, check.task, file) else "failed"
            outcome = failed
        except BaseException as error:  # KeyboardInterrupt and SystemExit of the learner's own included
            failed.message, failed.cause = explain_error(error, file)
            if attempt.last_call:
                failed.message += f"\n    in the call {attempt.last_call}"
            outcome = failed
        replaced = guard.restore() if guard else ""
        if sys.getrecursionlimit() != started:
            sys.setrecursionlimit(started)
            outcome = failed
            failed.message = "the recursion limit was raised, which only moves the wall: use a loop."
        if replaced:
            failed.status, outcome = "failed", failed
            failed.message = (
                f"your code replaces {replaced}, which the checks rely on. Leave the libraries as they are."
            )
            failed.cause = ""
        if outcome:
            return outcome
    return CheckResult(check.name, check.about, "passed")


def _raised_by(error: BaseException, task: str, file: str) -> bool:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.basename(f.filename) == file]
    return bool(frames) and frames[-1].name == task


def run_task(
    task: Task,
    checks_module: ModuleType,
    module: ModuleType,
    worked: ModuleType,
    seeds: list[int],
    file: str,
    guard: Guard | None = None,
) -> Iterator[CheckResult]:
    """Yield the result of each check of `task` on the function of that name in `module`, as they come."""
    checks = collect(checks_module, task.name)
    if not checks:
        yield CheckResult("checks", "the task has checks", "broken", f"no checks are written for {task.name}")
        return
    function = vars(module).get(task.name)
    if not callable(function):
        near = [name for name in vars(module) if name.lower().strip("_") == task.name or task.name in name]
        message = f"{file} has no function called {task.name}." if function is None else f"{task.name} is no function."
        yield CheckResult(
            "defined",
            f"{file} defines {task.name}",
            "failed",
            message,
            f"it has {near[0]}: was it renamed?" if near and function is None else "",
        )
        return
    attempt = Attempt(function)
    with lending(module, worked, task.uses):
        for check in checks:
            yield run_check(check, attempt, seeds, file, guard)
