"""Beginning: the import, and the first training step of a new process, its compiled kernels kept or not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .case import Seconds, Work

PACKAGE = str(Path(__file__).resolve().parents[2])
IMPORT = "import time; began = time.perf_counter(); import {} as package; {}; print(time.perf_counter() - began)"
STEP = """
import numpy as np
import llm_from_scratch as lfs
model = lfs.build("llama", hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4,
                  num_key_value_heads=2, vocab_size=1024, max_position_embeddings=256, tie_word_embeddings=True)
ids = np.random.default_rng(0).integers(0, 1024, (8, 257))
optimizer = lfs.AdamW(model.parameters(), lr=1e-3)
lfs.accumulate_gradients(model, ids[:, :-1], ids[:, 1:])
lfs.clip_grad_norm(model.parameters(), 1.0)
optimizer.step()
"""


def importing(package: str, names: str = "pass") -> Work:
    """The import, and what is then done with it, by the clock of the new process: its start does not count."""

    def run() -> Seconds:
        return Seconds(_python(IMPORT.format(package, names)))

    return run


def first_step(warm: bool) -> Work:
    """A process from its start to the end of its first step. warm: the compiled kernels are in the cache."""

    def run() -> None:
        if warm:
            _python(STEP)
            return
        with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
            _python(STEP, NUMBA_CACHE_DIR=folder)

    return run


def _python(code: str, **variables: str) -> str:
    paths = os.pathsep.join([PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, **variables}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    if "ModuleNotFoundError" in child.stderr:
        raise ImportError(child.stderr.strip().splitlines()[-1])
    if child.returncode:
        raise RuntimeError((child.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return child.stdout
