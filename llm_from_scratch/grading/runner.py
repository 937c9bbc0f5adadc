"""Starts the child that runs a learner's file, watches its time, memory and output, and collects its reports.

A task that hangs, crashes or eats the machine costs that task alone: the remaining ones get a fresh child.
"""

from __future__ import annotations

import json
import math
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from .channel import CLOSED, LONGEST_LINE, Reader
from .processes import MARK, descendants, end_all, resident_bytes
from .registry import UNCHANGED
from .session import FIXED_SEED, CheckResult
from .tasks import Chapter, Task

LOADING_SECONDS = 30.0  # starting Python, importing NumPy, and the learner's own top level
MOST_RAW_OUTPUT = 20_000_000  # bytes written past sys.stdout, by os.write or a subprocess
POLL_SECONDS = 0.02
FAMILY_SECONDS = 0.25  # between two looks at the processes that the child started
MOST_PROCESSES = 32
NAMING_SECONDS = 6.0  # after which nobody waits for the name of a mistake


@dataclass(frozen=True)
class Limits:
    """What one task may use; None means what the task itself states."""

    seconds: float | None = None
    memory_gb: float | None = None

    def seconds_of(self, task: Task) -> float:
        """Seconds that a task may take."""
        return task.seconds if self.seconds is None else self.seconds

    def memory_of(self, task: Task) -> float:
        """Bytes that a task may use."""
        return 1e9 * (task.memory_gb if self.memory_gb is None else self.memory_gb)


@dataclass
class TaskReport:
    """How one task went. `status` is "passed", "failed" or "not started"."""

    task: Task
    checks: list[CheckResult] = field(default_factory=list)
    status: str = "failed"
    stopped: str = ""  # why the task ended before its checks did
    cause: str = ""
    output: str = ""
    seconds: float = 0.0

    @property
    def points(self) -> float:
        """All if everything passed; else the share of the checks that did, in tenths and rounded down.

        Leaving the inputs as they were earns nothing by itself, since doing nothing does it too.
        """
        if self.status == "passed":
            return self.task.points
        passed = {check.name for check in self.checks if check.passed}
        share = len(passed) / len(self.checks) if passed - {UNCHANGED} else 0.0
        return math.floor(10 * self.task.points * share) / 10

    def finish(self) -> None:
        """Set `status` by how the checks went."""
        if self.checks and self.checks[0].status == "not started" and not any(c.passed for c in self.checks):
            self.status = "not started"
        elif self.checks and all(c.passed for c in self.checks) and not self.stopped:
            self.status = "passed"
        else:
            self.status = "failed"


@dataclass
class ChapterReport:
    """How one chapter went. `unloadable` says why its file could not be loaded at all."""

    chapter: Chapter
    file: Path
    tasks: list[TaskReport]
    unloadable: str = ""
    cause: str = ""
    output: str = ""

    @property
    def passed(self) -> bool:
        """Whether the file could be loaded and every task passed."""
        return not self.unloadable and all(t.status == "passed" for t in self.tasks)


def grade_chapter(chapter: Chapter, file: Path, tasks: list[Task], seed: int, limits: Limits) -> ChapterReport:
    """Grade `tasks` of the learner's `file`; `seed` is the fresh one, used beside the fixed one."""
    report = ChapterReport(chapter, file, [TaskReport(task) for task in tasks])
    waiting = {t.task.name: t for t in report.tasks}
    while waiting and not report.unloadable:
        child = _Child(chapter, file, list(waiting), seed, limits, report)
        child.run()
        for name in child.finished:
            waiting.pop(name)
        if not child.finished and not report.unloadable:
            report.unloadable = "the child process ended before it began."
    return report


