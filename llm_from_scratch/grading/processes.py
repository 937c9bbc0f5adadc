"""The processes that a learner's code starts beside its own: counted, measured and ended together with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

_PATIENCE = 10.0  # seconds that killed processes have to end: on a busy machine that takes a while
MARK = "LLM_FROM_SCRATCH_GRADED"  # an environment variable that whatever they start inherits


def descendants(child: psutil.Process) -> list[psutil.Process]:
    """The living processes below `child`."""
    try:
        return [process for process in child.children(recursive=True) if _lives(process)]
    except psutil.Error:
        return []


def marked(mark: str) -> list[psutil.Process]:
    """All living processes that carry this mark, whoever is their parent by now."""
    return [process for process in psutil.process_iter() if _lives(process) and _mark_of(process) == mark]


def resident_bytes(process: psutil.Process) -> int:
    """Bytes of physical memory that a process occupies now; 0 if it has ended.

    >>> resident_bytes(psutil.Process()) > 1_000_000
    True
    """
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def end_all(mark: str, child: psutil.Process | None = None) -> None:
    """End every process that carries the mark, those below `child`, and `child` itself."""
    own, deadline = os.getpid(), time.monotonic() + _PATIENCE
    while True:  # what is found is stopped first, so that no more are started
        below = [*([child] if child else []), *(descendants(child) if child else [])]
        found = {process.pid: process for process in [*below, *marked(mark)] if process.pid != own and _lives(process)}
        others = [process for pid, process in found.items() if child is None or pid != child.pid]
        for process in found.values():
            _try(process.suspend)
        # the child last: those whose parent ends would be handed to it, and must still be found below it
        last = not others or time.monotonic() > deadline
        for process in found.values() if last else others:
            _try(process.kill)
        if last:
            return
        time.sleep(0.005)


def _try(action: Callable[[], object]) -> None:
    try:
        action()
    except (psutil.Error, OSError):  # ended meanwhile, or not ours to end
        return


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):  # another user's
        return ""
