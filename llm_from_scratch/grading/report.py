"""Turns reports into the text a learner reads and the JSON a program reads."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .runner import ChapterReport, TaskReport
from .session import FIXED_SEED, CheckResult
from .tasks import Task

WIDTH = 110
SHOWN_OUTPUT_LINES = 12


def _indent(text: str, by: int) -> str:
    return textwrap.indent(text, " " * by)


def _wrap(text: str, by: int, first: str = "") -> str:
    """Prose folded to the page, each line moved in."""
    pad = " " * by
    return textwrap.fill(
        " ".join(text.split()), WIDTH, initial_indent=pad + first, subsequent_indent=pad + " " * len(first)
    )


def _failure(check: CheckResult) -> list[str]:
    lines = [_indent(check.message, 11)]
    if check.cause:
        lines.append(_wrap(check.cause, 11, "likely cause: "))
    if check.seed is not None and check.seed != FIXED_SEED:
        lines.append(_indent(f"(with the inputs of seed {check.seed})", 11))
    return lines


def task_lines(report: TaskReport, hint_steps: int = 0) -> list[str]:
    """One task: its line, its checks if any failed, the first failure in detail, the hints asked for."""
    task = report.task
    points = f"{report.points} of {task.points} point{'s' * (task.points != 1)}"
    passed = sum(check.passed for check in report.checks)
    verdict = {"passed": f"all {passed} checks passed", "not started": "not started"}.get(
        report.status, f"{passed} of {len(report.checks)} checks passed"
    )
    if report.stopped:
        verdict = f"{passed} check{'s' * (passed != 1)} passed, then it was stopped"
    lines = [f"  {task.name:<24} {points:<14} {verdict}   ({task.difficulty}, about {task.minutes} min)"]
    if report.status == "failed":
        if task.uses:
            lines.append(f"    (graded with the worked {' and '.join(task.uses)})")
        detailed = False
        for check in report.checks:
            lines.append(f"    {'pass' if check.passed else 'FAIL'}   {check.name}: {check.about}")
            if not check.passed and not detailed:
                lines += _failure(check)
                detailed = True
        if report.stopped and not detailed:  # after its last check
            lines.append(_indent("FAIL   " + report.stopped, 4))
        lines += output_lines(report.output)
    if report.status != "passed" and hint_steps:
        first = next((c for c in report.checks if not c.passed), None)
        seen = f"{first.message} {first.cause}" if first else f"{report.stopped} {report.cause}"
        lines += hint_lines(task, hint_steps, first.name if first else "", seen)
    return lines


def output_lines(output: str) -> list[str]:
    """What the learner's code printed, cut to its first eight and last four lines."""
    printed = output.strip().splitlines()
    if not printed:
        return []
    if len(printed) > SHOWN_OUTPUT_LINES:  # the end matters as much: a traceback has its point there
        left_out = len(printed) - SHOWN_OUTPUT_LINES
        printed = [*printed[:8], f"... ({left_out} lines left out) ...", *printed[8 - SHOWN_OUTPUT_LINES :]]
    return ["    Your code printed:"] + [f"      | {line[:WIDTH]}" for line in printed]


def hint_lines(task: Task, steps: int, check: str = "", seen: str = "") -> list[str]:
    """The first `steps` hints, the one whose title fits the failure, and the others' titles."""
    fitting = _fitting_hint(list(task.hints), check, seen)
    lines = ["    Hints:"]
    for number, (title, text) in enumerate(task.hints.items(), 1):
        if number <= steps or title == fitting:
            lines += [_wrap(title, 6, f"{number}. "), _wrap(text, 9)]
        else:
            lines.append(_wrap(title, 6, f"{number}. ") + f"  [give --hint {number} times]")
    return lines


def _fitting_hint(titles: Sequence[str], check: str, seen: str) -> str | None:
    """The title that names the failing check, or shares most words with the failure; None if no title fits.

    >>> titles = ["first_ids: one too many", "first_ids: one too few", "IndexError: list index out of range"]
    >>> _fitting_hint(titles, "first_ids", "there is one id too few")
    'first_ids: one too few'
    >>> _fitting_hint(titles, "other_ids", "IndexError: index 3 is out of range")
    'IndexError: list index out of range'
    >>> _fitting_hint(titles, "other_ids", "expected 1, got 2") is None
    True
    """

    def words(text: str) -> set[str]:
        return set(re.findall(r"[a-z0-9_]{3,}", text.lower()))

    def share(title: str) -> float:
        names_check = title.split(":")[0] == check
        about = words(title.removeprefix(check + ":"))
        return len(about & words(seen)) / max(len(about), 1) + names_check

    best = max(titles, key=share, default=None)
    return best if best is not None and share(best) >= 2 / 3 else None


def chapter_lines(report: ChapterReport, hint_steps: int = 0) -> list[str]:
    """One chapter with all its tasks."""
    lines = ["", report.file.name]
    if report.unloadable:
        lines += ["  The file could not be loaded, so no task was graded:", _indent(report.unloadable, 4)]
        if report.cause:
            lines.append(_wrap(report.cause, 4, "likely cause: "))
        return lines + output_lines(report.output)
    lines += output_lines(report.output)
    for task in report.tasks:
        lines += task_lines(task, hint_steps)
    return lines


def total_line(reports: Sequence[ChapterReport]) -> str:
    tasks = [task for report in reports for task in report.tasks]
    points, out_of = sum(t.points for t in tasks), sum(t.task.points for t in tasks)
    counts = {status: sum(t.status == status for t in tasks) for status in ("passed", "failed", "not started")}
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"Total: {points} of {out_of} points; tasks: {parts}."


def to_json(reports: Sequence[ChapterReport], folder: Path, seed: int) -> dict[str, Any]:
    """Everything the text says, for programs."""
    chapters = [
        {
            "chapter": report.chapter.name, "file": str(report.file), "passed": report.passed,
            "unloadable": report.unloadable, "cause": report.cause,
            "tasks": [
                {
                    "task": t.task.name, "status": t.status, "points": t.points, "out_of": t.task.points,
                    "stopped": t.stopped, "cause": t.cause, "output": t.output,
                    "seconds": round(t.seconds, 3),
                    "checks": [check.to_json() for check in t.checks],
                }
                for t in report.tasks
            ],
        }
        for report in reports
    ]  # fmt: skip
    tasks = [task for report in reports for task in report.tasks]
    return {
        "folder": str(folder), "fixed_seed": FIXED_SEED, "seed": seed,
        "points": sum(t.points for t in tasks), "out_of": sum(t.task.points for t in tasks),
        "passed": all(report.passed for report in reports), "chapters": chapters,
    }  # fmt: skip
