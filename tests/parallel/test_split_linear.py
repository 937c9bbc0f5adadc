"""A linear layer by columns and by rows equals the plain one: outputs and every gradient."""

import numpy as np
import pytest
from splitting import RANKS, assert_close, check_gradients, whole

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.layers import Linear
from llm_from_scratch.parallel import collectives as C
from llm_from_scratch.parallel import run_ranks
from llm_from_scratch.parallel.split_linear import ColumnLinear, RowLinear


def pair(bias=True):
    """Two layers with an activation between: (…, 6) -> (…, 12) -> (…, 6), biases that are not zero."""
    rng = np.random.default_rng(1)
    first, second = (Linear(i, o, bias=bias, rng=rng).astype(np.float64) for i, o in ((6, 12), (12, 6)))
    for layer in (first, second):
        for parameter in layer.parameters():
            parameter.data = rng.normal(size=parameter.shape)
    return first, second


def results(first, second, x, end):
    x = Tensor(x, requires_grad=True)
    y = second(F.gelu(first(x)))
    (y * end).sum().backward()
    return y.data, x.grad, [p.grad for layer in (first, second) for p in layer.parameters()]


X, END = np.random.default_rng(2).normal(size=(2, 2, 12, 6))


def split_results(size, bias=True, by_sequence=False):
    def work(ranks):
        first, second = pair(bias)
        mine = slice(None)
        if by_sequence:
            mine = slice(ranks.rank * 12 // size, (ranks.rank + 1) * 12 // size)
        first = ColumnLinear(first, ranks, by_sequence=by_sequence)
        second = RowLinear(second, ranks, by_sequence=by_sequence)
        return results(first, second, X[:, mine], END[:, mine])

    return run_ranks(size, work)


@pytest.mark.parametrize("bias", (True, False))
@pytest.mark.parametrize("by_sequence", (False, True))
@pytest.mark.parametrize("size", RANKS)
def test_equal_to_the_plain_pair(size, by_sequence, bias):
    y, dx, gradients = results(*pair(bias), X, END)
    found = split_results(size, bias, by_sequence)
    assert_close(whole([f[0] for f in found], y), y)
    assert_close(whole([f[1] for f in found], dx), dx)
    for number, gradient in enumerate(gradients):
        assert_close(whole([f[2][number] for f in found], gradient), gradient)


@pytest.mark.parametrize("size", (2, 3))
def test_gradients_through_the_communicator(size):
    rng = np.random.default_rng(4)
    first, second = pair()
    cut = [np.split(a.data, size, axis=-1) for a in (first.weight, first.bias)] + [np.split(second.weight.data, size)]
    x, end = rng.normal(size=(2, 3, 6)), rng.normal(size=(2, 3, 6))
    leaves = [{"x": x, "bias": second.bias.data, "a": cut[0][r], "b": cut[1][r], "c": cut[2][r]} for r in range(size)]

    def work(ranks, own):
        column, row = ColumnLinear(first, ranks), RowLinear(second, ranks)
        column.weight, column.bias, row.weight, row.bias = own["a"], own["b"], own["c"], own["bias"]
        return (row(F.gelu(column(own["x"]))) * end).sum()

    check_gradients(size, work, leaves, copied=("x", "bias"))


def no_exchange_backward(patch):
    patch.setattr(C.copy_to_ranks, "_backward", lambda dy, comm, needs: (dy[...],))


def all_reduce_twice(patch):
    patch.setattr(C.sum_over_ranks, "_backward", lambda dy, saved, needs: (2 * dy,))


def bias_on_every_rank(patch):
    patch.setattr(RowLinear, "__call__", lambda self, x: self.region.leave(F.linear(x, self.weight, self.bias)))


def mean_instead_of_sum(patch):
    forward = C.sum_over_ranks.__wrapped__
    patch.setattr(C.sum_over_ranks, "__wrapped__", lambda x, /, *, comm: (forward(x, comm=comm)[0] / comm.size, None))


@pytest.mark.parametrize("fault", (no_exchange_backward, all_reduce_twice, bias_on_every_rank, mean_instead_of_sum))
def test_faults_that_are_put_back_are_caught(fault, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        test_equal_to_the_plain_pair(2, False, True)


def test_by_sequence_a_bias_that_is_not_shared_is_caught(monkeypatch):
    monkeypatch.setattr("llm_from_scratch.parallel.shares.Region.outside", lambda self, parameter: parameter)
    with pytest.raises(AssertionError):
        test_equal_to_the_plain_pair(2, True, True)


def test_what_does_not_divide():
    with pytest.raises(ValueError, match="10 columns cannot be shared out equally among 4 ranks"):
        run_ranks(4, lambda ranks: ColumnLinear(Linear(4, 10, rng=None), ranks))
    with pytest.raises(ValueError, match="9 rows of a matrix cannot be shared out equally among 2 ranks"):
        run_ranks(2, lambda ranks: RowLinear(Linear(9, 4, rng=None), ranks))


def test_frozen_stays_frozen():
    def work(ranks):
        plain = Linear(4, 4, rng=np.random.default_rng(0))
        plain.freeze("weight")
        return [
            p.requires_grad for p in (*RowLinear(plain, ranks).parameters(), *ColumnLinear(plain, ranks).parameters())
        ]

    assert run_ranks(2, work) == [[False, True, False, True]] * 2
