"""Runs the checks of one task against one function, in the process it is called in.

The child process uses it on a learner's file; the authors' sweep uses it on wrong solutions. Nothing here
protects against endless loops or crashes: that is the parent's business.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np

from .assertions import NONE_CAUSE, CheckBroken, CheckFailed
from .attempt import Attempt
from .explain import explain_error, frames_in
from .registry import Check, collect
from .settings import Settings
from .tasks import Task
from .words import kind, unfinished

FIXED_SEED = 2023
Restore = Callable[[], str]  # puts back what was replaced, and names it: `Guard.restore`
_default_rng = np.random.default_rng


@dataclass
class CheckResult:
    """What one check said.

    `status`: passed, failed, not started, skipped (it could not run), or broken (the check's own fault). `mistakes`
    are the named wrong solutions that give the very answers it saw.
    """

    name: str
    about: str
    status: str
    message: str = ""
    cause: str = ""
    seed: int | None = None
    mistakes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the check ran and found nothing wrong."""
        return self.status == "passed"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@contextlib.contextmanager
def lending(module: ModuleType, worked: ModuleType, names: tuple[str, ...]) -> Iterator[None]:
    """Within the block, `module` calls the worked versions of these functions instead of its own."""
    own = {name: vars(module)[name] for name in names if name in vars(module)}
    vars(module).update({name: vars(worked)[name] for name in names})
    try:
        yield
    finally:
        vars(module).update(own)


def run_check(
    check: Check, attempt: Attempt, seeds: list[int], file: str, restore: Restore | None = None
) -> CheckResult:
    """Run one check once for every seed, stopping at the first failure."""
    for seed in seeds if check.takes_rng else [None]:
        settings = Settings()
        attempt.begin()
        result = _run_once(check, attempt, seed, file)
        replaced = restore() if restore else ""
        hidden = settings.restore()
        if hidden or replaced:
            attempt.begin()  # such answers say nothing
        if hidden:
            result.status, (result.message, result.cause) = "failed", hidden
        if replaced:
            result.status, result.cause = "failed", ""
            result.message = (
                f"your code replaces {replaced}, which the checks rely on. Leave the libraries as they are."
            )
        if not result.passed:
            return result
    return CheckResult(check.name, check.about, "passed")


def _run_once(check: Check, attempt: Attempt, seed: int | None, file: str) -> CheckResult:
    result = CheckResult(check.name, check.about, "failed", seed=seed)
    # the name makes checks independent of one another and of their order
    inputs = [] if seed is None else [_default_rng([seed, crc32(f"{check.task}.{check.name}".encode())])]
    try:
        check.function(attempt, *inputs)
    except CheckFailed as failure:
        result.message, result.cause = failure.message, failure.cause
    except CheckBroken as failure:
        result.status, result.message = "broken", f"the check itself is at fault, please report it: {failure}"
    except NotImplementedError as error:
        result.message, result.cause = explain_error(error, file)
        frames = frames_in(error, file)
        if frames and frames[-1].name == check.task:
            result.status = "not started"
    except BaseException as error:  # KeyboardInterrupt and SystemExit of the learner's own included
        result.message, result.cause = _explain(error, attempt, file)
    else:
        result.status = "passed"
    return result


def _explain(error: BaseException, attempt: Attempt, file: str) -> tuple[str, str]:
    """An exception that came out of a check: raised by the learner's code, by its answer, or by the call itself."""
    message, cause = explain_error(error, file)
    if attempt.running:
        message += f"\n    in the call {attempt.last_call}"
        if isinstance(error, TypeError) and not frames_in(error, file):
            cause = "keep the function's parameters as the exercise gives them: the checks call it in that way."
    elif attempt.answers:
        answer = attempt.answers[-1][0]
        message = f"the check cannot use the answer, {kind(answer)}: {message}\n    of the call {attempt.last_call}"
        cause = NONE_CAUSE if answer is None else unfinished(answer) or "compare it with what the contract promises."
    return message, cause


def run_task(
    task: Task,
    checks_module: ModuleType,
    module: ModuleType,
    worked: ModuleType,
    seeds: list[int],
    file: str,
    restore: Restore | None = None,
    kept: dict[str, list[Any]] | None = None,
) -> Iterator[CheckResult]:
    """Yield the result of each check of `task` on the function of that name in `module`, as they come.

    `file` is the path of the module's source. `kept` receives, for each check that failed, the answers it was given.
    """
    checks = collect(checks_module, task.name)
    if not checks:
        yield CheckResult("checks", "the task has checks", "broken", f"no checks are written for {task.name}")
        return
    function, name = vars(module).get(task.name), os.path.basename(file)
    if not callable(function):
        near = [n for n in vars(module) if n.lower().strip("_") == task.name or task.name in n]
        message = f"{name} has no function called {task.name}." if function is None else f"{task.name} is no function."
        yield CheckResult(
            "defined",
            f"{name} defines {task.name}",
            "failed",
            message,
            f"it has {near[0]}: was it renamed?" if near and function is None else "",
        )
        return
    attempt = Attempt(function)
    with lending(module, worked, task.uses):
        for check in checks:
            result = run_check(check, attempt, seeds, file, restore)
            if kept is not None and result.status == "failed":
                kept[check.name] = attempt.given()
            yield result
