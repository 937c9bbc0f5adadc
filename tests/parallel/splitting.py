"""What the tests of split layers share: gradients through a communicator, and a split model's gradients made whole."""

import numpy as np

from llm_from_scratch.autograd import Tensor, no_grad
from llm_from_scratch.parallel import run_ranks

RANKS = (1, 2, 3, 4)


def assert_close(ours, theirs, tolerance=1e-12):
    """Equal to 12 digits of the largest entry."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1.0, float(np.abs(theirs).max(initial=0))))


def whole(parts, like):
    """The ranks' arrays put together as `like`: copies must be equal, pieces are joined where they are shorter."""
    if parts[0].shape == like.shape:
        for part in parts[1:]:
            np.testing.assert_array_equal(part, parts[0])
        return parts[0]
    (axis,) = [n for n, (a, b) in enumerate(zip(parts[0].shape, like.shape)) if a != b]
    return np.concatenate(parts, axis=axis)


def check_gradients(size, work, leaves, copied=()):
    """Central differences through the communicator.

    work(ranks, leaves of this rank) -> a scalar, the same on every rank; leaves: {name: array} a rank. Those named in
    `copied` are one thing, held by every rank: they move together, and each rank must know the whole gradient.
    """
    held = [{name: Tensor(np.array(a), requires_grad=True) for name, a in own.items()} for own in leaves]

    def run(ranks):
        loss = work(ranks, held[ranks.rank])
        loss.backward()
        return loss.item()

    def value():
        def forward(ranks):
            with no_grad():
                return work(ranks, held[ranks.rank]).item()

        return run_ranks(size, forward)[0]

    assert len(set(run_ranks(size, run))) == 1, "the loss differs from rank to rank"
    worst = 0.0
    for name in held[0]:
        for moved in [range(size)] if name in copied else [[rank] for rank in range(size)]:
            first = held[moved[0]][name]
            for index in np.ndindex(first.shape):
                for sign in (1, -2):
                    for rank in moved:
                        held[rank][name].data[index] += sign * 1e-5
                    if sign == 1:
                        above = value()
                below = value()
                for rank in moved:
                    held[rank][name].data[index] += 1e-5
                slope = (above - below) / 2e-5
                for rank in moved:
                    error = abs(held[rank][name].grad[index] - slope) / max(1.0, abs(slope))
                    assert error < 1e-6, f"{name}{list(index)} on rank {rank}: {held[rank][name].grad[index]}, {slope}"
                    worst = max(worst, error)
    return worst
