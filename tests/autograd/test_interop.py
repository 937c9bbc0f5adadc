"""NumPy's functions on tensors keep the gradient or refuse; nothing leaves the graph in silence."""

import numpy as np
import pytest

from llm_from_scratch import autograd
from llm_from_scratch.autograd import Tensor, gradcheck, no_grad

X = np.array([0.5, 1.5, 2.5])


def leaf():
    return Tensor(X.copy(), requires_grad=True)


KEPT = {
    "exp": lambda t: np.exp(t),
    "log": lambda t: np.log(t),
    "sqrt": lambda t: np.sqrt(t),
    "sin": lambda t: np.sin(t),
    "cos": lambda t: np.cos(t),
    "tanh": lambda t: np.tanh(t),
    "absolute": lambda t: np.abs(t),
    "maximum": lambda t: np.maximum(t, 1.0),
    "minimum": lambda t: np.minimum(np.array([1.0, 1.0, 1.0]), t),
    "array + tensor": lambda t: X + t,
    "array - tensor": lambda t: X - t,
    "array * tensor": lambda t: X * t,
    "array / tensor": lambda t: X / t,
    "array ** tensor": lambda t: X**t,
    "array @ tensor": lambda t: np.outer(X, X) @ t,
    "number * tensor": lambda t: np.float64(2.0) * t,
    "number ** tensor": lambda t: 2**t,
    "0-d array / tensor": lambda t: np.array(3.0) / t,
    "list + tensor": lambda t: [1.0, 2.0, 3.0] + t,
    "np.negative": lambda t: np.negative(t),
    "np.add": lambda t: np.add(X, t),
    "np.power": lambda t: np.power(t, 3),
    "np.matmul": lambda t: np.matmul(t, X),
}


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
def test_keeps_the_gradient(function):
    assert isinstance(function(leaf()), Tensor)
    assert gradcheck(function, X) < 1e-6


REFUSED = {
    "where": (lambda t: np.where(t > 1, t, 0.0), "where"),
    "stack": (lambda t: np.stack([t, t]), "stack"),
    "concatenate": (lambda t: np.concatenate([t, X]), "concatenate"),
    "vstack": (lambda t: np.vstack([t, t]), "concatenate"),
    "r_": (lambda t: np.r_[t, t], "stack"),
    "c_": (lambda t: np.c_[t, t], "stack"),
    "einsum": (lambda t: np.einsum("i,i->", t, X), "einsum"),
    "dot": (lambda t: np.dot(X, t), "matmul"),
    "sum": (lambda t: np.sum(t), "total"),
    "mean": (lambda t: np.mean(t), "mean"),
    "max": (lambda t: np.max(t), "max"),
    "var": (lambda t: np.var(t), "var"),
    "clip": (lambda t: np.clip(t, 0, 1), "clip"),
    "cumsum": (lambda t: np.cumsum(t), "cumsum"),
    "sort": (lambda t: np.sort(t), "sort"),
    "reshape": (lambda t: np.reshape(t, (3, 1)), "reshape"),
    "add.reduce": (lambda t: np.add.reduce(t), "total"),
    "exp into an array": (lambda t: np.exp(t, out=np.zeros(3)), "array"),
    "in place": (lambda t: np.ones(3).__iadd__(t), "a = a [+] t"),
    "add.at": (lambda t: np.add.at(t, [0], 1.0), "in place"),
    "floor": (lambda t: np.floor(t), "floor"),
    "arctan": (lambda t: np.arctan(t), "arctan"),
    "linalg.norm": (lambda t: np.linalg.norm(t), "norm"),
    "asarray": (lambda t: np.asarray(t), "stack"),
    "array of tensors": (lambda t: np.array([t, t]), "stack"),
    "Tensor of tensors": (lambda t: Tensor([t[0], t[1]]), "stack"),
    "Tensor of a tensor": (lambda t: Tensor(t), "detach"),
    "a setting": (lambda t: autograd.take(X, index=t), "index is a setting"),
}


@pytest.mark.parametrize("function, named", REFUSED.values(), ids=REFUSED)
def test_refuses_by_the_name_of_ours(function, named):
    with pytest.raises(TypeError, match=named):
        function(leaf())


def test_without_a_gradient_to_lose_numpy_works_on_the_arrays():
    for t in (Tensor(X), leaf()):
        with no_grad():
            np.testing.assert_array_equal(np.stack([t, t]), [X, X])
            np.testing.assert_array_equal(np.r_[t, 1.0], [*X, 1.0])
            np.testing.assert_array_equal(np.asarray(t), X)
            assert np.add.reduce(t) == X.sum() and np.linalg.norm(t) == np.linalg.norm(X)
    assert np.argmax(leaf()) == 2 and np.shape(leaf()) == (3,) and np.allclose(leaf(), X) and np.isfinite(leaf()).all()


def test_comparisons_are_entry_by_entry_and_hashes_by_identity():
    t, u = leaf(), Tensor([0.5, 9.0, 2.5])
    for result, expected in (
        (t == u, [True, False, True]), (t != u, [False, True, False]), (t < u, [False, True, False]),
        (t <= 1.5, [True, True, False]), (t > [1.0, 1.0, 1.0], [False, True, True]), (u >= t, [True, True, True]),
        (X == u, [True, False, True]), (X < u, [False, True, False]), (2.0 > t, [True, True, False]),
    ):  # fmt: skip
        assert isinstance(result, Tensor) and not result.requires_grad
        assert result.data.tolist() == expected
    assert (t != None) is True and (t == None) is False  # noqa: E711
    assert len({t, u, t}) == 2 and {t: 1}[t] == 1
    with pytest.raises(ValueError, match="ambiguous"):
        assert t == u
    with pytest.raises(ValueError, match="broadcast"):
        t == Tensor([1.0, 2.0])  # noqa: B015
    assert gradcheck(lambda x: x[x > 1.0] * 2.0, X) < 1e-9


def test_iteration_and_single_numbers():
    assert [type(row) for row in leaf()] == [Tensor] * 3
    with pytest.raises(TypeError, match="without axes"):
        list(Tensor(3.0))
    assert float(Tensor(3.0, requires_grad=True)) == 3.0


def test_the_other_byte_order_is_converted():
    big = X.astype(X.dtype.newbyteorder(">"))
    assert Tensor(big).dtype.isnative
    assert gradcheck(lambda x: x * big + big, X) < 1e-6
