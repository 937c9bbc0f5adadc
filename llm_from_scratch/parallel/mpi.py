"""Ranks as processes: MPI's point-to-point messages, and an eye on whether all ranks are still there.

Nothing here waits without looking around: for the message of a rank that failed, and, once the time limit is over, for
a sign of life from each. (MPI itself would wait for ever.)
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from . import usher, witness
from .communicator import Communicator
from .exchange import RankExchange
from .launch import INSTALL, launched

TIMEOUT = 300.0  # seconds that ranks wait for one that does not come
_GRACE = 5.0  # seconds for the answer of a rank that is alive, or for what a rank has to say at the end
_DRAIN = 0.3  # seconds for mpiexec to pass on what was said: when a process aborts, it may drop the rest


class RankFailed(ValueError):
    """Another rank has failed, has died, or does not come."""


class MPICommunicator(Communicator):
    """This process's end of an mpi4py communicator (default: all processes of `mpiexec`).

    timeout: seconds. Its messages have a context of their own: they never meet those of another communicator.
    """

    def __init__(self, group: Any = None, *, timeout: float = TIMEOUT) -> None:
        from mpi4py import MPI  # here: to import it is to join the other processes

        super().__init__()
        self._mpi = MPI
        group = MPI.COMM_WORLD if group is None else group
        self._group, self._control = group.Dup(), group.Dup()
        self.rank, self.size = self._group.rank, self._group.size
        self.timeout = timeout
        self.over = False  # whether the end has been announced
        self._patient = 0
        self._asked = False
        self._alive: set[int] = set()
        self._said = False
        self._told: list[Any] = []  # messages on their way, which must not change
        self._memory = ""
        self._failure: BaseException | None = None
        self._witness: subprocess.Popen[bytes] | None = None
        atexit.register(self._leave)

    def post_send(self, array: np.ndarray, to: int, tag: int = 0) -> _Request:
        """Isend."""
        self.bytes_sent += array.nbytes
        content = array.reshape(-1).view(np.uint8)
        return _Request(self._group.Isend([content, self._mpi.BYTE], to, tag))

    def post_receive(self, into: np.ndarray, source: int, tag: int = 0) -> _Receipt:
        """Irecv."""
        if not (into.flags.c_contiguous and into.flags.writeable):
            raise ValueError("a message is received into a contiguous array that can be written")
        content = into.reshape(-1).view(np.uint8)
        return _Receipt(self._group.Irecv([content, self._mpi.BYTE], source, tag), into.nbytes, self._mpi)

    def look_around(self, waiting: float) -> None:
        """RankFailed when a rank has said that it failed, or one says nothing at all when the time limit is over."""
        for source, message in self._news():
            if message["kind"] == "failed":
                if message["interrupted"]:
                    raise KeyboardInterrupt
                raise RankFailed(f"rank {source}: {message['text']}")
            if message["kind"] == "where are you":
                self._tell([source], kind="here")
            elif message["kind"] == "here":
                self._alive.add(source)
            elif message["kind"] == "said":
                self._said = True
        if self._patient or waiting < self.timeout:
            self._asked = False
        elif not self._asked:
            self._asked, self._alive = True, {self.rank}
            self._tell(kind="where are you")
        elif waiting > self.timeout + _GRACE:
            self._blame()

    def _blame(self) -> None:
        missing = sorted(set(range(self.size)) - self._alive)
        if missing:
            who = ("rank " if len(missing) == 1 else "ranks ") + ", ".join(map(str, missing))
            has = "has" if len(missing) == 1 else "have"
            text = f"{who} {has} not come, nor answered, for {self.timeout:g} s while the other ranks waited"
        else:
            text = f"all {self.size} ranks have waited for one another for {self.timeout:g} s: they do not do the same"
        error = RankFailed(f"{text}. {self._memory}".rstrip(" ."))
        speaker = min(self._alive)
        if self.rank == speaker != 0:  # the one who speaks does not come
            os.write(2, f"error: {error}\n".encode(errors="replace"))
            self._said = True
        self._failure = error
        raise error

    def remember(self, text: str) -> None:
        """For the witness, and for whoever finds a rank missing."""
        self._memory = " ".join(text.split())
        self._to_witness(self._memory)

    @contextmanager
    def patience(self, wanted: bool) -> Iterator[None]:
        self._patient += wanted
        try:
            yield
        finally:
            self._patient -= wanted

    def failed(self, error: BaseException) -> None:
        """Tell the others, unless they told us; what follows is the end of this process."""
        if self._failure is None:
            self._failure = error
            if not isinstance(error, RankFailed):
                text = str(error) or type(error).__name__
                if not isinstance(error, (ValueError, TypeError, OSError)):
                    text = f"{type(error).__name__}: {error}"
                self._tell(kind="failed", text=text, interrupted=isinstance(error, KeyboardInterrupt))

    def watch(self) -> None:
        """Let the first rank of each machine start a witness of its ranks."""
        text = json.dumps([socket.gethostname(), os.getpid()]).encode()
        every = [json.loads(piece.tobytes()) for piece in self.all_gather(np.frombuffer(text, np.uint8))]
        here = [(pid, rank) for rank, (host, pid) in enumerate(every) if host == every[self.rank][0]]
        if here[0][1] == self.rank:
            self._witness = _beside(witness, *(f"{pid}:{rank}" for pid, rank in here))

    def finish_together(self) -> None:
        """All have come to the end: from now on a process may end without anybody worrying."""
        self.barrier()
        self._to_witness("over")
        self.barrier()
        self.over = True

    def _leave(self) -> None:
        """At the end of the process: if something failed, see that it was said once, and end all ranks."""
        if self.over or self._failure is None:
            return
        self._to_witness("over")
        if self.rank == 0:
            self._tell(kind="said")
        until = time.monotonic() + _GRACE
        while not self._said and self.rank and time.monotonic() < until:
            self._said = any(message["kind"] == "said" for _, message in self._news())
            time.sleep(0.01)
        if self.rank and not self._said:
            os.write(2, f"error: rank {self.rank}: {self._failure}\n".encode(errors="replace"))
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        time.sleep(_DRAIN)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 2)  # MPI would add a line of its own
        self._mpi.COMM_WORLD.Abort(130 if isinstance(self._failure, KeyboardInterrupt) else 2)

    def _tell(self, to: list[int] | None = None, **message: Any) -> None:
        content = json.dumps(message).encode()
        for rank in range(self.size) if to is None else to:
            if rank != self.rank:
                self._told.append((content, self._control.Isend([content, self._mpi.BYTE], rank)))

    def _news(self) -> Iterator[tuple[int, dict[str, Any]]]:
        status = self._mpi.Status()
        while self._control.Iprobe(self._mpi.ANY_SOURCE, self._mpi.ANY_TAG, status):
            content = bytearray(status.Get_count(self._mpi.BYTE))
            self._control.Recv([content, self._mpi.BYTE], status.Get_source())
            yield status.Get_source(), json.loads(bytes(content))

    def _to_witness(self, line: str) -> None:
        if self._witness is not None and self._witness.stdin is not None:
            try:
                self._witness.stdin.write(f"{line}\n".encode())
                self._witness.stdin.flush()
            except OSError:
                self._witness = None  # it has ended: then it has said why


class _Request:
    """An MPI request; mpi4py keeps its array alive."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def done(self) -> bool:
        return self._request.Test()


