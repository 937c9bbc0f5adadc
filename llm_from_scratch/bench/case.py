"""What a case of the benchmark is, and what a contender may say of its work besides doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[], Any]
Prepare = Callable[[], Work]

ALL = 0
"""As a number of threads: all that are given."""
BOTH = (1, ALL)


class Seconds(float):
    """What a work returns that has measured itself; the clock around it then does not count."""


@dataclass(frozen=True)
class Case:
    """One thing measured: contenders by name, ours first; `work` and `unit` turn seconds into a rate.

    beside:  works that nobody competes with, measured in the same turns: what ours cannot do without, such as its
             matrix products alone
    threads: on how many it is measured, each on its own
    rounds:  at most so many, for what takes long
    warm:    runs before the first that counts
    long:    left out of a quick look
    """

    title: str
    contenders: Mapping[str, Prepare]
    work: float = 0.0
    unit: str = ""
    beside: Mapping[str, Prepare] = field(default_factory=dict)
    threads: tuple[int, ...] = (ALL,)
    rounds: int | None = None
    warm: int = 2
    long: bool = False


def saying(work: Work, **facts: float) -> Work:
    """The work, with numbers that its child reports beside the times, such as the bytes that it cannot but read.

    >>> saying(lambda: 3, bytes=12).facts
    {'bytes': 12}
    """
    work.facts = facts  # type: ignore[attr-defined]
    return work
