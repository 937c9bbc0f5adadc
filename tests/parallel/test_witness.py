"""The witness names who died, with what it was told last, and is silent when the run is over."""

import signal
import subprocess
import sys
from pathlib import Path

from llm_from_scratch.parallel import witness


def watched(say, kill):
    ranks = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) for _ in range(2)]
    watching = [f"{process.pid}:{rank}" for rank, process in enumerate(ranks)]
    seen = subprocess.Popen(
        [sys.executable, str(Path(witness.__file__)), *watching], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        seen.stdin.write(say)
        seen.stdin.flush()
        if kill is not None:
            ranks[kill].send_signal(signal.SIGKILL)
        said = seen.communicate(timeout=60)[1].decode()
        left = [process.wait(timeout=0.5 if kill is None else 60) for process in ranks] if kill is not None else None
        return seen.returncode, said, left, ranks
    finally:
        for process in (*ranks, seen):
            process.kill()
            process.wait()


def test_who_died_is_named_and_the_others_are_ended():
    code, said, left, ranks = watched(b"first\nThe last snapshot is run/step-4\n", 1)
    assert code == 1 and f"rank 1 (process {ranks[1].pid}) has died" in said and "rank 0" not in said
    assert left == [-signal.SIGKILL] * 2


def test_a_run_that_is_over_needs_no_witness():
    code, said, _, _ = watched(b"somewhere\nover\n", None)
    assert (code, said) == (0, "")
