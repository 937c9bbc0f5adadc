"""Who holds which piece, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from splitting import assert_close

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.shares import Region, piece, share


def test_shares_cover_everything_once():
    for size in (1, 2, 3, 4, 6, 12):
        places = [
            n for rank in range(size) for n in range(12)[share(12, SimpleNamespace(rank=rank, size=size), "heads")]
        ]
        assert places == list(range(12))


def test_sizes_that_do_not_divide():
    with pytest.raises(ValueError, match="10 heads cannot be shared out equally among 4 ranks: .* divides 10$"):
        share(10, SimpleNamespace(rank=0, size=4), "heads")
    with pytest.raises(ValueError, match="or pad the vocabulary"):
        share(65, SimpleNamespace(rank=0, size=2), "rows of a vocabulary")


def test_a_piece_is_a_copy_and_trains_as_the_whole_did():
    for trains in (True, False):
        plain = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=trains)
        part = piece(plain, (slice(None), slice(1, 3)))
        assert part.requires_grad is trains and part.data.flags.c_contiguous
        part.data[:] = 0
        assert plain.data.sum() == 15


def test_a_region_by_sequence_gives_back_pieces():
    x = np.random.default_rng(0).normal(size=(2, 6, 3))

    def work(ranks):
        region = Region(ranks, by_sequence=True)
        inside = region.enter(Tensor(np.split(x, 3, axis=1)[ranks.rank]))
        return inside.data, region.leave(inside).data

    for rank, (inside, outside) in enumerate(run_ranks(3, work)):
        assert_close(inside, x)
        assert_close(outside, 3 * np.split(x, 3, axis=1)[rank])


def test_tokens_that_cannot_be_shared_out():
    with pytest.raises(ValueError, match="5 tokens of a row cannot be shared out equally among 2 ranks"):
        run_ranks(2, lambda ranks: Region(ranks, by_sequence=True).leave(Tensor(np.ones((1, 5, 2)))))
