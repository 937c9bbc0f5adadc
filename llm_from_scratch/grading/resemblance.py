"""Finds the named wrong solution whose answers a learner's equal, so that a report can say the mistake's name.

Every named mistake of the task is run through the checks that failed, on the same inputs. Its name is given only if it
fails there too and every answer is the learner's, up to rounding that is small against the mistake itself. Nothing of
its code is ever shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from .attempt import Attempt, Raised, leaves
from .registry import UNCHANGED, Check
from .session import FIXED_SEED, CheckResult, run_check

MOST_NAMES = 2
ENOUGH = 3  # see `evidence`
TELLING_ERRORS = ("RuntimeWarning", "FloatingPointError", "OverflowError", "RecursionError")
TOLERANCE = {8: 1e-9, 4: 1e-5, 2: 1e-2}  # of the largest number, by the bytes of one


def parts(answers: list[Any]) -> tuple[list[Any], list[Any]]:
    """Nested answers taken apart: arrays and numbers with a fraction; everything else, with types and lengths."""
    numbers: list[Any] = []
    frame: list[Any] = []
    for answer in answers:
        frame.append(_shape(answer))
        for leaf in leaves(answer):
            if isinstance(leaf, (float, np.floating)) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"):
                numbers.append(np.asarray(leaf))
            else:
                frame.append(leaf.tolist() if isinstance(leaf, np.ndarray) else leaf)
    return numbers, frame


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, _shape(part)) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [type(value), *map(_shape, value)]
    return (type(value), getattr(value, "shape", None), getattr(value, "dtype", None))


def distance(a: list[Any], b: list[Any]) -> float:
    """How far apart two lists of answers are, in units of rounding; infinite if they differ otherwise.

    >>> distance([np.array([1.0, 2.0])], [np.array([1.0, 2.0 + 2e-9])]) < 2
    True
    >>> distance([[1, 2]], [[1, 2]]), distance([[1, 2]], [[1, 3]])
    (0.0, inf)
    """
    (left, first), (right, second) = parts(a), parts(b)
    if first != second or len(left) != len(right):
        return np.inf
    return max((_apart(x, y) for x, y in zip(left, right)), default=0.0)


def _apart(x: Any, y: Any) -> float:
    if x.size == 0:
        return 0.0
    with np.errstate(all="ignore"):
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        largest = max(np.abs(v[np.isfinite(v)]).max(initial=0.0) for v in (x, y))
        gap = np.where(same, 0.0, np.abs(x - y)).max() / max(largest * TOLERANCE.get(x.dtype.itemsize, 1e-9), 1e-300)
    return float(np.inf if np.isnan(gap) else gap)


def evidence(answers: list[Any], right: list[Any]) -> int:
    """How much in `answers` could hardly agree with another's by chance: differences from the right answers, counted.

    A number with many digits counts as much as three small ones; the same number everywhere counts once.

    >>> evidence([[1, 2]], [[1, 3]]), evidence([0.123], [0.5]), evidence([np.zeros(9)], [np.ones(9)])
    (1, 3, 1)
    """
    (left, first), (other, second) = parts(answers), parts(right)
    count = sum(_weight(a) for a, b in zip(first, second) if a != b) + abs(len(first) - len(second))
    for x, y in zip(left, other):
        wrong = np.unique(x if x.shape != y.shape else x[~np.isclose(x, y, rtol=1e-9, atol=0, equal_nan=True)])
        simple = ~np.isfinite(wrong) | (wrong * 64 == np.round(wrong * 64))
        count += np.where(simple, 1, ENOUGH).sum()
    return int(count)


def _weight(leaf: Any) -> int:
    return max(1, min(len(leaf), ENOUGH)) if isinstance(leaf, (str, bytes)) else 1


def likely_mistakes(
    failed: list[CheckResult],
    kept: Mapping[str, list[Any]],
    checks: Mapping[str, Check],
    worked: ModuleType,
    wrong: Mapping[str, Callable[[], ModuleType]],
    seconds: float,
) -> dict[str, list[str]]:
    """For each failed check the names of the mistakes that give the learner's answers, if there are any.

    `kept`: the learner's answers by check; `checks`: all of the task; `wrong` makes the module of each named mistake.
    Stops after `seconds`.
    """
    deadline = time.monotonic() + seconds
    right = {r.name: _answers(checks[r.name], worked, r.seed)[1] for r in failed if kept.get(r.name)}
    wanted = [r for r in failed if r.name in right and _comparable(kept[r.name], right[r.name])]
    others = [check for name, check in checks.items() if name not in {r.name for r in failed}]
    found: dict[str, dict[str, int]] = {}  # mistake -> check -> evidence
    for name, make in wrong.items():
        if not wanted or time.monotonic() > deadline:
            break
        module, fitting = make(), {}
        for result in wanted:
            mine = kept[result.name]
            status, theirs = _answers(checks[result.name], module, result.seed, mine)
            truth = right[result.name][: len(theirs)]
            if status == "failed" and distance(mine, theirs) <= min(1.0, distance(theirs, truth) / 100):
                fitting[result.name] = evidence(theirs, truth)
        if sum(fitting.values()) >= ENOUGH or (len(fitting) == len(failed) and _passes(others, module)):
            found[name] = fitting
    return {
        result.name: _best(result.name, found) for result in wanted if any(result.name in f for f in found.values())
    }


class _OtherAnswer(BaseException):
    """Ends a check in which nothing further can be learnt."""


class _Follower(Attempt):
    """A mistake that is followed only while its answers are those wanted: the rest of a check may be long."""

    def __init__(self, function: Callable[..., Any], wanted: list[Any]) -> None:
        super().__init__(function)
        self.wanted = wanted

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        number = len(self.answers) - 1
        if distance(self.given()[number:], self.wanted[number : number + 1]) > 1:
            raise _OtherAnswer
        return result


def _answers(
    check: Check, module: ModuleType, seed: int | None, wanted: list[Any] | None = None
) -> tuple[str, list[Any]]:
    function = vars(module)[check.task]
    attempt = Attempt(function) if wanted is None else _Follower(function, wanted)
    status = run_check(check, attempt, [] if seed is None else [seed], "").status
    return status, attempt.given()


def _passes(others: list[Check], module: ModuleType) -> bool:
    """Little to compare is enough where the mistake also passes all that the learner's work passed."""
    return all(_answers(check, module, FIXED_SEED)[0] == "passed" for check in others if check.name != UNCHANGED)


def _comparable(mine: list[Any], right: list[Any]) -> bool:
    """Python's own errors speak for themselves, and many mistakes end in the same one."""
    expected = {i: answer.kind for i, answer in enumerate(right) if isinstance(answer, Raised)}
    errors = [
        answer.kind for i, answer in enumerate(mine) if isinstance(answer, Raised) and answer.kind != expected.get(i)
    ]
    return all(error in TELLING_ERRORS for error in errors)


def _best(check: str, found: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Those that explain most of the failed checks; none if too many do, because then no name says anything."""
    most = max(len(fitting) for fitting in found.values() if check in fitting)
    best = [name for name, fitting in found.items() if check in fitting and len(fitting) == most]
    return best if len(best) <= MOST_NAMES else []
