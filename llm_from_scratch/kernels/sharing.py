"""Threads for the parts of one call: as many as a matrix product of NumPy's would use here.

Where rows of a batch are shared out among threads already, products have one thread each, and so has everything here.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from .dispatch import compiled_module
from .team import team
from .token_matrices import address

_CALL, _LATE = 7, 2_000_000  # what `compiled.token` knows such a step by; nanoseconds that a share may take


def product_threads() -> int:
    """How many threads a matrix product would use now.

    >>> product_threads() >= 1
    True
    """
    return min((library.get_num_threads() for library in _blas(os.getpid())), default=1) or 1


def share(units: int, work: Callable[[int, int], Any], *, alone: bool = False) -> None:
    """Call work(first, last) for parts of range(units), side by side; alone: in this thread only.

    >>> seen = []
    >>> share(3, lambda first, last: seen.extend(range(first, last)))
    >>> sorted(seen)
    [0, 1, 2]
    """
    threads = 1 if alone or units < 2 else min(units, product_threads())
    if threads == 1:
        work(0, units)
        return
    edges = [units * n // threads for n in range(threads + 1)]
    others = [_pool(os.getpid(), threads - 1).submit(work, *ends) for ends in zip(edges[1:-1], edges[2:])]
    try:
        work(0, edges[1])
    finally:
        for other in others:
            other.exception()  # nothing goes on behind the caller's back
    for other in others:
        other.result()


def share_calls(function: int, words: np.ndarray, shares: int, *, alone: bool = False, keep: Any = None) -> None:
    """Let threads that wait in compiled code call function(words, share) for each of range(shares), and wait for it.

    They come in a microsecond, where those of `share` take a hundred, but can do nothing except what was compiled to be
    called by its address: see `compiled.calls`. keep: what has to live as long as anyone may look at the words.
    """
    job = np.zeros(80, np.int64)  # a program of one step with one part, as `compiled.token` reads it
    rows, numbers, begins, counts, matrices, norms = (address(job) + 8 * at for at in (16, 48, 52, 54, 56, 64))
    job[:13] = 1, 1, rows, numbers, begins, counts, matrices, 1, norms, 1, numbers, 0, _LATE
    job[16:21] = _CALL, shares, 0, function, address(words)
    job[53], job[54] = 1, shares
    team().run(compiled_module("token"), job, 1 if alone else min(shares, product_threads()), (words, keep))


@functools.cache
def _blas(process: int) -> list[Any]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # a forked process has none of its parent's threads
    return ThreadPoolExecutor(threads, thread_name_prefix="llm_from_scratch-part")
