"""The resident memory of this process, and the largest it was."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> int | None:
    """The largest resident memory since `forget_peak`, or since the start where the system cannot forget, in bytes.

    None where the system does not tell.
    """
    if STATUS.exists():
        return _status("VmHWM")
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def resident() -> int | None:
    """The resident memory now in bytes; None where the system does not tell."""
    return _status("VmRSS") if STATUS.exists() else None


def forget_peak() -> None:
    """Let the peak begin anew, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])
