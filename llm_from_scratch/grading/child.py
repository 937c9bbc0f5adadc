"""The process in which a learner's file is loaded and checked: `python -m llm_from_scratch.grading.child`.

The job arrives as JSON on standard input, which is then closed. Results leave through the pipe that was the standard
output, signed (see `channel.py`); what the learner's code prints goes the way of the standard error.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import ctypes
import faulthandler
import functools
import importlib.util
import inspect
import io
import json
import linecache
import math
import os
import random
import shutil
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import psutil

from . import assertions, attempt, causes, explain, guard, registry, resemblance, session, settings, words
from .channel import Writer
from .explain import OutputFlood, encoding_problem, explain_loading
from .processes import end_all
from .resemblance import likely_mistakes
from .session import run_task
from .tasks import Chapter, Task, read_tasks
from .wrongs import load, read_wrongs, wrong_module

KEPT_OUTPUT = 4_000  # characters of the learner's prints that are shown
MOST_OUTPUT = 5_000_000  # characters after which a task has failed
NAMING_SECONDS = 2.0  # spent on finding the mistake that a failed task resembles
ADOPTS_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h


def echo(text: str) -> None:
    """Write to the real standard error, which the parent reads."""
    with contextlib.suppress(OSError):  # closed by the learner's code
        os.write(2, text.encode("utf-8", "backslashreplace"))


class Prints(io.TextIOBase):
    """Takes the place of sys.stdout and sys.stderr: keeps the beginning, counts the rest, stops a flood."""

    def __init__(self) -> None:
        self.kept = ""
        self.count = 0

    def writable(self) -> bool:
        """True, as of any stream that can be printed to."""
        return True

    def write(self, text: str) -> int:
        """Keep the first KEPT_OUTPUT characters and count all; OutputFlood beyond MOST_OUTPUT."""
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


def load_learner(path: Path) -> tuple[ModuleType | None, str, str]:
    """The learner's module, or None, what is wrong with it, and the likely cause."""
    problem = encoding_problem(path)
    if problem:
        return None, problem, "save the file as UTF-8: the editor's Save As offers the encoding."
    try:
        return load_module(path, path.stem), "", ""
    except BaseException as error:
        return None, *explain_loading(error, path)


def relied_upon(*modules: ModuleType) -> Iterable[ModuleType]:
    """What the checks stand on: this room, the libraries, and whatever checks and solutions take names from."""
    yield from (np, np.linalg, np.random, np.fft, np.testing, builtins, copy, inspect, io, json, math, os, random)
    yield from (sys, threading, time, traceback, warnings, linecache, contextlib)
    yield from (assertions, attempt, causes, explain, guard, registry, resemblance, session, settings, words)
    for module in modules:
        yield module
        for value in vars(module).values():
            if isinstance(value, ModuleType):
                yield value
            elif isinstance(value, (FunctionType, type)) and value.__module__ in sys.modules:
                yield sys.modules[value.__module__]


class Work:
    """One chapter's tasks on one learner's file."""

    def __init__(self, job: dict[str, Any], results: Writer) -> None:
        self.results, self.mark, self.seeds = results, job["mark"], job["seeds"]
        self.path, self.chapter = Path(job["file"]), Chapter(job["chapter"], Path(job["root"]))
        self.checks, self.worked = load(self.chapter.checks, "the_checks"), load(self.chapter.solution, "the_worked")
        self.source = self.chapter.source()
        self.tasks = {task.name: task for task in read_tasks(self.source)}
        self.planned = {name: registry.collect(self.checks, name) for name in job["tasks"]}
        self.wrongs = read_wrongs(self.chapter) if self.chapter.wrongs.is_file() else {}
        self.restore = guard.Guard(relied_upon(self.checks, self.worked)).restore
        self.prints = Prints()

    def run(self) -> None:
        """Load the file, run the checks of the tasks in the job, and report each as it comes."""
        sys.stdout = sys.stderr = self.prints
        before = settings.Settings()
        sys.path.append(str(self.path.parent))  # last, so that a learner's numpy.py cannot stand in for the real one
        module, problem, cause = load_learner(self.path)
        replaced = self.restore()
        before.restore()
        if replaced and module:
            problem, cause = f"{self.path.name} replaces {replaced}, which the checks rely on.", "leave it as it is."
        if module is None or problem:
            self.results.send("unloadable", message=problem, cause=cause, output=self.prints.take())
            return
        for name in self.planned:
            self.grade(self.tasks[name], module)
        self.results.send("end")

    def grade(self, task: Task, module: ModuleType) -> None:
        """Run and report the checks of one task."""
        echo(self.mark)  # the parent takes what follows for this task's output, should the task bring us down
        planned = [[check.name, check.about] for check in self.planned[task.name]]
        self.results.send("task", task=task.name, checks=planned, loading_output=self.prints.take())
        failed, kept = [], {}  # type: list[session.CheckResult], dict[str, list[Any]]
        for result in run_task(task, self.checks, module, self.worked, self.seeds, str(self.path), self.restore, kept):
            self.results.send("check", check=result.to_json())
            if result.status == "failed":
                failed.append(result)
        self.results.send("checked", output=self.prints.take())
        if kept:
            self.results.send("mistakes", mistakes=self.mistakes(task, failed, kept))
        self.prints.take()  # of the mistakes
        self.results.send("done")
        linecache.checkcache()

    def mistakes(
        self, task: Task, failed: list[session.CheckResult], kept: dict[str, list[Any]]
    ) -> dict[str, list[str]]:
        """The named mistakes that give the learner's answers, by check."""
        checks = {check.name: check for check in self.planned[task.name]}
        wrong = {
            name: functools.partial(wrong_module, self.chapter, self.source, task, patch)
            for name, patch in self.wrongs.get(task.name, {}).items()
        }
        return likely_mistakes(failed, kept, checks, self.worked, wrong, NAMING_SECONDS)


def end_with_parent(folder: str, mark: str) -> None:
    """Do not outlive a parent that was killed, whatever the learner's code is busy with (not on Windows)."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        shutil.rmtree(folder, ignore_errors=True)
        end_all(mark, psutil.Process())
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Read a job from standard input, grade it, report through what was standard output, and end the process."""
    job = json.load(sys.stdin)
    sys.stdin.close()
    sys.stdin = open(os.devnull, encoding="utf-8")
    os.dup2(sys.stdin.fileno(), 0)
    results = Writer(os.dup(1), bytes.fromhex(job.pop("key")))
    os.dup2(2, 1)
    if sys.platform == "linux":  # what a child of ours leaves behind stays below us, where the parent finds it
        ctypes.CDLL(None).prctl(ADOPTS_ORPHANS, 1, 0, 0, 0)
    end_with_parent(job["folder"], job["mark"])
    faulthandler.enable(all_threads=False)  # a crash in compiled code leaves its Python line on the real standard error
    warnings.simplefilter("default")
    Work(job, results).run()
    end_all(job["mark"], psutil.Process())  # now: once this process is gone they are no longer to be found below it
    os._exit(0)  # threads that the learner left behind would keep the process alive


if __name__ == "__main__":
    main()
