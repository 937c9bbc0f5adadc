"""The gradients of many ranks become one, in buckets, while the backward pass still computes the rest.

A bucket holds the gradients of some parameters in a row. Backward passes finish parameters from the last layer to the
first, so buckets are filled in that order, and a full one is sent off at once: what it costs to send is hidden behind
what is left to compute. A ring leaves rank r with chunk r of each bucket's sum; another round gives all of it to all.

With a sharded optimiser (ZeRO, stage 1) that second round carries the new weights instead: each rank updates only its
chunks, remembers only what belongs to them, and as many bytes are sent.

Sources: Li et al. 2020, arXiv:2006.15704 (buckets); Rajbhandari et al. 2020, arXiv:1910.02054, section 5.1 (stage 1).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ..autograd import Tensor
from ..training.clip import joint_length
from ..training.exchange import Gradients
from ..training.objectives import Batch, checksum
from ..training.optimizer import Optimizer
from .communicator import Communicator
from .ring import Flight, all_gather_steps, chunks_of, reduce_scatter_steps

BUCKET = 4 << 20  # bytes: large enough to use a network, small enough that the first leaves early


class Bucket:
    """Parameters in a row: their gradients in one flat array, of which each rank has a chunk."""

    def __init__(self, params: Sequence[Tensor], tag: int, rank: int, size: int) -> None:
        self.params, self.tag = list(params), tag
        borders = np.cumsum([0, *(p.size for p in params)]).tolist()
        self.places = {p: slice(low, high) for p, low, high in zip(params, borders, borders[1:])}
        self.gradient = np.zeros(borders[-1], params[0].dtype)
        self.chunks = chunks_of(borders[-1], size)
        self.own = slice(*self.chunks[rank])
        self.missing = set(params)
        self.flight: Flight | None = None

    def share(self, param: Tensor, rank: int) -> slice:
        """Which of a parameter's numbers, as a flat array, belong to a rank's chunk; maybe none."""
        place = self.places[param]
        low, high = (min(max(border, place.start), place.stop) - place.start for border in self.chunks[rank])
        return slice(low, high)

    def take(self, param: Tensor) -> None:
        """Move a parameter's gradient into the bucket."""
        place = self.gradient[self.places[param]]
        if param.grad is None:
            place[:] = 0
        else:
            place[:] = param.grad.reshape(-1)
            param.grad = place.reshape(param.shape)
        self.missing.discard(param)


