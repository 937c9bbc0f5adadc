"""The room: its names, and that telling about models does not wait for SciPy."""

from __future__ import annotations

import subprocess
import sys

import llm_from_scratch.scaling as room


def test_every_name_is_there_and_documented() -> None:
    for name in room.__all__:
        found = getattr(room, name)
        assert not callable(found) or found.__doc__
    assert {"fit_parametric", "optimal_allocation", "costs"} <= set(dir(room))


def test_costs_do_not_import_scipy() -> None:
    code = "import sys, llm_from_scratch.zoo, llm_from_scratch.cli.scaling; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
