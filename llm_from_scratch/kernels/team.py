"""Threads that help with the work of one token, kept between tokens.

A token of a small model takes a millisecond and is a few hundred products that depend on one another: threads that are
asked for each product anew would take longer to come than the product. Helpers stay inside compiled code, look at a
board (some words of shared memory) whether there is a job, and take shares of it one by one (`kernels.compiled.token`).
Between tokens they wait in a loop for some microseconds, offer their core to others for a millisecond, and sleep.

Nobody waits for a helper to come, so that none is needed: a second caller works alone while the first has the team, a
forked process has no helpers until its first job makes them, and when the interpreter ends they are told to go.

Another program may want the cores, too. A helper that loses its core in the middle of a share holds up all others,
and a token has hundreds of them: two threads are then slower than one. So when anybody was late, half as many helpers
are asked for a while, none in the end; then it is tried with one more, at first soon, later every quarter of a second.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .token_matrices import address

_PATIENCE = 4000  # looks at the board, about a millisecond, before a helper goes to sleep
_MOST_HELPERS = 63
_LATE = 12  # the word of the board that says so: see `compiled.token`


class Willing:
    """How many helpers are worth asking: fewer after a job in which someone was late, and then slowly more again.

    >>> now = 0.0
    >>> willing = Willing(clock=lambda: now)
    >>> willing.of(7), willing.learn(7, late=True), willing.of(7)
    (7, None, 3)
    >>> now += 0.1
    >>> willing.of(7)
    4
    """

    SOON, LATER = 0.005, 0.25  # seconds until more are tried

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = _MOST_HELPERS
        self._pause, self._again = self.SOON, 0.0

    def of(self, helpers: int) -> int:
        """How many of so many helpers to ask now."""
        if self._most < helpers and (now := self._clock()) >= self._again:
            self._most += 1
            self._again = now + self._pause
        return min(helpers, self._most)

    def learn(self, helpers: int, late: bool) -> None:
        """What came of a job with so many."""
        if late:
            self._most = helpers // 2
            self._again = self._clock() + self._pause
            self._pause = min(1.5 * self._pause, self.LATER)
        elif self._pause > self.SOON:
            self._pause = max(self.SOON, 0.9 * self._pause)


class Team:
    """Helpers, made when they are first needed; `run` is the only thing to call."""

    def __init__(self) -> None:
        self.willing = Willing()
        self._board = np.zeros(32 + 8 * (_MOST_HELPERS + 1), np.int64)
        self._counters = np.zeros(0, np.int64)
        self._helpers: list[_Helper] = []
        self._taken = threading.Lock()
        self._held: list[Any] = []  # jobs that a late helper may still look at
        self._closed = False

    def run(self, code: Any, job: np.ndarray, threads: int, keep: Any = None) -> None:
        """Run a job: its words say how many steps it has and where all else lies, see `compiled.token._work`.

        code: the module with `perform` and `wake`. keep: what has to live as long as anyone looks at
        the job, which may be a little longer than this call.
        """
        helpers = min(threads - 1, _MOST_HELPERS)
        if helpers < 1 or self._closed or not self._taken.acquire(blocking=False):
            code.perform(0, address(job), 0, 0, 0, 0)
            return
        try:
            helpers = self.willing.of(helpers)
            if not helpers:
                code.perform(0, address(job), 0, 0, 0, 0)
                return
            board = address(self._board)
            while len(self._helpers) < helpers:
                self._helpers.append(_Helper(self, code, len(self._helpers) + 1))
            if self._counters.size < 16 * job[0] and not self._held:
                self._counters = np.zeros(16 * int(job[0]), np.int64)
            for helper in self._helpers[:helpers]:
                if code.wake(board, helper.number):
                    helper.alarm.release()
            if self._counters.size < 16 * job[0]:
                code.perform(0, address(job), 0, 0, 0, 0)
                return
            self._held.append((job, keep))
            if code.perform(board, address(job), address(self._counters), 0, helpers, 0):
                self._held.clear()
            self.willing.learn(helpers, bool(self._board[_LATE]))
            self._board[_LATE] = 0
        finally:
            self._taken.release()

    def close(self) -> None:
        """Send all helpers home and wait until they are gone."""
        with self._taken:
            self._closed = True
            for helper in self._helpers:
                helper.alarm.release()
            for helper in self._helpers:
                helper.thread.join(5)


class _Helper:
    def __init__(self, team: Team, code: Any, number: int) -> None:
        self.number, self.alarm = number, threading.Semaphore(0)
        self.thread = threading.Thread(target=self._live, args=(team, code), name=f"token-{number}", daemon=True)
        self.thread.start()

    def _live(self, team: Team, code: Any) -> None:
        while not team._closed:
            code.perform(address(team._board), 0, 0, self.number, 0, _PATIENCE)
            self._rest()

    def _rest(self) -> None:
        self.alarm.acquire()


_team = Team()


def team() -> Team:
    """The one of this process."""
    return _team


def _anew() -> None:
    global _team
    _team = Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_anew)  # threads do not survive a fork
atexit.register(lambda: _team.close())