class _Child:
    """One child process, from its start to the first task that brings it down."""

    def __init__(
        self, chapter: Chapter, file: Path, names: list[str], seed: int, limits: Limits, report: ChapterReport
    ) -> None:
        self.report, self.limits = report, limits
        self.by_name = {t.task.name: t for t in report.tasks}
        self.finished: list[str] = []
        self.current: TaskReport | None = None
        self.ended = False
        self.checked = False  # all checks of the current task have run
        self.planned: list[list[str]] = []  # name and purpose of each check of the current task
        self.raw = bytearray()
        self.raw_count = 0
        self.lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.next_count, self.below = 0.0, 0  # of the processes below the child: when counted next, and their memory
        self.deadline = time.monotonic() + LOADING_SECONDS
        key, self.mark = secrets.token_bytes(32), secrets.token_hex(16)
        self.reader = Reader(key)
        self.job: dict[str, Any] = {
            "file": str(file.resolve()), "root": str(chapter.root.resolve()), "chapter": chapter.name,
            "tasks": names, "seeds": [FIXED_SEED, seed], "key": key.hex(), "mark": self.mark,
        }  # fmt: skip

    def run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
            environment = dict(os.environ, PYTHONUTF8="1", PYTHONDONTWRITEBYTECODE="1", TMPDIR=folder)
            environment[MARK] = self.mark
            package_root = str(Path(__file__).resolve().parents[2])
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
            work = Path(folder) / "work"
            work.mkdir()
            process = subprocess.Popen(
                [sys.executable, "-m", "llm_from_scratch.grading.child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=str(work), env=environment, start_new_session=os.name == "posix",
            )  # fmt: skip
            self.child = psutil.Process(process.pid)
            threads = [
                threading.Thread(target=self._listen, args=(process.stdout,), daemon=True),
                threading.Thread(target=self._drain, args=(process.stderr,), daemon=True),
            ]
            for thread in threads:
                thread.start()
            try:
                self._send_job(process, folder)
                self._watch(process, threads[0])
            finally:
                end_all(self.mark, self.child)
                process.wait()
                for thread in threads:
                    thread.join(timeout=2)

    def _send_job(self, process: subprocess.Popen[bytes], folder: str) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({**self.job, "folder": folder}).encode())
            process.stdin.close()
        except OSError:  # the child is gone already; the watch below says why
            return

    def _listen(self, stream: IO[bytes]) -> None:
        while line := stream.readline(LONGEST_LINE):
            self.lines.put(line)
        self.lines.put(b"")

    def _drain(self, stream: IO[bytes]) -> None:
        while chunk := stream.read1(65536):  # type: ignore[attr-defined]
            self.raw_count += len(chunk)
            self.raw += chunk
            del self.raw[:-60_000]

    def _watch(self, process: subprocess.Popen[bytes], listener: threading.Thread) -> None:
        while not self.ended:
            if process.poll() is not None:
                end_all(self.mark, self.child)  # what it left behind may hold the pipe open
                listener.join(timeout=5)
                while not self.ended and not self.lines.empty():  # its last words
                    self._hear(self.lines.get())
                return None if self.ended else self._stop(*_why_gone(process.returncode))
            try:
                line = self.lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                self._look()
                continue
            if line:
                self._hear(line)
            elif not _ends_within(process, 1.0):
                self._stop(*_why_gone(CLOSED))

    def _look(self) -> None:
        """Stop the child if it uses more than it may."""
        now = time.monotonic()
        if now >= self.next_count:
            family = descendants(self.child)
            self.below, self.next_count = sum(map(resident_bytes, family)), now + FAMILY_SECONDS
            if len(family) > MOST_PROCESSES:
                return self._stop(f"stopped when it had started {len(family)} processes.", "a fork inside a loop?")
        used = resident_bytes(self.child) + self.below
        # while the file is loaded no task has begun, and the first one's limit holds
        most = self.limits.memory_of((self.current or self.report.tasks[0]).task)
        if used > most:
            self._stop(
                f"stopped at {used / 1e9:.1f} GB of memory; the limit is {most / 1e9:g} GB.",
                "which array or list grows without need?",
            )
        elif now > self.deadline:
            self._stop(*self._too_slow(used))
        elif self.raw_count > MOST_RAW_OUTPUT:
            self._stop(f"stopped after printing {self.raw_count / 1e6:.0f} MB.", "a print inside a loop?")

    def _hear(self, line: bytes) -> None:
        """Take in one line of results."""
        if not line:
            return
        message = self.reader.read(line)
        if message is None:
            return self._stop(
                "something else than the checks wrote into the grader's own channel, so its results cannot be trusted.",
                "os.write, or open(...), on the number of a file that your code did not open?",
            )
        event, current = message["event"], self.current
        if event == "unloadable":
            self.report.unloadable, self.report.cause = message["message"], message["cause"]
            self.report.output, self.ended = message["output"], True
        elif event == "task":
            self.current = self.by_name[message["task"]]
            self.report.output = self.report.output or message["loading_output"]
            self.current.seconds, self.checked = time.monotonic(), False
            self.deadline = self.current.seconds + self.limits.seconds_of(self.current.task)
            self.planned = message["checks"]
        elif event == "end":
            self.ended = True
        elif current is None:
            return
        elif event == "check":
            current.checks.append(CheckResult(**message["check"]))
        elif event == "checked":
            current.output, self.checked = message["output"], True
            current.seconds = time.monotonic() - current.seconds
            self.deadline = time.monotonic() + NAMING_SECONDS
        elif event == "mistakes":
            for check in current.checks:
                check.mistakes = message["mistakes"].get(check.name, [])
        elif event == "done":
            self._close()

    def _close(self) -> None:
        assert self.current is not None
        run = {check.name for check in self.current.checks}
        self.current.checks += [CheckResult(name, about, "skipped") for name, about in self.planned if name not in run]
        self.current.finish()
        self.finished.append(self.current.task.name)
        self.current = None

    def _stop(self, message: str, cause: str) -> None:
        self.ended = True
        if self.current is None:  # while loading, or between two tasks
            if not self.finished:
                self.report.unloadable = f"{self.report.file.name} was being loaded: {message}"
                self.report.cause, self.report.output = cause, self._last_words()
            return
        if not self.checked:  # else all is known, but for the name of the mistake
            self.current.seconds = time.monotonic() - self.current.seconds
            self.current.stopped, self.current.cause, self.current.output = message, cause, self._last_words()
            for name, about in self.planned[len(self.current.checks) :][:1]:  # the one that was under way
                self.current.checks.append(CheckResult(name, about, "failed", message, cause))
        self._close()

    def _too_slow(self, used: int) -> tuple[str, str]:
        if self.current is None:
            return f"stopped after {LOADING_SECONDS:g} seconds.", "code outside the functions that never ends?"
        limit = self.limits.seconds_of(self.current.task)
        memory = f" It held {used / 1e9:.1f} GB of memory." if used > 4e8 else ""
        return (
            f"stopped after {limit:g} seconds; it should take a fraction of one.{memory}",
            "a loop that never ends, or work that doubles with every step? (--seconds gives a slow machine more time)",
        )

    def _last_words(self) -> str:
        """What reached the real standard error since the current task began: prints, or the trace of a crash."""
        return bytes(self.raw).rpartition(self.mark.encode())[2].decode("utf-8", "replace").strip()


def _why_gone(code: int) -> tuple[str, str]:
    """What an exit code of the child says, and the likely cause."""
    crash = "recursion in compiled code, or a bad ctypes call?"
    if code == -getattr(signal, "SIGKILL", 9):
        return "the process was killed.", "the machine ran out of memory, or the code ends its own process?"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"Python itself crashed ({name}).", crash
    if code in (0xC0000005, 0xC00000FD):  # Windows: access violation, stack overflow
        return f"Python itself crashed (code {code:#x}).", crash
    if code == CLOSED:
        return "the code closed files that it did not open, the grader's own among them.", "os.close, os.closerange?"
    return (
        f"the code ended the whole process (exit code {code}).",
        "os._exit, or os.dup2 onto a file that it did not open? Use `return`.",
    )


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
