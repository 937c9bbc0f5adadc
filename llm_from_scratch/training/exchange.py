"""What a run says to other processes that train the same model: here nothing, for here there is one.

The loop asks its exchange wherever processes ("ranks") that share out a batch have to agree: for its rows of a batch,
for sums, for what is done once. The answers of this one are what they would be without it; `parallel.exchange` has
those of many ranks. So the loop knows neither MPI nor how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from ..autograd import Tensor
from .clip import grad_norm
from .objectives import Batch
from .optimizer import Optimizer
from .workers import available_cores, resolve_threads

Result = TypeVar("Result")


class Gradients:
    """The gradients of a step, from the last backward pass to the update: of one process.

    finished: what `accumulate_gradients` is to call with each parameter as soon as it is complete, or None.
    """

    finished: Callable[[Tensor], None] | None = None

    def __init__(self, params: Sequence[Tensor], threads: int | None) -> None:
        self.params, self.threads = params, threads

    def complete(self, loss: float, batches: Sequence[Batch], *, whole: bool) -> float:
        """Called after the last backward pass: the loss of the step; each `.grad` is now what it is over all ranks.

        whole: whether all of it is wanted here, and not only what this rank updates.
        """
        return loss

    def norm(self) -> float:
        """The length of the step's gradient."""
        return grad_norm(self.params, threads=self.threads)

    def update(self, optimizer: Optimizer, scale: float, norm: float) -> None:
        """Let the optimiser make its step; afterwards every rank has the new weights."""
        optimizer.step(scale, norm=norm)


class Shared:
    """A sampler that gives a rank its own rows."""

    def __init__(self, sampler: Any, exchange: Exchange) -> None:
        self.sampler, self.exchange = sampler, exchange

    def __next__(self) -> Batch | None:
        return self.exchange.rows(next(self.sampler))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)


class Exchange:
    """One process that trains alone. Where there are many, each method is called by all of them, in the same order."""

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one who writes and speaks."""
        return self.rank == 0

    def cores(self) -> int:
        """How many cores all ranks have together."""
        return available_cores()

    def shards(self, wanted: int | None) -> int:
        """Into how many a batch is divided, over all ranks: as many as wanted, None: as there are cores."""
        return resolve_threads(self.cores() if wanted is None else wanted)

    def threads(self, wanted: int) -> int:
        """Of so many shards of a batch, how many this rank computes at a time."""
        return max(1, wanted // self.size)

    def rows(self, batch: Batch) -> Batch | None:
        """This rank's rows of a batch, None if there are none for it."""
        return batch

    def own(self, shards: list[Any]) -> list[Any]:
        """Of the shards of a batch, those that this rank computes: consecutive ones, maybe none."""
        return shards

    def gradients(self, params: Sequence[Tensor], optimizer: Optimizer, *, shard: bool, threads: int) -> Gradients:
        """How gradients become those of all ranks. shard: each rank keeps and updates its share of what the optimiser
        remembers (ZeRO, stage 1)."""
        return Gradients(params, threads)

    def sum(self, number: float) -> float:
        """Added up over the ranks."""
        return number

    def any(self, flag: bool) -> bool:
        """Whether it holds for one rank at least."""
        return flag

    def alone(self, work: Callable[[], Result], *, patient: bool = False) -> Result:
        """Let the leader do it; every rank gets what it returns, which is JSON-able. patient: however long it takes."""
        return work()

    def first(self, work: Callable[[], Result]) -> Result:
        """Let every rank do it, the leader before the others: they find the files that it has made."""
        return work()

    def gather(self, value: Result) -> list[Result]:
        """What each rank has, which is JSON-able, in the order of ranks."""
        return [value]

    def agree(self, what: Callable[[], dict[str, Any]]) -> None:
        """ValueError naming rank and difference where this, which is JSON-able, is not the same on all ranks."""

    def check_rows(self, rows: int | None) -> None:
        """ValueError if a batch of so many rows has none for some rank; None: it is not known how many it has."""

    def remember(self, text: str) -> None:
        """What has to be said should a rank be killed: where the run stands."""

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """An error that leaves the block on one rank ends all of them."""
        yield
