"""How many bytes a rank has to send, predicted; what a communicator counts is compared with it.

N ranks, an array of S bytes. The busiest link decides how long a network takes, so volumes are those of one rank.
"""

from __future__ import annotations

from .ring import chunks_of


def ring_all_reduce(nbytes: float, ranks: int) -> float:
    """2 (N - 1) / N · S: twice the array, less what a rank never has to be told.

    >>> ring_all_reduce(1000, 2), ring_all_reduce(1000, 4), ring_all_reduce(1000, 2048)
    (1000.0, 1500.0, 1999.0234375)
    """
    return 2 * ring_reduce_scatter(nbytes, ranks)


def ring_reduce_scatter(nbytes: float, ranks: int) -> float:
    """(N - 1) / N · S, which is also what an all-gather takes.

    >>> ring_reduce_scatter(1000, 4)
    750.0
    """
    _check(nbytes, ranks)
    return (ranks - 1) / ranks * nbytes


def chunks_sent(length: int, itemsize: int, ranks: int, rank: int) -> tuple[int, int]:
    """To the byte, what `rank` sends in the two rounds of a ring over `length` numbers that N may not divide.

    In the first round that is all chunks but its own, in the second all but its right neighbour's.

    >>> chunks_sent(7, 4, 3, 0), chunks_sent(7, 4, 3, 2)
    ((20, 20), (16, 20))
    """
    _check(length * itemsize, ranks)
    sizes = [(high - low) * itemsize for low, high in chunks_of(length, ranks)]
    return sum(sizes) - sizes[rank], sum(sizes) - sizes[(rank + 1) % ranks]


def _check(nbytes: float, ranks: int) -> None:
    if isinstance(ranks, bool) or not isinstance(ranks, int) or ranks < 1:
        raise ValueError(f"the number of ranks must be a whole number of at least 1, got {ranks!r}")
    if not nbytes >= 0:
        raise ValueError(f"the number of bytes must be at least 0, got {nbytes!r}")
