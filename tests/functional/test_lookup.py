"""Embedding: values, repeated ids, and ids that are not in the table."""

import numpy as np
import pytest

from llm_from_scratch import functional as F
from llm_from_scratch.autograd import Tensor

TABLE = np.random.default_rng(0).normal(size=(7, 3))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16])
def test_rows_are_looked_up_and_their_gradients_added(dtype):
    ids = np.array([[1, 6, 1], [1, 0, 0]], dtype)
    weight = Tensor(TABLE, requires_grad=True)
    y = F.embedding(weight, ids)
    np.testing.assert_array_equal(y.data, TABLE[ids])
    dy = np.random.default_rng(1).normal(size=y.shape)
    y.backward(dy)
    wanted = np.zeros_like(TABLE)
    for place in np.ndindex(ids.shape):
        wanted[ids[place]] += dy[place]
    np.testing.assert_allclose(weight.grad, wanted, rtol=1e-14)


def test_no_ids_are_no_error():
    weight = Tensor(TABLE, requires_grad=True)
    y = F.embedding(weight, np.zeros((2, 0), int))
    assert y.shape == (2, 0, 3)
    y.backward(np.ones((2, 0, 3)))
    assert (weight.grad == 0).all()


@pytest.mark.parametrize("bad", [-1, 7, 2**40])
def test_an_id_outside_the_table_is_named_with_its_place(bad):
    with pytest.raises(ValueError, match=rf"token id {bad} at \(1, 2\) is outside the vocabulary 0\.\.6"):
        F.embedding(TABLE, np.array([[0, 1, 2], [3, 4, bad]]))


def test_ids_must_be_integers():
    for ids in (np.array([0.0, 1.0]), np.array([True]), [1.5]):
        with pytest.raises(TypeError, match="integers"):
            F.embedding(TABLE, ids)


def test_the_table_has_two_axes():
    with pytest.raises(ValueError, match="table"):
        F.embedding(TABLE[0], np.array([0]))
