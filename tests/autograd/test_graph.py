"""`backward(finished=…)`: a leaf is told once, and after the last gradient that comes to it."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor
from llm_from_scratch.autograd.rerun import rerun


def leaves(count):
    return [Tensor(np.array([1.0 + number, 2.0]), requires_grad=True) for number in range(count)]


def told(loss, into=None):
    """(leaf, its gradient at that moment) in the order in which leaves are finished."""
    found = []
    kept = {} if into is None else into
    loss.backward(into=kept, finished=lambda leaf: found.append((leaf, kept[leaf].copy() if leaf in kept else None)))
    for leaf, then in found:
        assert then is None or np.array_equal(then, kept[leaf])  # nothing came later
    assert len({id(leaf) for leaf, _ in found}) == len(found)
    return [leaf for leaf, _ in found], kept


def test_leaves_are_finished_from_the_loss_backwards():
    a, b, c = leaves(3)
    order, _ = told((F.silu(F.silu(a) * b) * c).sum())
    assert [id(leaf) for leaf in order] == [id(c), id(b), id(a)]


def test_a_leaf_of_several_uses_is_finished_after_the_last():
    tied, other = leaves(2)
    order, kept = told((F.silu(tied * other) * tied + tied).sum())
    assert [id(leaf) for leaf in order][-1] in (id(tied), id(other)) and len(order) == 2
    twice, last = leaves(2)
    order, kept = told((F.silu(twice * twice) * last).sum())  # both inputs of one node
    assert [id(leaf) for leaf in order] == [id(last), id(twice)] and kept[twice].shape == (2,)


def test_the_loss_itself_may_be_a_leaf():
    x = Tensor(np.array(2.0), requires_grad=True)
    assert [id(leaf) for leaf in told(x)[0]] == [id(x)]


def test_leaves_inside_what_runs_again_are_finished_after_its_last_use():
    x, shared, after = leaves(3)

    def block(y):
        return (F.silu(y * shared),)

    (y,) = rerun(block, x, uses=[shared])
    (y,) = rerun(block, y, uses=[shared])
    order, kept = told((y * after).sum())
    assert [id(leaf) for leaf in order] == [id(after), id(x), id(shared)] or id(order[0]) == id(after)
    assert {id(leaf) for leaf in order} == {id(x), id(shared), id(after)}
    again = {}
    (F.silu(F.silu(x * shared) * shared) * after).sum().backward(into=again)
    assert all(np.allclose(kept[leaf], again[leaf]) for leaf in (x, shared, after))


def test_nothing_is_said_where_it_cannot_be_known():
    x, inside, after = leaves(3)
    (y,) = rerun(lambda y: (y * inside,), x)
    order, kept = told((y * after).sum())
    assert order == [] and inside in kept


def test_an_error_in_the_call_ends_the_walk():
    (a,) = leaves(1)
    with pytest.raises(OSError):
        (a * 2).sum().backward(finished=lambda leaf: (_ for _ in ()).throw(OSError("gone")))
