"""Attention by exchanging pieces of all heads for whole rows of some equals attention over the whole."""

import numpy as np
import pytest
from splitting import assert_close

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.parallel import collectives, run_ranks
from llm_from_scratch.parallel.sequence_swap import swapped_attention

RNG = np.random.default_rng(0)
Q, END = RNG.normal(size=(2, 12, 12, 5)), RNG.normal(size=(2, 12, 12, 3))
K, V = RNG.normal(size=(2, 12, 12, 5)), RNG.normal(size=(2, 12, 12, 3))
KINDS = {
    "causal": {},
    "slopes": {"slopes": tuple(2.0 ** -np.arange(1, 13))},
    "window and scale": {"window": 4, "scale": 0.5},
    "documents": {"segments": np.array([[0] * 5 + [1] * 7, [0] * 9 + [1] * 3])},
}


def check_equal(size, **settings):
    tensors = [Tensor(x, requires_grad=True) for x in (Q, K, V)]
    y = F.attention(*tensors, **settings)
    (y * END).sum().backward()

    def work(ranks):
        mine = [np.split(x, size, axis=2)[ranks.rank] for x in (Q, K, V, END)]
        own = [Tensor(x, requires_grad=True) for x in mine[:3]]
        y = swapped_attention(*own, comm=ranks, **settings)
        (y * mine[3]).sum().backward()
        return [y.data, *(t.grad for t in own)]

    found = run_ranks(size, work)
    for n, expected in enumerate([y.data, *(t.grad for t in tensors)]):
        assert_close(np.concatenate([f[n] for f in found], axis=2), expected)


@pytest.mark.parametrize("size", (1, 2, 3, 4))
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_whole(size, kind):
    check_equal(size, **KINDS[kind])


def test_faults_that_are_put_back_are_caught(monkeypatch):
    """Pieces joined in another order, and a backward that is the forward again."""

    def turned(comm, x, split, join):
        return np.flip(exchanged(comm, x, split, join), axis=join)

    def forward_again(dy, saved, needs):
        comm, split, join = saved
        return (exchanged(comm, dy, split, join),)

    exchanged = collectives.exchanged
    with monkeypatch.context() as patch:
        patch.setattr(collectives, "exchanged", turned)
        with pytest.raises(AssertionError):
            check_equal(2, slopes=KINDS["slopes"]["slopes"])
    monkeypatch.setattr(collectives.swap_axes_of_shards, "_backward", forward_again)
    with pytest.raises((AssertionError, ValueError)):
        check_equal(2)


def test_heads_that_cannot_be_shared_out():
    piece = np.ones((1, 3, 2, 4))
    with pytest.raises(ValueError, match="3 heads cannot be shared out equally among 2 ranks"):
        run_ranks(2, lambda ranks: swapped_attention(piece, piece, piece, comm=ranks))
    queries = np.ones((1, 6, 2, 4))
    with pytest.raises(ValueError, match="3 key-value heads cannot be shared out equally among 2 ranks"):
        run_ranks(2, lambda ranks: swapped_attention(queries, piece, piece, comm=ranks))
