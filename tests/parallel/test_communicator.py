"""Collectives: what they give beside NumPy's own sums, the same bytes on every rank and every time."""

import numpy as np
import pytest

from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.communicator import Alone

SHAPES = [(), (1,), (2,), (7,), (3, 4), (5, 2, 3), (0, 3)]


def own(rank, shape, dtype):
    return np.random.default_rng(rank).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_collectives_are_those_of_numpy(size, dtype):
    def work(ranks):
        found = []
        for shape in SHAPES:
            mine = own(ranks.rank, shape, dtype)
            kept = mine.copy()
            found.append(
                (ranks.all_reduce(mine), ranks.reduce_scatter(mine) if shape else None, ranks.all_gather(mine))
            )
            assert np.array_equal(mine, kept)
        return found

    results = run_ranks(size, work)
    for number, shape in enumerate(SHAPES):
        arrays = [own(rank, shape, dtype) for rank in range(size)]
        total = np.sum([array.astype(np.float64) for array in arrays], axis=0)
        for rank, found in enumerate(results):
            summed, share, gathered = found[number]
            assert summed.dtype == dtype and summed.shape == shape
            np.testing.assert_allclose(summed, total, atol=1e-6 if dtype == np.float32 else 1e-14)
            assert summed.tobytes() == results[0][number][0].tobytes()
            if shape:
                low, high = shape[0] * rank // size, shape[0] * (rank + 1) // size
                np.testing.assert_allclose(share, total[low:high], atol=1e-6 if dtype == np.float32 else 1e-14)
            assert all(np.array_equal(a, b) for a, b in zip(gathered, arrays))
    assert all(len(found) == size for _, _, found in results[0])


@pytest.mark.parametrize("root", [0, 1, 4])
def test_broadcast_reaches_every_rank(root):
    found = run_ranks(5, lambda ranks: ranks.broadcast(np.full((2, 3), ranks.rank), root))
    assert all((array == root).all() for array in found)


def test_gathering_takes_arrays_of_any_length():
    found = run_ranks(3, lambda ranks: [len(piece) for piece in ranks.all_gather(np.zeros(ranks.rank * 2))])
    assert found == [[0, 2, 4]] * 3


def test_numbers_are_added_in_the_order_of_ranks_and_in_float64():
    numbers = [1e16, 1.0, -1e16]  # another order gives another sum
    assert run_ranks(3, lambda ranks: ranks.sum([numbers[ranks.rank]])[0]) == [0.0] * 3
    assert run_ranks(2, lambda ranks: ranks.sum(np.array([2**24 + 1], np.int64))[0]) == [2 * (2**24 + 1)] * 2


def test_the_same_ranks_give_the_same_bytes():
    def work(ranks):
        return ranks.all_reduce(own(ranks.rank, (1000,), np.float32)).tobytes()

    assert run_ranks(3, work) == run_ranks(3, work)


def test_alone_everything_is_what_it_was():
    alone, array = Alone(), np.arange(6.0).reshape(2, 3)
    for found in (alone.all_reduce(array), alone.reduce_scatter(array), *alone.all_gather(array)):
        assert np.array_equal(found, array)
    assert np.array_equal(alone.sum([1, 2]), [1, 2]) and alone.broadcast(array) is array
    alone.barrier()
    assert alone.bytes_sent == 0


def test_a_sum_of_one_number_without_axes_has_no_share():
    with pytest.raises(TypeError):
        run_ranks(2, lambda ranks: ranks.reduce_scatter(np.array(1.0)))


@pytest.mark.parametrize("rank", [-1, 3])
@pytest.mark.parametrize("say", ["send", "receive", "broadcast"])
def test_a_rank_that_does_not_exist_is_refused(say, rank):
    """MPI takes -1 for nobody, and loses what is sent to it."""
    with pytest.raises(ValueError, match=f"there is no rank {rank}: there are 3"):
        run_ranks(3, lambda ranks: getattr(ranks, say)(np.zeros(2), rank))
