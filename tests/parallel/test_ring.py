"""The ring's chunks and order, and a sum that is under way while something else is done."""

import numpy as np
import pytest

from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.ring import Flight, all_gather_steps, chunks_of, reduce_scatter_steps


@pytest.mark.parametrize("length", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_chunks_leave_nothing_out_and_differ_by_one_at_most(length, ranks):
    chunks = chunks_of(length, ranks)
    assert [number for low, high in chunks for number in range(low, high)] == list(range(length))
    sizes = [high - low for low, high in chunks]
    assert len(sizes) == ranks and max(sizes) - min(sizes) <= 1


def test_a_chunk_is_added_up_along_the_ring():
    numbers = [np.float64(1e16), np.float64(1.0), np.float64(-1e16)]

    def work(ranks):
        array = np.full(3, numbers[ranks.rank])
        for messages in reduce_scatter_steps(ranks, array, 0):
            ranks.wait(messages)
        return array[ranks.rank]

    orders = [[1, 2, 0], [2, 0, 1], [0, 1, 2]]  # of chunk 0, 1, 2
    assert run_ranks(3, work) == [(numbers[a] + numbers[b]) + numbers[c] for a, b, c in orders]


def test_several_sums_fly_at_once_and_land_in_any_order():
    def work(ranks):
        arrays = [np.full(5 + number, float(ranks.rank + number)) for number in range(4)]
        # Each rank begins them in an order of its own: tags keep them apart.
        order = list(range(4))[:: 1 if ranks.rank % 2 else -1]
        flights = [Flight(reduce_scatter_steps(ranks, arrays[number], number)) for number in order]
        ranks.wait_until(lambda: all([flight.poll() for flight in flights]))
        for number, array in enumerate(arrays):
            ranks.finish(all_gather_steps(ranks, array, number))
        return [array.tolist() for array in arrays]

    for found in run_ranks(3, work):
        assert found == [[3.0 + 3 * number] * (5 + number) for number in range(4)]
