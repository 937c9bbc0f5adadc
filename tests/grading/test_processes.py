"""What another process occupies."""

from __future__ import annotations

import subprocess
import sys

import psutil

from llm_from_scratch.grading.processes import resident_bytes


def test_resident_memory_of_another_process():
    code = "print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # it runs
        other = psutil.Process(process.pid)
        used = resident_bytes(other)
        process.communicate(b"\n")
    assert 500_000 < used < 500_000_000
    assert resident_bytes(other) == 0
