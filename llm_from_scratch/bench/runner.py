"""Runs the contenders of each case in turns, each in a process of its own, and says what was measured on what."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import kinds
from .case import Case
from .cases import cases
from .goals import GOALS, judged
from .report import goals_table, table

MACHINE = ("read-bandwidth", "product-peak")  # measured first: what the rest is held against
PATIENCE = 900.0  # seconds without an answer until a contender is given up


class _Contender:
    def __init__(self, case: str, name: str, threads: int, seconds: float, text: str | None, kind: str | None) -> None:
        self.name = name
        self.medians: list[float] = []
        environment = os.environ | kinds.environment(kind)
        for library in ("OPENBLAS", "OMP", "MKL", "NUMBA", "RAYON"):
            environment[f"{library}_NUM_THREADS"] = str(threads)
        words = [case, name, str(threads), str(seconds), *([text] if text else [])]
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        with on_cores(threads):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "llm_from_scratch.bench.child", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                env=environment,
            )
        self.absent = self._answer().get("absent")

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._process.kill)
        began = time.monotonic()
        timer.start()
        try:
            for line in self._process.stdout:
                if line.startswith("{"):  # libraries may print greetings
                    return json.loads(line)
        finally:
            timer.cancel()
        if time.monotonic() - began >= PATIENCE:
            return {"absent": f"no answer in {PATIENCE:.0f} s"}
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["it said nothing"])[-1]
        return {"absent": f"it ended with code {self._process.wait()}: {last}"}

    def round(self) -> None:
        """One turn; nothing for one that is absent, which it may become."""
        if self.absent:
            return
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: then there is no answer, which is noticed next
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        answer = self._answer()
        self.absent = answer.get("absent")
        if not self.absent:
            self.medians.append(answer["median"])

    def finish(self) -> dict[str, Any]:
        """Everything that was found out about it."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        last = {} if self.absent else self._answer()
        self._process.wait()
        self._errors.close()
        if self.absent:
            return {"absent": self.absent}
        low, high = min(self.medians), max(self.medians)
        return {"median": statistics.median(self.medians), "low": low, "high": high, "rounds": self.medians, **last}


@contextlib.contextmanager
def on_cores(threads: int) -> Iterator[None]:
    """Processes started here may use so many cores, so that whatever asks how many there are is told the same."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(_apart(sorted(allowed))[:threads]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _apart(cores: Sequence[int]) -> list[int]:
    """The cores in an order in which halves of one core (hyperthreads) come last."""
    first: dict[str, int] = {}
    for core in cores:
        path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        first.setdefault(path.read_text(encoding="ascii") if path.exists() else str(core), core)
    return [*first.values(), *(core for core in cores if core not in first.values())]


def run_case(
    name: str,
    case: Case,
    *,
    threads: int,
    rounds: int,
    seconds: float,
    text_file: str | None = None,
    kind: str | None = None,
) -> dict[str, Any]:
    """Measure one case, without contenders that are not installed, were not fetched or fail.

    Returns {"title", "contenders": {name: {"median", "low", "high", "peak", …} or {"absent"}}, "beside": as these}.
    """
    names = [*case.contenders, *case.beside]
    contenders = [_Contender(name, each, threads, seconds, text_file, kind) for each in names]
    present = [c for c in contenders if not c.absent]
    for number in range(min(rounds, case.rounds or rounds)):
        # Turns change places, so that nobody always runs on a warm or a cool processor.
        for contender in present if number % 2 == 0 else reversed(present):
            time.sleep(0.3)  # threads of the one before may still be spinning
            contender.round()
    results = {contender.name: contender.finish() for contender in contenders}
    for numbers in results.values():
        if case.work and "median" in numbers:
            numbers["rate"] = case.work / numbers["median"]
    parts = ({each: results[each] for each in group} for group in (case.contenders, case.beside))
    return {"title": case.title, "unit": case.unit, "threads": threads, **dict(zip(("contenders", "beside"), parts))}


def cores_for(threads: int | None) -> int:
    """The number of threads to measure on: all cores for None. ValueError for fewer than one or more than there are."""
    cores = kinds.machine()["cores"]
    if threads is None:
        return cores
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= cores:
        raise ValueError(f"threads must be a whole number from 1 to the {cores} cores of this machine, got {threads!r}")
    return threads


def bench(
    names: Sequence[str] | None = None,
    *,
    threads: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    text: str | None = None,
    kind: str | None = None,
    quick: bool = False,
    show: Callable[[str], None] = print,
    keep: Callable[[dict[str, Any]], None] = lambda measured: None,
) -> dict[str, Any]:
    """Run the named cases (default: those of the table of goals) and return what was measured, and on what.

    threads: for every contender; default: the cores this process may use, and fewer where a case asks for that.
    seconds: the shortest round of one contender. text: what the tokenizers are timed on (default: synthetic).
    kind: as a lesser kind of processor, "avx2" or "avx". quick: without the cases that take long. keep: is given what
    was measured so far after each case, so that a run which is ended early is not lost.
    """
    if rounds < 1 or not 0 < seconds < float("inf"):
        raise ValueError(f"rounds must be at least 1 and seconds positive: got {rounds} and {seconds}")
    given = cores_for(threads)
    known = cases(given)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"no case named {', '.join(unknown)}: choose from {', '.join(known)}")
    kinds.environment(kind)  # an error now, not after the first case
    table_of_goals = dict.fromkeys([*MACHINE, *(goal.case for goal in GOALS)])
    chosen = names or [name for name in table_of_goals if not (quick and known[name].long)]
    measured: dict[str, Any] = {"threads": given, "rounds": rounds, "seconds": seconds, "kind": kind}
    measured |= {"machine": kinds.machine(), "cases": {}, "goals": []}
    with tempfile.TemporaryDirectory() as folder:
        text_file = None
        if text is not None:
            text_file = str(Path(folder) / "text.txt")
            Path(text_file).write_text(text, encoding="utf-8", newline="")
        show(f"{given} threads, {rounds} rounds; median (lowest to highest)")
        for name in chosen:
            counts = sorted({min(wanted or given, given) for wanted in known[name].threads})
            for count in counts:
                settings: dict[str, Any] = {"threads": count, "rounds": rounds, "seconds": seconds, "kind": kind}
                key = name if count == counts[-1] else f"{name}@{count}"
                measured["cases"][key] = run_case(name, cases(count, text)[name], **settings, text_file=text_file)
                show(table(measured["cases"][key]))
            measured["goals"] = judged(measured["cases"])
            keep(measured)
    show(goals_table(measured))
    return measured
