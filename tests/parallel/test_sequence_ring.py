"""Ring attention of pieces equals attention over the whole: outputs, gradients, and what goes round."""

import numpy as np
import pytest
from splitting import RANKS, assert_close, check_gradients

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.parallel import run_ranks, sequence_ring
from llm_from_scratch.parallel.collectives import sum_over_ranks
from llm_from_scratch.parallel.sequence_ring import ring_attention

RNG = np.random.default_rng(0)
Q, END = RNG.normal(size=(2, 4, 12, 5)), RNG.normal(size=(2, 4, 12, 3))
K, V = RNG.normal(size=(2, 2, 12, 5)), RNG.normal(size=(2, 2, 12, 3))


def plain(q=Q, k=K, v=V, **settings):
    tensors = [Tensor(x, requires_grad=True) for x in (q, k, v)]
    y = F.attention(*tensors, **settings)
    (y * END).sum().backward()
    return [y.data, *(t.grad for t in tensors)]


def ring(size, q=Q, k=K, v=V, **settings):
    def work(ranks):
        mine = [np.split(x, size, axis=2)[ranks.rank] for x in (q, k, v, END)]
        tensors = [Tensor(x, requires_grad=True) for x in mine[:3]]
        y = ring_attention(*tensors, comm=ranks, **settings)
        (y * mine[3]).sum().backward()
        return [y.data, *(t.grad for t in tensors)]

    found = run_ranks(size, work)
    return [np.concatenate([f[n] for f in found], axis=2) for n in range(4)]


def check_equal(size, *arrays, **settings):
    for ours, theirs in zip(ring(size, *arrays, **settings), plain(*arrays, **settings)):
        assert_close(ours, theirs)


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("settings", ({}, {"causal": False}, {"scale": 0.7}, {"causal": False, "scale": -1.3}), ids=str)
def test_equal_to_the_whole(size, settings):
    check_equal(size, **settings)


def test_one_token_a_rank():
    check_equal(12)


def test_scores_far_apart_and_large():
    """A piece whose scores are 1e4 above, or below, all others."""
    for factor in (300.0, -300.0):
        k = K.copy()
        k[:, :, 6:] *= factor
        check_equal(3, Q, k, V)
        check_equal(3, Q, k, V, causal=False)


@pytest.mark.parametrize("size", (1, 2, 3))
def test_gradients_through_the_communicator(size):
    rng = np.random.default_rng(1)
    leaves = [
        {name: rng.normal(size=(1, heads, 2, 3)) for name, heads in (("q", 2), ("k", 1), ("v", 1))} for _ in range(size)
    ]
    end = rng.normal(size=(size, 1, 2, 2, 3))

    def work(ranks, own):
        y = ring_attention(own["q"], own["k"], own["v"], comm=ranks)
        return sum_over_ranks((y * end[ranks.rank]).sum(), comm=ranks)

    check_gradients(size, work, leaves)


def test_a_piece_taken_for_its_neighbours_is_caught(monkeypatch):
    """The wrong direction round the ring, a mask that is off by a piece, gradients that do not come home."""
    hidden = sequence_ring._hidden
    for name, wrong in (
        ("_hidden", lambda comm, step, causal, length: hidden(comm, -step, causal, length)),
        ("_hidden", lambda comm, step, causal, length: None),
        ("handed_round", lambda comm, *arrays: arrays),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sequence_ring, name, wrong)
            with pytest.raises(AssertionError):
                check_equal(3)


def test_float32_stays():
    def work(ranks):
        x = Tensor(np.ones((1, 1, 2, 2), np.float32), requires_grad=True)
        y = ring_attention(x, x, x, comm=ranks)
        y.sum().backward()
        return y.dtype, x.grad.dtype

    assert run_ranks(2, work) == [(np.float32, np.float32)] * 2


@pytest.mark.parametrize(
    "shapes, match",
    [
        (((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 5, 4)), "are no pieces of one sequence"),
        (((1, 2, 3, 4), (1, 2, 3, 4), (1, 1, 3, 4)), "are no pieces of one sequence"),
        (((1, 3, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4)), "do not fit keys"),
        (((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3, 5)), "do not fit keys"),
        (((2, 3, 4), (2, 3, 4), (2, 3, 4)), "are no pieces of one sequence"),
    ],
)
def test_bad_input(shapes, match):
    with pytest.raises(ValueError, match=match):
        run_ranks(2, lambda ranks: ring_attention(*(np.ones(shape) for shape in shapes), comm=ranks))
