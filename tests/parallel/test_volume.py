"""What is predicted is what a communicator counts, to the byte."""

import numpy as np
import pytest

from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.volume import chunks_sent, ring_all_reduce, ring_reduce_scatter


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [0, 1, 7, 120])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predicted_is_counted(ranks, length, dtype):
    def work(end):
        before = end.bytes_sent
        end.all_reduce(np.ones(length, dtype))
        first = end.bytes_sent - before
        end.reduce_scatter(np.ones(length, dtype))
        return first, end.bytes_sent - before - first

    found = run_ranks(ranks, work)
    itemsize = np.dtype(dtype).itemsize
    for rank, (both, first) in enumerate(found):
        assert both == sum(chunks_sent(length, itemsize, ranks, rank))
        assert first == chunks_sent(length, itemsize, ranks, rank)[0]
    mean = sum(both for both, _ in found) / ranks
    assert mean == pytest.approx(ring_all_reduce(length * itemsize, ranks))
    assert sum(first for _, first in found) / ranks == pytest.approx(ring_reduce_scatter(length * itemsize, ranks))


@pytest.mark.parametrize("nbytes, ranks", [(-1, 2), (float("nan"), 2), (10, 0), (10, -1), (10, True), (10, 2.0)])
def test_impossible_volumes_are_refused(nbytes, ranks):
    with pytest.raises(ValueError):
        ring_all_reduce(nbytes, ranks)
