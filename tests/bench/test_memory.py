"""The peak is that of the work, not of what was before it."""

import subprocess
import sys

import pytest

from llm_from_scratch.bench import memory

# In a process of its own: one that has worked before holds memory that it need not ask for again.
WORK = """
import numpy as np
from llm_from_scratch.bench import memory
np.ones(50_000_000, np.uint8).sum()
memory.forget_peak()
before = memory.peak()
assert before - memory.resident() < 2**22
np.ones(60_000_000, np.uint8).sum()
print(memory.peak() - before)
"""


@pytest.mark.skipif(not memory.STATUS.exists(), reason="only Linux lets a process forget its peak")
def test_a_peak_is_forgotten_and_found_again():
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)
    assert 55_000_000 < int(done.stdout) < 90_000_000
