"""What ranks say to one another: two messages (send, receive), and every collective built from them.

A rank is one of N workers that run the same program. What a `Communicator` can do by itself is to post a message and to
ask whether it has arrived; `mpi.py` does that between processes, `threads.py` between the threads of one. All else is
here and in `ring.py`, once for both, and counts what it sends: `bytes_sent` is what a network would have to carry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from .ring import Message, Steps, all_gather_steps, broadcast_steps, chunks_of, reduce_scatter_steps

_SPINS = 200  # so often a message is asked for before the processor is given to others
_NAP = 5e-5  # seconds; ranks that share a core must let one another work


class Communicator:
    """One rank's end of a group of `size` ranks.

    Collectives (all but `send` and `receive`) are called by all ranks in the same order, with arrays of the same shape
    and dtype, any that has `+`. Sums are added in an order that depends on `size` alone: the same ranks give the same
    bytes, and all of them have these.

    >>> from llm_from_scratch.parallel.threads import run_ranks
    >>> run_ranks(3, lambda ranks: ranks.all_reduce(np.array([1.0, ranks.rank])).tolist())
    [[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]
    """

    rank = 0
    size = 1

    def __init__(self) -> None:
        self.bytes_sent = 0
        self.waited = 0.0  # seconds in which nothing could be done but to wait

    def post_send(self, array: np.ndarray, to: int, tag: int = 0) -> Message:
        """Begin to send a contiguous array to rank `to`; it must not change before the message is done."""
        raise NotImplementedError

    def post_receive(self, into: np.ndarray, source: int, tag: int = 0) -> Message:
        """Begin to receive what rank `source` sends with this tag into a contiguous array of the same size."""
        raise NotImplementedError

    def look_around(self, waiting: float) -> None:
        """Called again and again while something is waited for, with the seconds so far: may raise."""

    @contextmanager
    def patience(self, wanted: bool) -> Iterator[None]:
        """Inside the block nobody is blamed for taking long."""
        yield

    def failed(self, error: BaseException) -> None:
        """This rank has failed: the others are to be told, for what they wait for will not come."""

    def remember(self, text: str) -> None:
        """What is to be said about the work should a rank be killed."""

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return when `ready()`: whatever a rank waits for, it waits here, and never without looking around."""
        if ready():
            return
        began, turn = time.perf_counter(), 0
        while not ready():
            turn += 1
            if turn > _SPINS:
                time.sleep(_NAP)
            if turn % 16 == 0:
                self.look_around(time.perf_counter() - began)
        self.waited += time.perf_counter() - began

    def wait(self, messages: Iterable[Message]) -> None:
        """Return when all messages are done."""
        left = list(messages)

        def ready() -> bool:
            left[:] = [message for message in left if not message.done()]
            return not left

        self.wait_until(ready)

    def finish(self, steps: Steps) -> None:
        """Carry out the steps of a collective, each when its messages have come."""
        for messages in steps:
            self.wait(messages)

    def send(self, array: np.ndarray, to: int, tag: int = 0) -> None:
        """Send an array to rank `to`, and wait until it may be changed."""
        self._check_rank(to)
        self.wait([self.post_send(np.asarray(array, order="C"), to, tag)])

    def receive(self, into: np.ndarray, source: int, tag: int = 0) -> np.ndarray:
        """Fill a contiguous array with what rank `source` sends; returns it."""
        self._check_rank(source)
        self.wait([self.post_receive(into, source, tag)])
        return into

    def all_reduce(self, array: np.ndarray, tag: int = 0) -> np.ndarray:
        """The sum of all ranks' arrays: (...) -> (...), a new array.

        A ring: every rank sends 2 (N - 1) / N of the array, whatever N is (see `volume`).
        """
        total = np.array(array, order="C")
        flat = total.reshape(-1)
        self.finish(reduce_scatter_steps(self, flat, tag))
        self.finish(all_gather_steps(self, flat, tag))
        return total

    def reduce_scatter(self, array: np.ndarray, tag: int = 0) -> np.ndarray:
        """This rank's share of the sum of all arrays, cut along the first axis: (n, ...) -> (about n / N, ...).

        Shares are those of `np.array_split`, but for which get the surplus: rank r has rows n r // N to n (r + 1) // N.
        """
        total = np.array(array, order="C")
        low, high = chunks_of(len(total), self.size)[self.rank]
        self.finish(reduce_scatter_steps(self, total, tag))
        return total[low:high].copy()

    def all_gather(self, array: np.ndarray, tag: int = 0) -> list[np.ndarray]:
        """Every rank's array, in the order of ranks: arrays of one dtype and number of axes, of any lengths.

        Their shapes are exchanged first, unless there is but one rank.
        """
        array = np.asarray(array, order="C")
        shapes = self.gather_equal(np.array(array.shape, np.int64), tag)
        pieces = [np.empty(tuple(int(n) for n in shape), array.dtype) for shape in shapes]
        pieces[self.rank] = array.copy()
        self.finish(all_gather_steps(self, pieces, tag))
        return pieces

    def sum(self, numbers: Sequence[float] | np.ndarray) -> np.ndarray:
        """Few numbers added over the ranks, in float64 and in the order of ranks: (n) -> (n)."""
        parts = self.gather_equal(np.asarray(numbers, np.float64).reshape(-1))
        total = parts[0].copy()
        for part in parts[1:]:
            total += part
        return total

    def broadcast(self, array: np.ndarray, root: int = 0, tag: int = 0) -> np.ndarray:
        """What rank `root` has, for all: the others' arrays say shape and dtype, and are filled. Returns the array."""
        self._check_rank(root)
        array = np.asarray(array, order="C")
        self.finish(broadcast_steps(self, array, root, tag))
        return array

    def barrier(self) -> None:
        """Return when all ranks have come here."""
        self.gather_equal(np.zeros(1, np.uint8))

    def gather_equal(self, array: np.ndarray, tag: int = 0) -> list[np.ndarray]:
        """Every rank's array, as `all_gather`, for arrays that are known to be of one shape."""
        pieces = [np.empty_like(array) for _ in range(self.size)]
        pieces[self.rank] = array.copy()
        self.finish(all_gather_steps(self, pieces, tag))
        return pieces

    def _check_rank(self, rank: int) -> None:
        if not 0 <= rank < self.size:
            raise ValueError(f"there is no rank {rank}: there are {self.size}, from 0 on")


class Alone(Communicator):
    """The group of one rank: what it sums is the sum."""
