"""Runs a notebook from top to bottom in a kernel of its own, in this Python. Needs the extra `chapters`."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from .notebook import Notebook, read, tidy

SECONDS = 600.0
"""The limit for one cell. A whole chapter takes less than two minutes where it was written; another machine may be
three times slower, and have other things to do."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ExecutionError(RuntimeError):
    """A cell raised, ran too long, or the kernel died. The message names the cell.

    cell:      its number, counted from 1.
    executed:  the notebook as far as it came.
    """

    def __init__(self, message: str, cell: int, executed: Notebook):
        super().__init__(message)
        self.cell, self.executed = cell, executed


def execute(
    path: Path,
    *,
    seconds: float = SECONDS,
    keep_going: bool = False,
    environment: Mapping[str, str] | None = None,
) -> tuple[Notebook, float]:
    """Execute the notebook at `path` in its own folder: (the executed notebook, the seconds it took).

    The file is not touched. `seconds` is the limit for each cell. With `keep_going` a cell that raises keeps its
    traceback as output and the next one runs. `environment` is set for the kernel, over what this process has.
    Raises ExecutionError at the first failing cell, RuntimeError when the packages that run notebooks are missing.
    """
    try:
        import nbformat
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ImportError as error:
        raise RuntimeError(
            f"executing a chapter needs the extra `chapters` ({error.name} is missing): "
            "pip install 'llm_from_scratch[chapters]', or make chapters"
        ) from error
    import matplotlib.font_manager  # noqa: F401  builds the font list now, or the first figure would report on it

    class ThisPython(AsyncKernelManager):
        """The kernel runs in this interpreter, whatever kernels are installed for the user."""

        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            # Its log would report on the transport; what the cells print comes another way.
            kernel = [sys.executable, "-m", "ipykernel_launcher", "--IPKernelApp.log_level=ERROR"]
            return [*kernel, "-f", self.connection_file, *(extra_arguments or [])]

    notebook = nbformat.reads(json.dumps(tidy(read(path))), as_version=4)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":  # what an earlier run left must not pass for this one's
            cell.update(execution_count=None, outputs=[])
    client = NotebookClient(
        notebook,
        timeout=int(seconds),
        allow_errors=keep_going,
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(path.resolve().parent)}},
        record_timing=False,
    )
    start = time.perf_counter()
    try:
        client.execute(env=_environment(environment or {}))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        cell = _last_begun(notebook)
        raise ExecutionError(f"cell {cell} {_explain(error, seconds)}", cell, tidy(notebook)) from error
    return tidy(notebook), time.perf_counter() - start


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    environment = {**os.environ, **changes}
    # The package of this process, installed or not: a chapter is checked against the code beside it.
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment.pop("PYTHONWARNINGS", None)
    return environment


def _last_begun(notebook: Notebook) -> int:
    # The failing cell is the one that holds the error, or the last that was begun if the kernel went silent.
    begun = [i for i, c in enumerate(notebook["cells"], start=1) if c.get("execution_count") or c.get("outputs")]
    return max(begun, default=0)


def _explain(error: Exception, seconds: float) -> str:
    if "Timeout" in type(error).__name__:
        return f"was still running after {seconds:g} s"
    return f"failed\n{_ANSI.sub('', str(error)).strip()}"
