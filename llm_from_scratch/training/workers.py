"""The threads that share out a training step, and the rule about BLAS threads that goes with them.

Work is divided by rows of the batch or by parameters: each share runs in a Python thread on kernels and matrix products
that release the interpreter's lock. While shares run side by side, each has one BLAS thread, because two libraries'
waiting threads would steal from one another. Nothing here knows models or gradients.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from ..kernels.threads import available_cores as available_cores
from ..kernels.threads import resolve_threads as resolve_threads

Result = TypeVar("Result")


def run_together(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run the jobs side by side and return their results in order: the first in this thread, each other in its own.

    Returns only when all have ended. If some fail, the error of the first in order is raised.

    >>> run_together([lambda: 1, lambda: 2])
    [1, 2]
    """
    if len(jobs) == 1:
        return [jobs[0]()]
    if threading.current_thread().name.startswith(_PREFIX):  # a worker that waits for workers could wait for ever
        return [job() for job in jobs]
    pool = _pool(len(jobs) - 1)
    # In the caller's context, so that np.errstate holds in the other threads too.
    futures = [pool.submit(contextvars.copy_context().run, job) for job in jobs[1:]]
    try:
        first = jobs[0]()
    finally:
        _wait(futures)  # also when the first failed: nothing may go on computing behind the caller's back
    return [first, *(future.result() for future in futures)]


def run_over(items: Sequence[Any], shares: Sequence[Sequence[int]], work: Callable[[Any], Result]) -> list[Result]:
    """Call `work(item)` for every item, share by share in threads; the results come in the order of the items.

    >>> run_over([1, 2, 3], [[0, 2], [1]], lambda x: x * x)
    [1, 4, 9]
    """
    results: list[Any] = [None] * len(items)

    def run(share: Sequence[int]) -> None:
        for index in share:
            results[index] = work(items[index])

    run_together([functools.partial(run, share) for share in shares if len(share)] or [lambda: None])
    return results


def run_by_share(
    items: Sequence[Any], shares: Sequence[Sequence[int]], work: Callable[[list[Any]], Sequence[Result]]
) -> list[Result]:
    """As `run_over` for a work that takes the items of a share at once, and returns as many results.

    >>> run_by_share([1, 2, 3], [[0, 2], [1]], lambda some: [x * x for x in some])
    [1, 4, 9]
    """
    results: list[Any] = [None] * len(items)

    def run(share: Sequence[int]) -> None:
        for index, result in zip(share, work([items[index] for index in share])):
            results[index] = result

    run_together([functools.partial(run, share) for share in shares if len(share)] or [lambda: None])
    return results


def worth_threads(numbers: int, threads: int) -> int:
    """How many of the threads to use for one look at so many numbers: below a million or two, one is done first.

    >>> worth_threads(1000, 2), worth_threads(10**7, 2)
    (1, 2)
    """
    return threads if numbers >= _WORTH_A_THREAD else 1


def balanced_shares(sizes: Sequence[int], threads: int) -> list[list[int]]:
    """Divide items of the given sizes into `threads` shares of about equal total: largest first, to the emptiest.

    >>> balanced_shares([5, 1, 4, 2], 2)
    [[0, 1], [2, 3]]
    """
    shares: list[list[int]] = [[] for _ in range(threads)]
    totals = [0] * threads
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        emptiest = totals.index(min(totals))
        shares[emptiest].append(index)
        totals[emptiest] += sizes[index]
    return [sorted(share) for share in shares]


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside the block matrix products use one thread each (process-wide; blocks may nest and overlap)."""
    global _depth, _limited
    with _lock:
        _depth += 1
        if _depth == 1:
            _limited = _controller().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _limited.restore_original_limits()


_WORTH_A_THREAD = 1_500_000  # a second thread comes after 0.1 ms, and Python runs in one at a time
_PREFIX = "llm_from_scratch-worker"
_lock = threading.Lock()
_depth = 0
_limited: Any = None
_executor: ThreadPoolExecutor | None = None
_size = 0
_owner = 0


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all loaded libraries (milliseconds): once is enough


def _pool(workers: int) -> ThreadPoolExecutor:
    """The shared pool, grown when more workers are asked for; made anew in a forked child, whose threads are gone."""
    global _executor, _size, _owner
    with _lock:
        if _executor is None or _size < workers or _owner != os.getpid():
            _executor = ThreadPoolExecutor(workers, thread_name_prefix=_PREFIX)
            _size, _owner = workers, os.getpid()
        return _executor


def _wait(futures: Sequence[Future[Any]]) -> None:
    interrupt: KeyboardInterrupt | None = None
    for future in futures:
        while not future.done():
            try:
                future.exception()
            except KeyboardInterrupt as error:  # Ctrl-C while waiting: let the shares end first
                interrupt = error
    if interrupt is not None:
        raise interrupt
