"""A process of its own that sees when a rank dies, and says so: mpiexec ends all others within milliseconds.

Started by the first rank of each machine as `python witness.py PID:RANK …`. Its standard input says, a line each, what
is to be remembered about the run, and in the end "over". It imports next to nothing, and nothing of this package.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

_OVER = "over"


def main(arguments: list[str]) -> int:
    """Wait for the end of the run, or of a rank."""
    ranks = {int(pid): int(rank) for pid, _, rank in (text.partition(":") for text in arguments)}
    memory, died = _watch(ranks)
    if died is None:
        return 0
    kept = f" {memory}" if memory else ""
    message = (
        f"error: rank {ranks[died]} (process {died}) has died in the middle of the run: it crashed, or was killed "
        f"(by hand, or because the memory was full).{kept}\n"
    )
    os.write(2, message.encode(errors="replace"))
    for pid in ranks.keys() - {died}:  # with it the run is over, whatever started it
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass  # it has ended already
    return 1


def _watch(ranks: dict[int, int]) -> tuple[str, int | None]:
    """What was to be remembered, and the process that ended before the run was over, if one did."""
    memory, text, listening = "", "", True
    if hasattr(os, "pidfd_open") and hasattr(select, "epoll"):
        # The events of an epoll come in the order in which they happened: the first is the one that matters.
        events = select.epoll()
        handles = {os.pidfd_open(pid): pid for pid in ranks}
        for handle in handles:
            events.register(handle, select.EPOLLIN)
        events.register(0, select.EPOLLIN)
    else:
        events, handles = None, {}
    while True:
        if events is not None:
            ready = [handle for handle, _ in events.poll(maxevents=1)]
        else:
            ready = [0] if listening and select.select([0], [], [], 0.2)[0] else []
            if not listening:
                time.sleep(0.2)
        if 0 in ready:
            piece = os.read(0, 1 << 16).decode(errors="replace")
            if not piece:  # who told us has ended, too: then its process will be seen
                listening = False
                if events is not None:
                    events.unregister(0)
            text += piece
            *lines, text = text.split("\n")
            if _OVER in lines:
                return memory, None
            memory = lines[-1] if lines else memory
            continue
        ended = [handles[handle] for handle in ready] or [pid for pid in ranks if events is None and not _lives(pid)]
        if ended:
            return memory, ended[0]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the run does
    sys.exit(main(sys.argv[1:]))