class _Receipt:
    """A request to receive so many bytes: MPI would take fewer for an answer."""

    def __init__(self, request: Any, nbytes: int, mpi: Any) -> None:
        self._request, self._nbytes, self._done = request, nbytes, False
        self._status, self._byte = mpi.Status(), mpi.BYTE

    def done(self) -> bool:
        if not self._done and self._request.Test(self._status):
            self._done, came = True, self._status.Get_count(self._byte)
            if came != self._nbytes:
                raise ValueError(f"a message of {came} bytes came where {self._nbytes} were expected")
        return self._done


def _beside(module: ModuleType, *arguments: object) -> subprocess.Popen[bytes]:
    """A process that runs a file of this folder, in a session of its own: no Ctrl-C comes there."""
    command = [sys.executable, "-S", "-E", str(module.__file__), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


@contextmanager
def mpi_exchange(*, timeout: float = TIMEOUT) -> Iterator[RankExchange]:
    """The exchange of this process among those that `mpiexec` has started, for `train(exchange=…)`.

        with mpi_exchange() as exchange:
            train(model, sampler, settings, directory="run", exchange=exchange)

    timeout: seconds that the others wait for a rank that does not come, to begin with or later. An error on one rank
    ends all of them; a rank that is killed is named. ValueError when mpi4py or an MPI library is missing, or does not
    belong to this mpiexec.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise ValueError(f"the time limit for ranks is a number of seconds above 0, got {timeout!r}")
    rank, size = launched()
    with _beside(usher, timeout, os.getpid(), rank, size):
        ranks = _joined(size, timeout)
    exchange = RankExchange(ranks)
    with exchange.ending_together():
        ranks.watch()
        yield exchange
        ranks.finish_together()


def _joined(size: int, timeout: float) -> MPICommunicator:
    """The communicator of all `size` processes, when they have come."""
    try:
        from mpi4py import MPI  # noqa: F401  (here: to import it is to join the other processes)
    except (ImportError, RuntimeError) as error:
        missing = "mpi4py is not installed" if "mpi4py" in str(error) else f"there is no MPI library ({error})"
        raise ValueError(f"this is one of {size} processes, and {missing}: {INSTALL}") from None
    ranks = MPICommunicator(timeout=timeout)
    if size not in (1, ranks.size):
        raise ValueError(
            f"mpiexec has started {size} processes, and the MPI library of mpi4py sees {ranks.size}: they are of "
            f"different installations. Use the mpiexec that belongs to it, or {INSTALL}"
        )
    return ranks
