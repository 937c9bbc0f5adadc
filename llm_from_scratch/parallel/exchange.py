"""What ranks that train one model together say to one another: the loop's `Exchange`, over a communicator.

Every rank holds the whole model and draws every batch, and computes its rows of it. Sums over ranks are divided by the
count of the whole batch, so that a token weighs the same whichever rank it came to; then N ranks do what one process
with the same batches would have done, to rounding.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from ..autograd import Tensor
from ..training.checkpoint import flat
from ..training.exchange import Exchange
from ..training.objectives import Batch, rows_of
from ..training.optimizer import Optimizer
from ..training.workers import available_cores
from .communicator import Communicator
from .gradients import BUCKET, RankGradients
from .ring import chunks_of

Result = TypeVar("Result")
_SHOWN = 60  # characters of a value in a message


class RankExchange(Exchange):
    """The exchange of one rank. bucket: bytes of gradients that are sent off together.

    >>> import llm_from_scratch as lfs
    >>> from llm_from_scratch.parallel import run_ranks
    >>> def work(ranks):
    ...     model = lfs.build("gpt2", n_layer=1, n_head=1, n_embd=8, n_positions=8, vocab_size=16, seed=0)
    ...     sampler = lfs.data.BatchSampler(np.arange(500) % 16, batch_size=4, context=8)
    ...     settings = lfs.TrainingSettings(steps=2, threads=2)  # of all ranks together
    ...     return lfs.train(model, sampler, settings, exchange=RankExchange(ranks), progress=False).loss
    >>> alone, (first, second) = run_ranks(1, work)[0], run_ranks(2, work)
    >>> first == second, abs(first - alone) < 1e-6
    (True, True)
    """

    def __init__(self, ranks: Communicator, *, bucket: int = BUCKET) -> None:
        self.ranks, self.bucket = ranks, bucket
        self.rank, self.size = ranks.rank, ranks.size

    def cores(self) -> int:
        """Of all machines together, each counted once."""
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(available_cores()))
        machines: dict[str, set[int]] = {}
        for name, cores in self.gather((socket.gethostname(), usable)):
            machines.setdefault(name, set()).update(cores)
        return sum(map(len, machines.values()))

    def rows(self, batch: Batch) -> Batch | None:
        """Consecutive rows, as equal in number as can be, as `shards_of` divides them."""
        low, high = chunks_of(rows_of(batch), self.size)[self.rank]
        return {name: array[low:high] for name, array in batch.items()} if low < high else None

    def check_rows(self, rows: int | None) -> None:
        if rows is not None and rows < self.size:
            raise ValueError(
                f"there are {self.size} ranks and {rows} rows in a batch: each rank takes some rows, so use at most "
                f"{rows} ranks, or a larger batch"
            )

    def own(self, shards: list[Any]) -> list[Any]:
        """As equal in number as can be."""
        low, high = chunks_of(len(shards), self.size)[self.rank]
        return shards[low:high]

    def gradients(self, params: Sequence[Tensor], optimizer: Optimizer, *, shard: bool, threads: int) -> RankGradients:
        return RankGradients(self.ranks, params, optimizer, shard=shard, threads=threads, bucket=self.bucket)

    def sum(self, number: float) -> float:
        return float(self.ranks.sum([number])[0])

    def any(self, flag: bool) -> bool:
        return bool(self.ranks.sum([float(flag)])[0])

    def gather(self, value: Result) -> list[Result]:
        text = np.frombuffer(json.dumps(value).encode(), np.uint8)
        return [json.loads(piece.tobytes()) for piece in self.ranks.all_gather(text)]

    def alone(self, work: Callable[[], Result], *, patient: bool = False) -> Result:
        with self.ranks.patience(patient):
            text = json.dumps(work()).encode() if self.leads else b""
            size = int(self.ranks.broadcast(np.array([len(text)]))[0])
            content = np.frombuffer(text, np.uint8) if self.leads else np.empty(size, np.uint8)
            return json.loads(self.ranks.broadcast(content).tobytes())

    def first(self, work: Callable[[], Result]) -> Result:
        with self.ranks.patience(True):
            if self.leads:
                result = work()
                self.ranks.barrier()
                return result
            self.ranks.barrier()
        return work()

    def agree(self, what: Callable[[], dict[str, Any]]) -> None:
        first, *others = self.gather(what())
        for rank, other in enumerate(others, start=1):
            found = _differences(first, other)
            if found:
                more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
                raise ValueError(
                    f"rank {rank} is not like rank 0: {'; '.join(found[:3])}{more}. "
                    "All ranks must be started alike: the same settings, data, weights and versions"
                )

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.ranks.failed(error)
            raise

    def remember(self, text: str) -> None:
        self.ranks.remember(text)


def _differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In words, where two ranks differ, by paths.

    >>> _differences({"settings": {"lr": 0.1}, "step": 3}, {"settings": {"lr": 0.2}, "step": 3})
    ['settings.lr is 0.2, not 0.1']
    """
    mine, theirs = flat(first), flat(other)

    def shown(side: Mapping[str, Any], name: str) -> str:
        text = json.dumps(side[name]) if name in side else "missing"
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

    return [
        f"{name} is {shown(theirs, name)}, not {shown(mine, name)}"
        for name in dict.fromkeys([*mine, *theirs])
        if (name in mine, mine.get(name)) != (name in theirs, theirs.get(name))
    ]
