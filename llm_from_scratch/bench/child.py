"""One contender in a process of its own: prepares, says it is ready, then runs a round for every line it is sent.

Started by `runner.py` as `python -m llm_from_scratch.bench.child CASE CONTENDER THREADS SECONDS [TEXTFILE]`. It answers
with one JSON object a line on standard output.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from .cases import cases


def peak_memory() -> int | None:
    """The largest resident memory of this process so far in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(case: str, contender: str, threads: str, seconds: str, *text_file: str) -> None:
    """Prepare, then answer each line of input with {"median": seconds a run, "runs": n}, or once {"absent": why}."""

    def say(**answer: object) -> None:
        print(json.dumps(answer), flush=True)

    text = Path(text_file[0]).read_text(encoding="utf-8") if text_file else None
    try:
        work = cases(int(threads), text)[case].contenders[contender]()
        before = peak_memory()
        work()  # compilation and first touch of memory are not what is measured
        work()
        say(ready=True)
        for _ in sys.stdin:
            times: list[float] = []
            began = time.perf_counter()
            while not times or time.perf_counter() - began < float(seconds):
                start = time.perf_counter()
                work()
                times.append(time.perf_counter() - start)
            say(median=statistics.median(times), runs=len(times))
    except ImportError as error:  # not installed, or not fetched
        say(absent=str(error))
        return
    except Exception as error:  # one that fails must not cost the others their measurement
        say(absent=f"it failed: {type(error).__name__}: {error}")
        return
    after = peak_memory()
    say(peak=after, growth=None if after is None or before is None else after - before)


if __name__ == "__main__":
    main(*sys.argv[1:])
