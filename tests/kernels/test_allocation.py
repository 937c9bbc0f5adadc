"""Threads share one heap once freed memory is kept: a thread's own goes back to the system in pieces of 64 MiB."""

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, sys, threading
import numpy as np
from llm_from_scratch.kernels.allocation import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory():
    print("no setting"); sys.exit()
waiting = threading.Barrier(3)

def work():
    arrays = [np.ones(20_000, np.float32) for _ in range(20)]
    waiting.wait()

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
waiting.wait()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_threads_share_one_heap():
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}

    def heaps(how):
        command = [sys.executable, "-c", _PROGRAM, how]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
        if run.stdout.startswith("no setting"):
            pytest.skip("another C library")
        return run.stdout.count("<heap nr=")

    assert heaps("kept") == 1
    assert heaps("as it is") > 1  # or the check above says nothing
