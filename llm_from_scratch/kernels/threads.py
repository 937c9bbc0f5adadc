"""How many threads: what a caller asks for, checked, or as many as this process has cores."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator

_MOST = 1024  # a slip of the finger must not ask the system for a million threads


def available_cores() -> int:
    """How many cores this process may use (its affinity, where the system tells; at least 1)."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def resolve_threads(threads: int | None, most: int | None = None) -> int:
    """The number of threads to use: `threads`, or the available cores for None; at most `most`.

    >>> resolve_threads(8, most=3)
    3
    """
    if threads is None:
        threads = available_cores()
    elif isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a whole number of at least 1, or None for all cores; got {threads!r}")
    elif threads > _MOST:
        raise ValueError(f"threads must be at most {_MOST}, got {threads}")
    return threads if most is None else max(1, min(threads, most))


_for_a_token: contextvars.ContextVar[int | None] = contextvars.ContextVar("threads_for_a_token", default=None)


@contextlib.contextmanager
def token_threads(threads: int | None) -> Iterator[None]:
    """Inside the block, and for this caller, so many threads share the work of a token; None: all cores.

    >>> with token_threads(1):
    ...     threads_for_a_token()
    1
    """
    token = _for_a_token.set(None if threads is None else resolve_threads(threads))
    try:
        yield
    finally:
        _for_a_token.reset(token)


def threads_for_a_token() -> int:
    """How many threads share the work of a token now."""
    return resolve_threads(_for_a_token.get())
