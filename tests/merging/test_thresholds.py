"""The k-th smallest from histograms, against sorting."""

import numpy as np
import pytest

from llm_from_scratch.merging.thresholds import kth_smallest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", ["normal", "tiny", "few", "zeros"])
def test_it_is_what_sorting_finds(dtype, draw):
    rng = np.random.default_rng(0)
    numbers = {
        "normal": np.abs(rng.normal(size=1001)),
        "tiny": np.abs(rng.normal(size=1001)) * 1e-42,  # subnormal in float32
        "few": rng.integers(0, 4, 1001) / 3,
        "zeros": np.where(rng.random(1001) < 0.5, 0.0, np.exp(20 * rng.normal(size=1001))),
    }[draw].astype(dtype)
    other = np.sort(np.abs(rng.normal(size=1001)).astype(dtype))
    ordered = np.sort(numbers)

    def pieces():
        return zip(np.split(numbers, [1, 300, 300]), np.split(other, [1, 300, 300]))  # an empty one, too

    for rank in (1, 2, 500, 1000, 1001):
        assert kth_smallest(pieces, [rank, 1002 - rank], dtype) == [ordered[rank - 1], other[1001 - rank]]


def test_rank_nought_is_nought_and_one_too_many_is_refused():
    assert kth_smallest(lambda: [[np.ones(3, np.float32)]], [0]) == [0.0]
    with pytest.raises(ValueError, match="no number of rank 4"):
        kth_smallest(lambda: [[np.ones(3, np.float32)]], [4])
