"""What ranks say to each other, as operations of the tape: two conjugate pairs carry every way of splitting a model.

                      forward          backward
    copy_to_ranks     nothing          all-reduce            Megatron's f
    sum_over_ranks    all-reduce       nothing               Megatron's g
    gather_shards     all-gather       reduce-scatter        the same two for shards:
    scatter_sums      reduce-scatter   all-gather            a rank holds a piece where it held a copy

What passes through them decides what they are. f on weights is data parallelism, f and g on activations are tensor
parallelism; gather and scatter on activations are sequence parallelism, gather on weights is ZeRO's third stage. Every
rank runs the same operations in the same order, forward and backward, or all of them wait for each other for ever.

Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3; Korthikanti et al. 2022, arXiv:2205.05198, section 4.2.
"""

from __future__ import annotations

import numpy as np

from ..autograd import primitive
from .communicator import Alone, Communicator


@primitive
def copy_to_ranks(x, /, *, comm):
    """x, which every rank holds, goes into a computation that differs from rank to rank: (...) -> (...).

    Backward: each rank knows the gradient of its own computation, and x's is their sum.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> from llm_from_scratch.autograd import Tensor
    >>> def work(ranks):
    ...     x = Tensor([3.0], requires_grad=True)
    ...     (copy_to_ranks(x, comm=ranks) * (ranks.rank + 1.0)).backward()       # by 1 on one rank, by 2 on the other
    ...     return x.grad.tolist()
    >>> run_ranks(2, work)
    [[3.0], [3.0]]
    """
    return x[...], comm


@copy_to_ranks.backward
def _(dy, comm, needs):
    return (comm.all_reduce(dy),)


@primitive
def sum_over_ranks(x, /, *, comm):
    """The sum of what the ranks computed, held by every rank: (...) -> (...).

    Backward: what follows is the same on all ranks, and so is its gradient; it belongs to each summand as it is.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> run_ranks(2, lambda ranks: sum_over_ranks([1.0 + ranks.rank, 5.0], comm=ranks).data.tolist())
    [[3.0, 10.0], [3.0, 10.0]]
    """
    return comm.all_reduce(x), None


@sum_over_ranks.backward
def _(dy, saved, needs):
    return (dy[...],)


@primitive
def gather_shards(x, /, *, comm, axis):
    """The ranks' pieces joined along `axis`: (..., n, ...) -> (..., size * n, ...); what follows differs by rank.

    Backward: each rank has a gradient for the whole; they are summed, and each piece goes home.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> run_ranks(2, lambda ranks: gather_shards([1.0 + ranks.rank, 5.0], comm=ranks, axis=0).data.tolist())
    [[1.0, 5.0, 2.0, 5.0], [1.0, 5.0, 2.0, 5.0]]
    """
    return joined(comm, x, axis), (comm, axis)


@gather_shards.backward
def _(dy, saved, needs):
    comm, axis = saved
    return (summed_piece(comm, dy, axis),)


@primitive
def scatter_sums(x, /, *, comm, axis):
    """The sum of what the ranks computed, of which each keeps its piece: (..., size * n, ...) -> (..., n, ...).

    Backward: the gradient of the whole sum is that of its pieces, joined.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> run_ranks(2, lambda ranks: scatter_sums([1.0 + ranks.rank, 5.0], comm=ranks, axis=0).data.tolist())
    [[3.0], [10.0]]
    """
    return summed_piece(comm, x, axis), (comm, axis)


@scatter_sums.backward
def _(dy, saved, needs):
    comm, axis = saved
    return (joined(comm, dy, axis),)


@primitive
def gather_copies(x, /, *, comm, axis):
    """As `gather_shards`, where what follows is the same on every rank: (..., n, ...) -> (..., size * n, ...).

    Backward: all ranks hold the same gradient, and each keeps its own piece. A reduce-scatter here would count it once
    a rank: of two operations with one forward, the reader of the result decides which is meant.
    """
    return joined(comm, x, axis), (comm, axis)


@gather_copies.backward
def _(dy, saved, needs):
    comm, axis = saved
    return (pieces(comm, dy, axis)[comm.rank].copy(),)


@primitive
def swap_axes_of_shards(x, /, *, comm, split, join):
    """All-to-all: `split` is cut into a piece for each rank, and what arrives is joined along `join`.

    (..., size * a, ..., b, ...) -> (..., a, ..., size * b, ...). Backward: the same with the axes exchanged.

    >>> from llm_from_scratch.parallel import run_ranks
    >>> rows = lambda ranks: np.array([[0.0], [1.0]]) + 10 * ranks.rank
    >>> run_ranks(2, lambda ranks: swap_axes_of_shards(rows(ranks), comm=ranks, split=0, join=1).data.tolist())
    [[[0.0, 10.0]], [[1.0, 11.0]]]
    """
    return exchanged(comm, x, split, join), (comm, split, join)


@swap_axes_of_shards.backward
def _(dy, saved, needs):
    comm, split, join = saved
    return (exchanged(comm, dy, join, split),)


def _example(primitive, **settings):
    primitive.example(lambda rng: ((rng.normal(size=(2, 3, 4)),), {"comm": Alone(), **settings}))


_example(copy_to_ranks)
_example(sum_over_ranks)
_example(gather_shards, axis=1)
_example(scatter_sums, axis=1)
_example(gather_copies, axis=2)
_example(swap_axes_of_shards, split=1, join=2)


def joined(comm: Communicator, x: np.ndarray, axis: int) -> np.ndarray:
    """The ranks' arrays, in their order, along `axis`."""
    return np.concatenate(comm.all_gather(x), axis=axis)


def pieces(comm: Communicator, x: np.ndarray, axis: int) -> list[np.ndarray]:
    """x cut along `axis` into a piece for each rank; ValueError where it cannot be cut equally."""
    if x.shape[axis] % comm.size:
        raise ValueError(f"axis {axis} of {x.shape} cannot be cut into {comm.size} equal pieces, one a rank")
    return np.split(x, comm.size, axis=axis)


def summed_piece(comm: Communicator, x: np.ndarray, axis: int) -> np.ndarray:
    """The sum of the ranks' arrays, this rank's piece of it."""
    pieces(comm, x, axis)
    return np.ascontiguousarray(np.moveaxis(comm.reduce_scatter(np.moveaxis(x, axis, 0)), 0, axis))


def exchanged(comm: Communicator, x: np.ndarray, split: int, join: int) -> np.ndarray:
    """All-to-all: piece i along `split` goes to rank i, and what the others sent is joined along `join`."""
    out = [np.ascontiguousarray(piece) for piece in pieces(comm, x, split)]
    arrived = [piece if rank == comm.rank else np.empty_like(piece) for rank, piece in enumerate(out)]
    others = [rank for rank in range(comm.size) if rank != comm.rank]
    messages = [comm.post_receive(arrived[rank], rank) for rank in others]
    comm.wait([*messages, *(comm.post_send(out[rank], rank) for rank in others)])
    return np.concatenate(arrived, axis=join)


def handed_round(comm: Communicator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays go to the next rank, and those of the rank before, of the same shapes, come here."""
    if comm.size == 1:
        return arrays
    arrived = tuple(np.empty(array.shape, array.dtype) for array in arrays)
    messages = [comm.post_receive(array, (comm.rank - 1) % comm.size) for array in arrived]
    comm.wait([*messages, *(comm.post_send(np.ascontiguousarray(a), (comm.rank + 1) % comm.size) for a in arrays)])
    return arrived
