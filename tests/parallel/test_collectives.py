"""The operators of the tape: what arrives, and whose gradient goes where."""

import numpy as np
import pytest
from splitting import RANKS, assert_close, check_gradients

from llm_from_scratch.autograd import Tensor
from llm_from_scratch.autograd.invariants import CHECKS
from llm_from_scratch.parallel import collectives as C
from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.sequence_ring import ring_attention
from llm_from_scratch.parallel.split_vocabulary import vocabulary_cross_entropy

OURS = (
    C.copy_to_ranks,
    C.sum_over_ranks,
    C.gather_shards,
    C.scatter_sums,
    C.gather_copies,
    C.swap_axes_of_shards,
    ring_attention,
    vocabulary_cross_entropy,
)
CASES = [pytest.param(p, e, id=f"{p.__name__}-{i}") for p in OURS for i, e in enumerate(p.examples)]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("primitive, example", CASES)
def test_they_are_primitives_like_others(primitive, example, check):
    check(primitive, example)


def arrays(size, shape=(2, 12, 12)):
    return [np.random.default_rng(rank).normal(size=shape) for rank in range(size)]


@pytest.mark.parametrize("size", RANKS)
@pytest.mark.parametrize("axis", (1, 2, -1, -2))
def test_what_arrives(size, axis):
    x = arrays(size)
    total = sum(x)

    def work(ranks):
        mine = x[ranks.rank]
        results = (
            C.copy_to_ranks(mine, comm=ranks),
            C.sum_over_ranks(mine, comm=ranks),
            C.gather_shards(mine, comm=ranks, axis=axis),
            C.scatter_sums(mine, comm=ranks, axis=axis),
            C.gather_copies(mine, comm=ranks, axis=axis),
            C.swap_axes_of_shards(mine, comm=ranks, split=1, join=2),
        )
        return [r.data for r in results]

    joined = np.concatenate(x, axis=axis)
    for rank, (copy, summed, gathered, scattered, copies, swapped) in enumerate(run_ranks(size, work)):
        assert_close(copy, x[rank])
        assert_close(summed, total)
        assert_close(gathered, joined)
        assert_close(scattered, np.split(total, size, axis=axis)[rank])
        assert_close(copies, joined)
        assert_close(swapped, np.concatenate([np.split(other, size, axis=1)[rank] for other in x], axis=2))


@pytest.mark.parametrize("size", (1, 2, 3))
@pytest.mark.parametrize("between", ("f and g", "gather and scatter", "there and back", "gathered copies"))
def test_gradients_of_the_pairs(size, between):
    """Each pair around a computation that differs from rank to rank, against central differences."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(size, 2, 6, 6))
    end = rng.normal(size=(2, 6, 6))

    def work(ranks, leaves):
        x, own = leaves["x"], Tensor(weights[ranks.rank])
        if between == "f and g":
            y = C.sum_over_ranks((C.copy_to_ranks(x, comm=ranks) * own).exp(), comm=ranks)
            return (y * end).sum()
        if between == "gathered copies":
            return (C.gather_copies(x, comm=ranks, axis=1).exp() * end[:, : 6 * size]).sum()
        if between == "gather and scatter":
            y = C.gather_shards(x, comm=ranks, axis=1) * own[:, : x.shape[1] * size]
            y = C.scatter_sums(y.exp(), comm=ranks, axis=1)
        else:
            y = C.swap_axes_of_shards(x, comm=ranks, split=2, join=1).exp()
            y = C.swap_axes_of_shards(y * (1.0 + ranks.rank), comm=ranks, split=1, join=2)
        share = end[:, : y.shape[1], : y.shape[2]] * (2.0 + ranks.rank)
        return C.sum_over_ranks((y * share).sum(), comm=ranks)

    copied = between == "f and g"
    shape = (2, 6, 6) if copied else (2, 6 // size, 6)
    start = [rng.normal(size=shape) * 0.5 for _ in range(size)]
    leaves = [{"x": start[0] if copied else start[rank]} for rank in range(size)]
    check_gradients(size, work, leaves, copied=("x",) if copied else ())


def test_a_wrong_backward_is_caught(monkeypatch):
    """f without its all-reduce, and a gather of copies that sums: the two mistakes that everybody makes once."""
    for primitive, wrong in (
        (C.copy_to_ranks, lambda dy, comm, needs: (dy[...],)),
        (C.gather_copies, lambda dy, saved, needs: (C.summed_piece(saved[0], dy, saved[1]),)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(primitive, "_backward", wrong)
            case = "f and g" if primitive is C.copy_to_ranks else "gathered copies"
            with pytest.raises(AssertionError, match="on rank 0"):
                test_gradients_of_the_pairs(2, case)


@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_dtypes_stay(dtype):
    def work(ranks):
        x = Tensor(np.ones((3, 4, 4), dtype), requires_grad=True)
        y = C.scatter_sums(C.copy_to_ranks(x, comm=ranks), comm=ranks, axis=1)
        y = C.swap_axes_of_shards(C.gather_shards(y, comm=ranks, axis=1), comm=ranks, split=1, join=2)
        C.sum_over_ranks(y.sum(), comm=ranks).backward()
        return y.dtype, x.grad.dtype

    assert run_ranks(2, work) == [(dtype, dtype)] * 2


def test_what_cannot_be_cut_is_refused():
    for call in (
        lambda ranks: C.scatter_sums(np.ones((2, 3)), comm=ranks, axis=1),
        lambda ranks: C.swap_axes_of_shards(np.ones((2, 3)), comm=ranks, split=1, join=0),
    ):
        with pytest.raises(ValueError, match=r"axis 1 of \(2, 3\) cannot be cut into 2 equal pieces"):
            run_ranks(2, call)
