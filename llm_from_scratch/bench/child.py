"""One contender in a process of its own: prepares, says it is ready, then runs a round for every line it is sent.

Started by `runner.py` as `python -m llm_from_scratch.bench.child CASE CONTENDER THREADS SECONDS [TEXTFILE]`. It answers
with one JSON object a line on standard output.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

from ..kernels.dispatch import backend
from . import kinds, memory, sampling
from .case import Case, Seconds, Work
from .cases import cases
from .growth_cases import growth_cases

AGAIN = "LLM_FROM_SCRATCH_BENCH_AGAIN"  # set in a process that began anew


def timed(work: Work) -> float:
    """The seconds of one run: by the clock, or as the work says that has measured itself."""
    began = time.perf_counter()
    answer = work()
    return float(answer) if isinstance(answer, Seconds) else time.perf_counter() - began


def compiles() -> list[object]:
    """A list that gains an entry for whatever numba compiles from now on, not for what it finds in its cache."""
    if backend() != "numba":
        return []
    from numba.core import event

    recorder = event.RecordingListener()
    event.register("numba:compile", recorder)
    return recorder.buffer


def main(case: str, contender: str, threads: str, seconds: str, *text_file: str) -> None:
    """Prepare, then answer each line of input with {"median": seconds a run, "runs": n}, or once {"absent": why}."""
    text = Path(text_file[0]).read_text(encoding="utf-8") if text_file else None
    try:
        known = cases(int(threads), text) | dict(growth_cases(int(threads)))
        _measure(known[case], contender, float(seconds))
    except ImportError as error:  # not installed, or not fetched
        _say(absent=_line(error))
    except Exception as error:  # one that fails must not cost the others their measurement
        _say(absent=f"it failed: {type(error).__name__}: {_line(error)}")


def _measure(case: Case, contender: str, seconds: float) -> None:
    ours = contender == next(iter(case.contenders))
    compiled = compiles() if ours else []
    work = (case.contenders | case.beside)[contender]()  # type: ignore[operator]
    memory.forget_peak()
    before = memory.resident() or memory.peak()
    for _ in range(case.warm):
        work()  # compilation and first touch of memory are not what is measured
    if compiled and AGAIN not in os.environ:
        # The compiler keeps some 90 MB, which are none of the work's: begin anew, with all in the cache.
        os.environ[AGAIN] = "1"
        os.execv(sys.executable, sys.orig_argv)
    _say(ready=True)
    for _ in sys.stdin:
        times: list[float] = []
        began = time.perf_counter()
        while not times or time.perf_counter() - began < seconds:
            times.append(timed(work))
        _say(median=statistics.median(times), runs=len(times))
    after = memory.peak()
    growth = None if after is None or before is None else max(0, after - before)
    made_of = sampling.parts(work, seconds) if ours and case.warm else {}
    _say(peak=after, growth=growth, parts=made_of, kind=kinds.in_use(), **getattr(work, "facts", {}))


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), "")


def _say(**answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