class RankGradients(Gradients):
    """What `training.exchange.Gradients` is, over the ranks of a communicator."""

    def __init__(
        self,
        ranks: Communicator,
        params: Sequence[Tensor],
        optimizer: Optimizer,
        *,
        shard: bool,
        threads: int,
        bucket: int = BUCKET,
    ) -> None:
        super().__init__(params, threads)
        self.ranks, self.shard = ranks, shard
        self.buckets = _buckets(params, ranks, bucket)
        self._home = {p: b for b in self.buckets for p in b.params}
        if shard:
            shares = {p: b.share(p, ranks.rank) for p, b in self._home.items()}
            optimizer.keep_shares(shares, self.collect)

    def finished(self, param: Tensor) -> None:  # type: ignore[override]
        """The gradient of a parameter is complete on this rank: its bucket leaves when it was the last."""
        bucket = self._home.get(param)
        if bucket is None:  # a leaf that is no parameter of the model
            return
        bucket.take(param)
        if not bucket.missing:
            self._send_off(bucket)
        for other in self.buckets:  # messages move only when somebody looks after them
            if other.flight is not None:
                other.flight.poll()

    def _send_off(self, bucket: Bucket) -> None:
        bucket.flight = Flight(reduce_scatter_steps(self.ranks, bucket.gradient, bucket.tag))

    def complete(self, loss: float, batches: Sequence[Batch], *, whole: bool) -> float:
        """The loss over all ranks, their gradients added up. ValueError when ranks have read other batches."""
        has = [p.grad is not None for p in self.params]
        for bucket in self.buckets:
            if bucket.flight is None:
                for param in list(bucket.missing):
                    bucket.take(param)
                self._send_off(bucket)
        found = self.ranks.gather_equal(np.array([loss, _checksum(batches), *has], np.float64))
        for rank, numbers in enumerate(found):
            if numbers[1] != found[0][1]:
                raise ValueError(
                    f"rank {rank} has read another batch than rank 0: all ranks must be given the same data, and a "
                    "sampler that begins at the same place"
                )
        self._land()
        if whole or not self.shard:
            for bucket in self.buckets:
                steps = all_gather_steps(self.ranks, bucket.gradient, bucket.tag)
                bucket.flight = Flight(steps)
            self._land()
        used = np.any([numbers[2:] for numbers in found], axis=0)
        for param, anywhere in zip(self.params, used):
            bucket = self._home[param]
            param.grad = bucket.gradient[bucket.places[param]].reshape(param.shape) if anywhere else None
        for bucket in self.buckets:
            bucket.missing, bucket.flight = set(bucket.params), None
        return float(sum(numbers[0] for numbers in found))

    def _land(self) -> None:
        flights = [bucket.flight for bucket in self.buckets if bucket.flight is not None]
        self.ranks.wait_until(lambda: all([flight.poll() for flight in flights]))

    def norm(self) -> float:
        """Each rank adds up the squares of its chunks: together every number is counted once."""
        own = [bucket.gradient[bucket.own] for bucket in self.buckets]
        return joint_length(
            own,
            threads=self.threads,
            total=lambda number: float(self.ranks.sum([number])[0]),
            most=lambda number: float(max(part[0] for part in self.ranks.gather_equal(np.array([number])))),
        )

    def update(self, optimizer: Optimizer, scale: float, norm: float) -> None:
        """Every rank updates everything, or its share, and is told the others' new weights."""
        optimizer.step(scale, norm=norm)
        if not self.shard:
            return
        flat = []
        for bucket in self.buckets:
            weights = np.empty(len(bucket.gradient), bucket.params[0].stored.dtype)
            for param, place in bucket.places.items():
                share = bucket.share(param, self.ranks.rank)
                weights[place][share] = param.stored.reshape(-1)[share]
            bucket.flight = Flight(all_gather_steps(self.ranks, weights, bucket.tag))
            flat.append(weights)
        self._land()
        for bucket, weights in zip(self.buckets, flat):
            bucket.flight = None
            for param, place in bucket.places.items():
                if param.grad is not None:
                    param.stored.reshape(-1)[:] = weights[place]

    def collect(self, param: Tensor, share: np.ndarray) -> np.ndarray:
        """What rank 0 gets of all ranks' shares of an array; the others get an array of that size to be thrown away."""
        ranks, bucket = self.ranks, self._home[param]
        if ranks.rank:
            if len(share):
                ranks.send(share, 0)
            return np.broadcast_to(np.zeros((), share.dtype), param.shape)
        whole = np.empty(param.size, share.dtype)
        whole[bucket.share(param, 0)] = share
        for rank in range(1, ranks.size):
            piece = whole[bucket.share(param, rank)]
            if len(piece):
                ranks.receive(piece, rank)
        return whole


def _buckets(params: Sequence[Tensor], ranks: Communicator, nbytes: int) -> list[Bucket]:
    """Parameters from the last to the first, in groups of so many bytes that are stored and computed in one kind."""
    groups: dict[tuple[str, str], list[list[Tensor]]] = {}
    for param in reversed(params):
        rows = groups.setdefault((str(param.dtype), str(param.stored.dtype)), [[]])
        if rows[-1] and sum(p.size for p in rows[-1]) * param.dtype.itemsize >= nbytes:
            rows.append([])
        rows[-1].append(param)
    rows = [row for kind in groups.values() for row in kind]
    return [Bucket(row, tag, ranks.rank, ranks.size) for tag, row in enumerate(rows, start=1)]


def _checksum(batches: Sequence[Batch]) -> int:
    """A number that other batches have not."""
    return functools.reduce(lambda before, batch: checksum(batch, before), batches, 0)
