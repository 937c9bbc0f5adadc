"""How a chapter's checks are written down and collected.

A check is a plain function decorated with `@check("task")`. It receives the learner's function and, if it
asks for one, a random generator; it returns nothing and raises `CheckFailed` through the helpers in
`assertions`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

from .assertions import CheckFailed
from .attempt import Attempt

UNCHANGED = "inputs_unchanged"  # the name of the check that `inputs_stay_unchanged` adds
CheckFunction = Callable[..., None]


@dataclass(frozen=True)
class Check:
    """One check of one task. Checks that take `rng` run on two seeds, the others once."""

    task: str
    name: str
    about: str
    function: CheckFunction
    takes_rng: bool


def _register(namespace: dict[str, Any], new: Check) -> None:
    checks: list[Check] = namespace.setdefault("CHECKS", [])
    if any((old.task, old.name) == (new.task, new.name) for old in checks):
        raise ValueError(f"{new.task} has two checks called {new.name}")
    checks.append(new)


def check(task: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check of `task`, in the list CHECKS of the module that defines it.

    Its name identifies it in reports and in the table of wrong solutions; the first line of its docstring
    tells the learner what is asked.

    >>> @check("double")
    ... def doubles_one(double):
    ...     '''twice one is two'''
    ...     assert double(1) == 2
    >>> [(c.task, c.name, c.about, c.takes_rng) for c in CHECKS]
    [('double', 'doubles_one', 'twice one is two', False)]
    """

    def register(function: CheckFunction) -> CheckFunction:
        about = inspect.getdoc(function)
        if not about:
            raise ValueError(f"the check {function.__name__} needs a docstring: it is what the learner reads")
        parameters = list(inspect.signature(function).parameters)
        if len(parameters) not in (1, 2) or parameters[1:] not in ([], ["rng"]):
            raise ValueError(f"the check {function.__name__} must take (function) or (function, rng), got {parameters}")
        new = Check(task, function.__name__, about.splitlines()[0], function, len(parameters) == 2)
        _register(function.__globals__, new)
        return function

    return register


def inputs_stay_unchanged(*tasks: str) -> None:
    """Add to each task a last check: no call made by the checks before it changed its arguments.

    The grader hands copies to the learner and compares them after every call, see `Attempt`.
    """
    caller: FrameType = sys._getframe(1)
    for name in tasks:
        new = Check(name, UNCHANGED, "the arguments are left as they were", _unchanged, takes_rng=False)
        _register(caller.f_globals, new)


def _unchanged(attempt: Attempt) -> None:
    if attempt.changed:
        raise CheckFailed(
            f"after the call, {attempt.changed[0]} is not what it was before.",
            "work on a copy: `x = x.copy()` or `x = x + ...`, not `x += ...` or `x[...] = ...`.",
        )
    if not attempt.returned:
        raise CheckFailed("no call has come back with an answer yet, so this cannot be seen.")


def collect(module: ModuleType, task: str) -> list[Check]:
    """The checks of one task, in the order in which they are written."""
    return [c for c in getattr(module, "CHECKS", []) if c.task == task]
