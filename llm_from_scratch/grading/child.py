"""The process in which a learner's file is loaded and checked: `python -m llm_from_scratch.grading.child`.

The job arrives as JSON on standard input, which is then closed. Results leave as JSON lines in a file that
the parent named, each with the parent's secret word, so that nothing the learner prints is taken for a
result.
"""

from __future__ import annotations

import builtins
import faulthandler
import importlib.util
import io
import json
import linecache
import math
import os
import random
import sys
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import assertions, attempt, registry, session
from . import guard as guard_module
from .session import CheckResult, OutputFlood, explain_error, run_task
from .tasks import read_tasks

KEPT_OUTPUT = 4_000  # characters of the learner's prints that are shown
MOST_OUTPUT = 5_000_000  # characters after which a task has failed
_dumps = json.dumps


def echo(text: str) -> None:
    """Write to the real standard output, which the parent reads."""
    os.write(1, text.encode("utf-8", "backslashreplace"))


class Prints(io.TextIOBase):
    """Takes the place of sys.stdout and sys.stderr: keeps the beginning, counts the rest, stops a flood."""

    def __init__(self) -> None:
        self.kept = ""
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if len(self.kept) < KEPT_OUTPUT:
            fitting = text[: KEPT_OUTPUT - len(self.kept)]
            self.kept += fitting
            echo(fitting)  # for the case that this process does not live to report it
        self.count += len(text)
        if self.count > MOST_OUTPUT:
            raise OutputFlood(f"stopped after printing {MOST_OUTPUT:,} characters.")
        return len(text)

    def take(self) -> str:
        """What was printed since the last call."""
        cut = self.count - len(self.kept)
        text = self.kept + (f"\n... and {cut:,} more characters" if cut > 0 else "")
        self.kept, self.count = "", 0
        return text


def load_module(path: Path, name: str) -> ModuleType:
    """Execute a Python file as a module of its own, whatever folder it stands in."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def explain_syntax_error(error: SyntaxError, file: str) -> str:
    """Where Python stopped understanding the file, with the line and a mark under the place."""
    text = f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    if error.text:
        line = error.text.rstrip("\n")
        indent = len(line) - len(line.lstrip())
        text += f"\n    {line.strip()}\n    {' ' * max((error.offset or 1) - 1 - indent, 0)}^"
    return text


def load_learner(path: Path) -> tuple[ModuleType | None, str, str]:
    """The learner's module, or None, what is wrong with it, and the likely cause."""
    try:
        return load_module(path, path.stem), "", ""
    except SyntaxError as error:
        if error.filename and os.path.basename(error.filename) == path.name:
            return (
                None,
                explain_syntax_error(error, path.name),
                session.EXPLAINED.get(type(error).__name__, ""),
            )
        return None, *explain_error(error, path.name)
    except UnicodeDecodeError as error:
        return None, f"{path.name} is not UTF-8 text: {error}", "save the file as UTF-8 in your editor."
    except BaseException as error:
        return None, *explain_error(error, path.name)


def work(job: dict[str, Any], results: Any) -> None:
    """Load the file, run the checks of the tasks in the job, and report each as it comes."""
    secret = job["secret"]

    def report(event: str, **more: Any) -> None:
        results.write(_dumps({"secret": secret, "event": event, **more}) + "\n")
        results.flush()

    path = Path(job["file"])
    checks = load_module(Path(job["checks"]), "the_checks")
    worked = load_module(Path(job["solution"]), "the_worked_solution")
    tasks = {task.name: task for task in read_tasks(Path(job["solution"]).read_text(encoding="utf-8"))}
    guard = guard_module.Guard(
        [np, np.linalg, np.random, builtins, json, math, os, random, np.testing,
         assertions, attempt, registry, session, guard_module, checks, worked]
    )  # fmt: skip
    limit = sys.getrecursionlimit()
    prints = Prints()
    sys.stdout = sys.stderr = prints
    sys.path.append(str(path.parent))  # last, so that a learner's numpy.py cannot stand in for the real one

    module, problem, cause = load_learner(path)
    sys.setrecursionlimit(limit)
    replaced = guard.restore()
    if replaced and module:
        module, problem, cause = (
            None,
            f"{path.name} replaces {replaced}, which the checks rely on.",
            "leave it as it is.",
        )
    if module is None:
        report("unloadable", message=problem, cause=cause, output=prints.take())
        return
    for name in job["tasks"]:
        echo(secret)  # the parent takes what follows for this task's output, should the task bring us down
        planned = [[check.name, check.about] for check in registry.collect(checks, name)]
        report("task", task=name, checks=planned, loading_output=prints.take())
        for result in run_task(tasks[name], checks, module, worked, job["seeds"], path.name, guard):
            report("check", task=name, check=result.to_json())
        report("done", task=name, output=prints.take())
        linecache.checkcache()
    report("end")


def end_with_parent() -> None:
    """Do not outlive a parent that was killed, whatever the learner's code is busy with (not on Windows)."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    end_with_parent()
    job = json.load(sys.stdin)
    sys.stdin.close()
    sys.stdin = open(os.devnull, encoding="utf-8")
    os.dup2(sys.stdin.fileno(), 0)
    faulthandler.enable(all_threads=False)  # a crash in compiled code leaves its Python line on the real standard error
    warnings.simplefilter("default")
    with open(job["results"], "a", encoding="utf-8") as results:
        work(job, results)
    os._exit(0)  # threads that the learner left behind would keep the process alive


if __name__ == "__main__":
    main()

__all__ = ["CheckResult", "Prints", "explain_syntax_error", "load_learner", "load_module", "main", "work"]
