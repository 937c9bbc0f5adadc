"""Ranks as threads of one process: what MPI does between processes, for tests and for trying things out.

The messages are real (copied, matched by sender and tag, first come first served), only the network is missing; so
whatever is built on a `Communicator` runs here without mpiexec, and sends as many bytes.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from .communicator import Communicator

Result = TypeVar("Result")
_LONG = 300  # seconds


class _Post:
    """The mail of all ranks, by (sender, receiver, tag). A `deque` may be used by two threads at once."""

    def __init__(self) -> None:
        self.boxes: defaultdict[tuple[int, int, int], deque[np.ndarray]] = defaultdict(deque)
        self.failed: list[tuple[int, BaseException]] = []
        self._lock = threading.Lock()

    def box(self, source: int, to: int, tag: int) -> deque[np.ndarray]:
        with self._lock:
            return self.boxes[source, to, tag]


class _Sent:
    def done(self) -> bool:
        return True  # a copy is on its way


class _Received:
    def __init__(self, box: deque[np.ndarray], into: np.ndarray, claims: deque[_Received]) -> None:
        self._box, self._into, self._claims, self._done = box, into, claims, False
        claims.append(self)

    def done(self) -> bool:
        # Of several that wait for one sender and tag, the first to be posted gets the first message.
        while not self._done and self._box and self._claims:
            first, message = self._claims.popleft(), self._box.popleft()
            if message.nbytes != first._into.nbytes:
                raise ValueError(f"a message of {message.nbytes} bytes came where {first._into.nbytes} were expected")
            first._into.reshape(-1).view(np.uint8)[:] = message
            first._done = True
        return self._done


class ThreadRank(Communicator):
    """A rank that is a thread, see `run_ranks`."""

    def __init__(self, rank: int, size: int, post: _Post) -> None:
        super().__init__()
        self.rank, self.size, self._post = rank, size, post
        self._claims: defaultdict[tuple[int, int], deque[_Received]] = defaultdict(deque)

    def post_send(self, array: np.ndarray, to: int, tag: int = 0) -> _Sent:
        """Put a copy into the receiver's box."""
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).copy()
        self.bytes_sent += content.nbytes
        self._post.box(self.rank, to, tag).append(content)
        return _Sent()

    def post_receive(self, into: np.ndarray, source: int, tag: int = 0) -> _Received:
        """Take the next message out of the box when there is one."""
        if not (into.flags.c_contiguous and into.flags.writeable):
            raise ValueError("a message is received into a contiguous array that can be written")
        return _Received(self._post.box(source, self.rank, tag), into, self._claims[source, tag])

    def look_around(self, waiting: float) -> None:
        """RuntimeError when another rank has failed, or nothing comes for long: it will never come."""
        if waiting > _LONG:
            raise RuntimeError(f"rank {self.rank} has waited for {_LONG} s: the ranks do not do the same")
        if self._post.failed:
            rank, error = self._post.failed[0]
            raise RuntimeError(f"rank {rank} failed: {error}") from error


def run_ranks(size: int, work: Callable[[Communicator], Result]) -> list[Result]:
    """Call `work(communicator)` on `size` ranks, each a thread, and return what they return, in the order of ranks.

    If some fail, the others are ended at their next wait, and the error of the first to fail is raised.

    >>> def pass_on(ranks):
    ...     ranks.send(np.array([ranks.rank]), to=(ranks.rank + 1) % ranks.size)
    ...     return int(ranks.receive(np.empty(1, np.int64), source=(ranks.rank - 1) % ranks.size)[0])
    >>> run_ranks(4, pass_on)
    [3, 0, 1, 2]
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"the number of ranks must be a whole number of at least 1, got {size!r}")
    post = _Post()
    results: list[Result | None] = [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadRank(rank, size, post))
        except BaseException as error:
            post.failed.append((rank, error))

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if post.failed:
        raise post.failed[0][1]
    return results  # type: ignore[return-value]
