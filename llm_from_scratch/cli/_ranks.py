"""A command as one of several processes that `mpiexec` has started: joined before it runs, spoken for by rank 0."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..parallel.launch import launched

EPILOG = """
on several processes (pip install 'llm_from_scratch[mpi]'):
  mpiexec -n 2 {prog} …      each process computes its rows of every batch; the result is that of one process
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of commands that share out their work."""
    parser.epilog = (parser.epilog or "") + EPILOG.format(prog=parser.prog)
    group = parser.add_argument_group("several processes (mpiexec)")
    group.add_argument(
        "--rank-timeout",
        type=float,
        metavar="SECONDS",
        help="how long processes wait for one that does not come, before they name it and end (default 300)",
    )


@contextmanager
def one_voice() -> Iterator[None]:
    """Inside the block only rank 0 is heard."""
    rank, _ = launched()
    if rank == 0:
        yield
        return
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def give_way(code: int) -> None:
    """A rank that ends with an error ends the others: let rank 0 say first what is wrong."""
    if code and launched()[0]:
        time.sleep(1)


@contextmanager
def joined(command: str, args: argparse.Namespace, shares: bool) -> Iterator[Any]:
    """The exchange for `train`, None for a process of its own; the threads that are asked for share a token's work.

    ValueError for a command that does not share out its work, and for more threads than there are cores.
    """
    _, size = launched()
    timeout = vars(args).pop("rank_timeout", None)
    if timeout is not None and not 0 < timeout < float("inf"):
        raise ValueError(f"--rank-timeout is a number of seconds above 0, got {timeout}")
    if size == 1:
        _check_threads(args, None)
        from ..kernels.threads import token_threads

        with token_threads(getattr(args, "threads", None)):
            yield None
        return
    if not shares:
        raise ValueError(f"`{command}` is for one process: start it without mpiexec (it was started {size} times)")
    from ..parallel.mpi import TIMEOUT, mpi_exchange

    with mpi_exchange(timeout=TIMEOUT if timeout is None else timeout) as exchange:
        _check_threads(args, exchange)
        yield exchange


def _check_threads(args: argparse.Namespace, exchange: Any) -> None:
    threads = getattr(args, "threads", None)
    if threads is None:
        return
    from ..training.workers import available_cores, resolve_threads

    resolve_threads(threads)
    cores = available_cores() if exchange is None else exchange.cores()
    if threads > cores:
        raise ValueError(f"--threads {threads} is more than the {cores} cores that there are: leave it out, or less")
