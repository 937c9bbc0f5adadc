"""Applies a chain of rules in several processes, and gives the outcomes in the order of the documents."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

from .chain import Chain
from .outcome import Outcome, Treatment
from .records import Record, Skipped

_BATCH, _MOST = 1 << 18, 1000  # bytes and documents that a worker gets at a time


class Sharing:
    """Applies a chain to documents, in their order, here or in several processes."""

    def __init__(self, chain: Chain, workers: int) -> None:
        self.workers = workers
        if workers == 1:
            self._treatment = chain.treatment()
            return
        # A fresh interpreter each: a fork would copy this one's threads and locks, too.
        self._pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (chain,))

    def close(self) -> None:
        if self.workers > 1:
            self._pool.shutdown(cancel_futures=True)

    def __call__(self, records: Iterable[Record | Skipped]) -> Iterator[Outcome]:
        if self.workers == 1:
            return map(self._treatment, records)
        return self._shared(_treat, records, lambda record: record.size)

    def keys(self, lines: Iterable[bytes]) -> Iterator[list[Any]]:
        """What the remembering rules compare, of lines that were written."""
        if self.workers == 1:
            return map(self._treatment.keys_of, lines)
        return self._shared(_keys, lines, len)

    def _shared(self, task: Callable[[list[Any]], list[Any]], items: Iterable[Any], size: Callable[[Any], int]) -> Any:
        waiting: deque[Future[list[Any]]] = deque()
        try:
            for batch in _batches(items, size):
                waiting.append(self._pool.submit(task, batch))
                if len(waiting) > 2 * self.workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise MemoryError(
                "a worker process was ended, most likely by the system for want of memory: the same command goes on "
                "where it stood; with --workers 1 or a smaller --longest it needs less"
            ) from None


def _batches(items: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    held = 0
    for item in items:
        batch.append(item)
        held += size(item)
        if held >= _BATCH or len(batch) >= _MOST:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


_worker: Treatment  # a worker's own


def _begin_worker(chain: Chain) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    _worker = chain.treatment()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # killed: nobody waits for what is being done here


def _treat(batch: list[Record | Skipped]) -> list[Outcome]:
    return [_worker(record) for record in batch]


def _keys(batch: list[bytes]) -> list[list[Any]]:
    return [_worker.keys_of(line) for line in batch]
