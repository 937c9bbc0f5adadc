"""Runs a notebook from top to bottom in a kernel of its own, in this Python. Needs the extra `chapters`."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

from .notebook import Notebook, read, tidy

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ExecutionError(RuntimeError):
    """A cell raised, ran too long, or the kernel died. The message names the cell."""


def execute(path: Path, *, seconds: float = 300.0) -> tuple[Notebook, float]:
    """Execute the notebook at `path` in its own folder: (the executed notebook, the seconds it took).

    The file is not touched. `seconds` is the limit for each cell. Raises ExecutionError at the first failing cell,
    RuntimeError when the packages that run notebooks are not installed.
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
    client = NotebookClient(
        notebook,
        timeout=int(seconds),
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(path.resolve().parent)}},
        record_timing=False,
    )
    start = time.perf_counter()
    try:
        client.execute(env=_environment())
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise ExecutionError(_explain(notebook, error, seconds)) from error
    return tidy(notebook), time.perf_counter() - start


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    # The package of this process, installed or not: a chapter is checked against the code beside it.
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment.pop("PYTHONWARNINGS", None)
    return environment


def _explain(notebook: Notebook, error: Exception, seconds: float) -> str:
    # The failing cell is the one that holds the error, or the last that was begun if the kernel went silent.
    number = 0
    for index, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "code" and (cell.get("execution_count") or cell["outputs"]):
            number = index
    if "Timeout" in type(error).__name__:
        return f"cell {number} was still running after {seconds:g} s"
    return f"cell {number} failed\n{_ANSI.sub('', str(error)).strip()}"
