"""The ring: how N ranks add up an array while each sends less than two copies of it.

The array is cut into N chunks. In the first round (reduce-scatter) every rank hands a chunk to its right neighbour and
adds the one that comes from its left; after N - 1 steps each rank holds one chunk of the sum. In the second round
(all-gather) the finished chunks go about once more. There is no master, and what a rank sends does not grow with N.

Each function is a generator of steps: it yields messages, and is continued when these are done. So a sum can be under
way while a backward pass computes (`Flight`).

Source: Patarasuk & Yuan 2009, Journal of Parallel and Distributed Computing 69, 117-124.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np


class Message(Protocol):
    """A message that was posted; `done` says whether its array may be used (received: read, sent: changed)."""

    def done(self) -> bool:
        """Whether it has gone, or come."""


class Ranks(Protocol):
    """What a ring needs of a `Communicator`."""

    rank: int
    size: int

    def post_send(self, array: np.ndarray, to: int, tag: int = 0) -> Message:
        """Begin to send to rank `to`."""

    def post_receive(self, into: np.ndarray, source: int, tag: int = 0) -> Message:
        """Begin to receive from rank `source`."""


Steps = Iterator[list[Message]]


def chunks_of(length: int, ranks: int) -> list[tuple[int, int]]:
    """Where each rank's chunk begins and ends.

    >>> chunks_of(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    borders = [length * k // ranks for k in range(ranks + 1)]
    return list(zip(borders, borders[1:]))


def reduce_scatter_steps(ranks: Ranks, array: np.ndarray, tag: int) -> Steps:
    """Afterwards chunk r of `array`, cut along its first axis, is the sum on rank r; the other chunks are spent.

    Chunk c is added up in the order c + 1, c + 2, …, c of the ranks: the same bytes every time.
    """
    rank, size = ranks.rank, ranks.size
    chunks = [array[low:high] for low, high in chunks_of(len(array), size)]
    came = np.empty_like(max(chunks, key=len))
    for step in range(size - 1):
        outgoing, incoming = chunks[(rank - step - 1) % size], chunks[(rank - step - 2) % size]
        space = came[: len(incoming)]
        yield [
            ranks.post_receive(space, (rank - 1) % size, tag),
            ranks.post_send(outgoing, (rank + 1) % size, tag),
        ]
        incoming += space


def all_gather_steps(ranks: Ranks, pieces: np.ndarray | Sequence[np.ndarray], tag: int) -> Steps:
    """Rank r has piece r; afterwards every rank has all. An array is cut as by `reduce_scatter_steps`."""
    rank, size = ranks.rank, ranks.size
    if isinstance(pieces, np.ndarray):
        pieces = [pieces[low:high] for low, high in chunks_of(len(pieces), size)]
    for step in range(size - 1):
        outgoing, incoming = pieces[(rank - step) % size], pieces[(rank - step - 1) % size]
        yield [
            ranks.post_receive(incoming, (rank - 1) % size, tag),
            ranks.post_send(outgoing, (rank + 1) % size, tag),
        ]


def broadcast_steps(ranks: Ranks, array: np.ndarray, root: int, tag: int) -> Steps:
    """Afterwards every rank has what `root` has; it doubles the number of those who have it at each step."""
    place, size = (ranks.rank - root) % ranks.size, ranks.size
    reach = 1
    while reach < size:
        if place < reach and place + reach < size:
            yield [ranks.post_send(array, (place + reach + root) % size, tag)]
        elif reach <= place < 2 * reach:
            yield [ranks.post_receive(array, (place - reach + root) % size, tag)]
        reach *= 2


class Flight:
    """A collective that is under way while something else is done: `poll` moves it on as far as it goes."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._messages: list[Message] = []
        self.landed = False
        self.poll()

    def poll(self) -> bool:
        """Take every step whose messages have come; whether it was the last."""
        while not self.landed and all(message.done() for message in self._messages):
            following = next(self._steps, None)
            if following is None:
                self.landed = True
            else:
                self._messages = following
        return self.landed
