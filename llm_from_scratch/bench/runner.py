"""Runs the contenders of each case in turns and prints medians, spread, ratios and peak memory."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .cases import Case, cases


class _Contender:
    def __init__(self, case: str, name: str, threads: int, seconds: float, text_file: str | None) -> None:
        self.name = name
        self.medians: list[float] = []
        environment = dict(os.environ)
        for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(threads)
        words = [case, name, str(threads), str(seconds), *([text_file] if text_file else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "llm_from_scratch.bench.child", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
        )
        self.absent = self._answer().get("absent")

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries may print greetings
                return json.loads(line)
        return {"absent": "it ended without an answer; its error, if there was one, stands above"}

    def round(self) -> None:
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
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        memory = {} if self.absent else self._answer()
        self._process.wait()
        return memory


def run_case(
    name: str, case: Case, *, threads: int, rounds: int, seconds: float, text_file: str | None = None
) -> dict[str, Any]:
    """Measure one case, without contenders that are not installed, were not fetched or fail.

    Returns {"title", "contenders": {name: {"median", "low", "high", "peak", …} or {"absent"}}}.
    """
    contenders = [_Contender(name, each, threads, seconds, text_file) for each in case.contenders]
    present = [c for c in contenders if not c.absent]
    for number in range(rounds):
        # Turns change places, so that nobody always runs on a warm or a cool processor.
        for contender in present if number % 2 == 0 else reversed(present):
            time.sleep(0.3)  # threads of the one before may still be spinning
            contender.round()
    results: dict[str, Any] = {}
    for contender in contenders:
        memory = contender.finish()
        if contender.absent:
            results[contender.name] = {"absent": contender.absent}
            continue
        medians = contender.medians
        results[contender.name] = {
            "median": statistics.median(medians),
            "low": min(medians),
            "high": max(medians),
            "peak": memory.get("peak"),
            "growth": memory.get("growth"),
        }
        if case.work:
            results[contender.name]["rate"] = case.work / results[contender.name]["median"]
    return {"title": case.title, "unit": case.unit, "contenders": results}


def table(result: dict[str, Any]) -> str:
    """One case as lines of text: time with spread, rate, memory, and ours over theirs (below 1: we are faster)."""
    contenders = result["contenders"]
    ours = next(iter(contenders.values()))
    lines = [result["title"]]
    for name, numbers in contenders.items():
        if "absent" in numbers:
            lines.append(f"  {name:18} left out ({numbers['absent']})")
            continue
        median, low, high = (1e3 * numbers[key] for key in ("median", "low", "high"))
        line = f"  {name:18} {median:9.2f} ms  ({low:.2f} to {high:.2f})"
        if "rate" in numbers:
            line += f"  {numbers['rate']:,.1f} {result['unit']}"
        if numbers.get("peak"):
            line += f"  peak {numbers['peak'] / 2**20:,.0f} MiB (work: {numbers['growth'] / 2**20:,.0f})"
        if numbers is not ours and "median" in ours:
            line += f"  ours/theirs {ours['median'] / numbers['median']:.2f}"
        lines.append(line)
    return "\n".join(lines)


def bench(
    names: Sequence[str] | None = None,
    *,
    threads: int | None = None,
    rounds: int = 5,
    seconds: float = 1.0,
    text: str | None = None,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run the named cases (default: all) and return what was measured, with what it was measured on.

    threads: for every contender; default the cores this process may use. seconds: the shortest round of one contender.
    text: what the tokenizers are timed on (default: synthetic).
    """
    if rounds < 1 or seconds <= 0 or (threads is not None and threads < 1):
        raise ValueError(f"rounds and threads must be at least 1 and seconds positive: {rounds}, {threads}, {seconds}")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = threads or available
    known = cases(threads)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"no case named {', '.join(unknown)}: choose from {', '.join(known)}")
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        text_file = None
        if text is not None:
            text_file = str(Path(folder) / "text.txt")
            Path(text_file).write_text(text, encoding="utf-8", newline="")
        show(f"{threads} threads, {rounds} rounds; median (lowest to highest)")
        for name in names or known:
            known_case = cases(threads, text)[name]
            results[name] = run_case(
                name, known_case, threads=threads, rounds=rounds, seconds=seconds, text_file=text_file
            )
            show(table(results[name]))
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "system": platform.system(),
    }
    return {"threads": threads, "rounds": rounds, "seconds": seconds, "machine": machine, "cases": results}
