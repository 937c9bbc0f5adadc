"""Kills a process in the middle of what it writes, for the tests of what is left then."""

from __future__ import annotations

import os
import signal
import sys

CHANGES = ("open", "replace", "rename", "mkdir", "rmdir", "unlink", "fsync", "truncate")


def in_child(work, kill_at=0):
    """Run `work` in a forked child that dies at its kill_at-th call that changes files: status, calls made.

    The status is what `work` returns, 0 for None.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.close(reader)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")
            calls = _count_calls(kill_at)
            code = work() or 0
            os.write(writer, str(calls[0]).encode())
        finally:
            os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        calls = pipe.read()
    return os.waitstatus_to_exitcode(status), int(calls or 0)


def _count_calls(place):
    calls = [0]

    def counted(function):
        def call(*args, **kwargs):
            calls[0] += 1
            if calls[0] == place:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    return calls
