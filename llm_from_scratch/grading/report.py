"""Turns reports into the text a learner reads and the JSON a program reads."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .hints import ranked_hints
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


def _failure(check: CheckResult, told: dict[tuple[str, str], str]) -> list[str]:
    """What a failed check saw; `told` remembers it, so that the same is not told twice."""
    said = (check.message, check.cause)
    if said in told:
        return [_indent(f"the same as in {told[said]}", 11)]
    told[said] = check.name
    lines = [_indent(check.message, 11)]
    if check.cause:
        lines.append(_wrap(check.cause, 11, "likely cause: "))
    if check.mistakes:
        names = " or of ".join(f'"{name}"' for name in check.mistakes)
        lines.append(_wrap(f"these very answers come of a known mistake: {names}.", 11))
    if check.seed is not None and check.seed != FIXED_SEED:
        lines.append(_indent(f"(with the inputs of seed {check.seed})", 11))
    return lines


def task_lines(report: TaskReport, hint_steps: int = 0) -> list[str]:
    """One task: its line, all its checks if any failed, what the failed ones saw, the hints asked for."""
    task = report.task
    points = f"{report.points:g} of {task.points} point{'s' * (task.points != 1)}"
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
        told: dict[tuple[str, str], str] = {}
        for check in report.checks:
            word = {"passed": "pass", "skipped": "skipped"}.get(check.status, "FAIL")
            lines.append(f"    {word:<6} {check.name}: {check.about}")
            if check.message:
                lines += _failure(check, told)
        if report.stopped and not any(check.message == report.stopped for check in report.checks):  # after the last one
            lines.append(_indent("FAIL   " + report.stopped, 4))
        lines += output_lines(report.output)
    if report.status != "passed" and hint_steps:
        lines += hint_lines(task, hint_steps, report.checks)
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


def hint_lines(task: Task, steps: int, checks: Sequence[CheckResult]) -> list[str]:
    """The `steps` hints that fit best what failed, and the titles of the others."""
    failed = [check for check in checks if check.status == "failed"]
    titles, fits = ranked_hints(list(task.hints), failed, [check.name for check in checks])
    lines = ["    Hints:" if fits or not failed else "    Hints (none is about just what failed here):"]
    for number, title in enumerate(titles, 1):
        if number <= steps:
            lines += [_wrap(title, 6, f"{number}. "), _wrap(task.hints[title], 9)]
        else:
            lines.append(_wrap(title, 6, f"{number}. ") + f"  [give --hint {number} times]")
    return lines


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
    """The last line: points, and how many tasks passed, failed or were not begun."""
    tasks = [task for report in reports for task in report.tasks]
    points, out_of = round(sum(t.points for t in tasks), 1), sum(t.task.points for t in tasks)
    counts = {status: sum(t.status == status for t in tasks) for status in ("passed", "failed", "not started")}
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"Total: {points:g} of {out_of} points; tasks: {parts}."


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
        "points": round(sum(t.points for t in tasks), 1), "out_of": sum(t.task.points for t in tasks),
        "passed": all(report.passed for report in reports), "chapters": chapters,
    }  # fmt: skip
