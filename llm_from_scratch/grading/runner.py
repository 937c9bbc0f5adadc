"""Starts the child that runs a learner's file, watches its time, memory and output, and collects its reports.

A task that hangs, crashes or eats the machine costs that task alone: the remaining ones get a fresh child.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .memory import resident_bytes
from .session import FIXED_SEED, CheckResult
from .tasks import Chapter, Task

LOADING_SECONDS = 30.0  # starting Python, importing NumPy, and the learner's own top level
MOST_RAW_OUTPUT = 20_000_000  # bytes written past sys.stdout, by os.write or a subprocess
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Limits:
    """What one task may use; None means what the task itself states."""

    seconds: float | None = None
    memory_gb: float | None = None

    def seconds_of(self, task: Task) -> float:
        return task.seconds if self.seconds is None else self.seconds

    def memory_of(self, task: Task) -> float:
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
    def points(self) -> int:
        return self.task.points if self.status == "passed" else 0

    def finish(self) -> None:
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
        self.planned: list[list[str]] = []  # name and purpose of each check of the current task
        self.raw = bytearray()
        self.raw_count = 0
        self.secret = secrets.token_hex(16)
        self.job: dict[str, Any] = {
            "file": str(file.resolve()), "checks": str(chapter.checks), "solution": str(chapter.solution),
            "tasks": names, "seeds": [FIXED_SEED, seed], "secret": self.secret,
        }  # fmt: skip

    def run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
            # the file of results is not in the child's working folder, where a learner's glob would find it
            (Path(folder) / "work").mkdir()
            results = Path(folder) / "results.jsonl"
            results.touch()
            self.job["results"] = str(results)
            environment = dict(os.environ, PYTHONUTF8="1", PYTHONDONTWRITEBYTECODE="1")
            package_root = str(Path(__file__).resolve().parents[2])
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
            process = subprocess.Popen(
                [sys.executable, "-m", "llm_from_scratch.grading.child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                cwd=str(Path(folder) / "work"), env=environment, start_new_session=os.name == "posix",
            )  # fmt: skip
            drain = threading.Thread(target=self._drain, args=(process,), daemon=True)
            drain.start()
            try:
                self._send_job(process)
                with open(results, encoding="utf-8", errors="replace") as lines:
                    self._watch(process, lines, drain)
            finally:
                _kill(process)
                drain.join(timeout=2)

    def _send_job(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(self.job).encode())
            process.stdin.close()
        except OSError:  # the child is gone already; the watch below says why
            return

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while chunk := process.stdout.read1(65536):  # type: ignore[attr-defined]
            self.raw_count += len(chunk)
            self.raw += chunk
            del self.raw[:-60_000]

    def _watch(self, process: subprocess.Popen[bytes], lines: Any, drain: threading.Thread) -> None:
        deadline = time.monotonic() + LOADING_SECONDS
        partial = ""
        while not self.ended:
            gone = process.poll() is not None  # asked before reading, so that last words are not missed
            while text := lines.readline():
                partial += text
                if partial.endswith("\n"):
                    if self._hear(partial):
                        assert self.current is not None
                        deadline = time.monotonic() + self.limits.seconds_of(self.current.task)
                    partial = ""
            if self.ended:
                return
            if gone:
                drain.join(timeout=1)  # its last words may still be on the way
                return self._stop(*self._why_gone(process.returncode))
            used = resident_bytes(process.pid) or 0
            # while the file is loaded no task has begun, and the first one's limit holds
            most = self.limits.memory_of((self.current or self.report.tasks[0]).task)
            if used > most:
                return self._stop(
                    f"stopped at {used / 1e9:.1f} GB of memory; the limit is {most / 1e9:g} GB.",
                    "which array or list grows without need?",
                )
            if time.monotonic() > deadline:
                return self._stop(*self._too_slow(used))
            if self.raw_count > MOST_RAW_OUTPUT:
                return self._stop(f"stopped after printing {self.raw_count / 1e6:.0f} MB.", "a print inside a loop?")
            time.sleep(POLL_SECONDS)

    def _hear(self, line: str) -> bool:
        """Take in one line of results; True if a task begins."""
        try:
            message = json.loads(line)
        except ValueError:
            return False
        if not isinstance(message, dict) or message.get("secret") != self.secret:
            return False
        event = message["event"]
        if event == "unloadable":
            self.report.unloadable, self.report.cause = message["message"], message["cause"]
            self.report.output, self.ended = message["output"], True
        elif event == "task":
            self.current = self.by_name[message["task"]]
            self.report.output = self.report.output or message["loading_output"]
            self.current.seconds = time.monotonic()
            self.planned = message["checks"]
            return True
        elif event == "check" and self.current:
            self.current.checks.append(CheckResult(**message["check"]))
        elif event == "done" and self.current:
            self.current.output = message["output"]
            self._close()
        elif event == "end":
            self.ended = True
        return False

    def _close(self) -> None:
        assert self.current is not None
        self.current.seconds = time.monotonic() - self.current.seconds
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
        self.current.stopped, self.current.cause, self.current.output = message, cause, self._last_words()
        for name, about in self.planned[len(self.current.checks) :][:1]:  # the one that was under way
            self.current.checks.append(CheckResult(name, about, "failed", message, cause))
        self._close()

    def _too_slow(self, used: int) -> tuple[str, str]:
        if self.current is None:
            return (
                f"stopped after {LOADING_SECONDS:g} seconds.",
                "code outside the functions that never ends?",
            )
        limit = self.limits.seconds_of(self.current.task)
        memory = f" It held {used / 1e9:.1f} GB of memory." if used > 4e8 else ""
        return (
            f"stopped after {limit:g} seconds; it should take a fraction of one.{memory}",
            "a loop that never ends, or work that doubles with every step? (--seconds gives a slow machine more time)",
        )

    def _why_gone(self, code: int) -> tuple[str, str]:
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            if name == "SIGKILL":
                return "the process was killed from outside.", "the machine ran out of memory?"
            return f"Python itself crashed ({name}).", "recursion in compiled code, or a bad ctypes call?"
        if code in (0xC0000005, 0xC00000FD):  # Windows: access violation, stack overflow
            return f"Python itself crashed (code {code:#x}).", "recursion in compiled code, or a bad ctypes call?"
        return f"the code ended the whole process (exit code {code}).", "os._exit or a similar call? Use `return`."

    def _last_words(self) -> str:
        """What reached the real standard output since the current task began: prints, or the trace of a crash."""
        return bytes(self.raw).rpartition(self.secret.encode())[2].decode("utf-8", "replace").strip()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started, and wait for it."""
    if os.name == "posix":
        try:
            os.killpg(process.pid, signal.SIGKILL)  # the child leads a group of its own
        except (ProcessLookupError, PermissionError):
            process.kill()
    else:
        process.kill()
    process.wait()
