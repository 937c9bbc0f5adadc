"""A process of its own that sees when ranks do not join: MPI itself waits for all of them, for ever and without a word.

Started by a rank that is about to join as `python usher.py SECONDS PID RANK SIZE`; its standard input ends when all
have come, or the rank has ended. It imports next to nothing, and nothing of this package.
"""

from __future__ import annotations

import os
import select
import signal
import sys

_NEXT = 2.0  # seconds that a rank leaves to the one before it, to speak and to end all
_LONGEST = 1e9  # seconds


def main(arguments: list[str]) -> int:
    """Wait for the rank to join; end it, and with it the run, when the time is over."""
    seconds, pid, rank, size = float(arguments[0]), *map(int, arguments[1:])
    if select.select([0], [], [], min(seconds + rank * _NEXT, _LONGEST))[0]:
        return 0
    message = (
        f"error: rank {rank} has waited for {seconds:g} s for all {size} processes to join: one has ended before, or "
        "does not get so far. Start the command without mpiexec, on each machine, to see what is wrong there\n"
    )
    os.write(2, message.encode())
    os.kill(pid, signal.SIGKILL)
    return 1


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the rank has joined
    sys.exit(main(sys.argv[1:]))
