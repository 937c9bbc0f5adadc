import gc
import threading
import weakref

import numpy as np
import pytest

from llm_from_scratch.autograd import (
    Tensor,
    concatenate,
    einsum,
    gradcheck,
    hessian_vector_product,
    jacobian,
    no_grad,
    primitive,
    stack,
    where,
)
from llm_from_scratch.autograd.primitives import PRIMITIVES
from llm_from_scratch.functional import cross_entropy, embedding


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


def test_shared_use_adds_up():
    a = leaf(1.0, 2.0)
    b = a + a
    c = b * b + a
    c.sum().backward()
    np.testing.assert_allclose(a.grad, 8 * a.data + 1)


def test_addition_to_itself_does_not_alias_gradients():
    a, b = leaf(1.0), leaf(2.0)
    (a + b).backward(np.array([3.0]))
    a.grad += 1.0
    np.testing.assert_array_equal(b.grad, [3.0])


def test_gradients_accumulate_over_backwards():
    a = leaf(2.0)
    for _ in range(3):
        (a * a).backward()
    np.testing.assert_allclose(a.grad, [12.0])


def test_a_graph_deeper_than_the_stack():
    a = leaf(1.0)
    x = a
    for _ in range(50_000):
        x = x + 1.0
    x.backward()
    np.testing.assert_array_equal(a.grad, [1.0])


def test_a_deep_graph_is_dropped_without_recursion():
    x = leaf(1.0)
    for _ in range(200_000):
        x = x + 1.0
    value = x.item()
    del x
    assert value == 200_001.0


def test_backward_into_a_dictionary_leaves_grad_alone():
    a = leaf(2.0)
    into = {}
    for _ in range(2):
        (a * 3.0).backward(into=into)
    assert a.grad is None
    np.testing.assert_array_equal(into[a], [6.0])


def test_a_released_graph_says_so():
    a = leaf(2.0)
    y = a * a
    y.backward()
    with pytest.raises(ValueError, match="already released"):
        y.backward()


def test_saved_activations_are_freed_while_backward_proceeds():
    alive = []

    class Activation(np.ndarray):  # an ndarray that can be watched
        pass

    @primitive
    def double(x, /):
        saved = np.array(x).view(Activation)
        watched.append(weakref.ref(saved))
        return 2 * np.asarray(x), saved

    @double.backward
    def _(dy, saved, needs):
        del saved
        gc.collect()
        alive.append(sum(ref() is not None for ref in watched))
        return (2 * dy,)

    watched = []
    x = leaf(1.0)
    y = x
    for _ in range(5):
        y = double(y)
    y.backward()
    assert alive == [5, 4, 3, 2, 1]
    assert not any(ref() is not None for ref in watched)
    del PRIMITIVES[f"{double.__wrapped__.__module__}.{double.__wrapped__.__qualname__}"]


def test_no_grad_is_per_thread():
    a = leaf(1.0)
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((a * 2.0).requires_grad))
        thread.start()
        thread.join()
        assert not (a * 2.0).requires_grad
    assert seen == [True] and (a * 2.0).requires_grad


def test_numbers_take_the_dtype_of_the_arrays_around_them():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (x * 2, 2.5 * x, x / np.float64(3.0), x + [1.0, 2.0], 1 - x, -x, x**2, x.mean()):
        assert y.dtype == np.float32


def test_mixing_dtypes_is_an_error_not_a_conversion():
    with pytest.raises(TypeError, match=r"multiply got both float32 and float64.*astype"):
        Tensor(np.ones(2, np.float32)) * np.ones(2)
    with pytest.raises(TypeError, match="float16"):
        Tensor(np.ones(2, np.float16))
    with pytest.raises(TypeError, match="require a gradient"):
        Tensor([1, 2], requires_grad=True)


def test_an_array_on_the_left():
    x = leaf(1.0, 2.0)
    y = np.array([3.0, 4.0]) * x
    assert isinstance(y, Tensor)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 4.0])


def test_backward_asks_for_what_it_needs():
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        (x * 2.0).backward()
    with pytest.raises(ValueError, match="requires_grad"):
        Tensor([1.0]).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\)"):
        (x * 2.0).backward(np.ones(3))


def test_a_backward_of_the_wrong_shape_is_named():
    @primitive
    def bad(x, /):
        return x * 1.0, None

    bad.backward(lambda dy, saved, needs: (dy[:1],))
    with pytest.raises(ValueError, match=r"backward of bad returned float64\(1,\) for input 0"):
        bad(leaf(1.0, 2.0)).backward(np.ones(2))
    del PRIMITIVES[f"{bad.__wrapped__.__module__}.{bad.__wrapped__.__qualname__}"]


def test_concatenate_and_indexing_send_gradients_home():
    a, b = leaf(1.0, 2.0), leaf(3.0)
    joined = concatenate(a, b)
    (joined[np.array([0, 2, 2])] * np.array([1.0, 10.0, 100.0])).sum().backward()
    np.testing.assert_array_equal(a.grad, [1.0, 0.0])
    np.testing.assert_array_equal(b.grad, [110.0])


def number(value, dtype=np.float64):
    return Tensor(np.array(value, dtype), requires_grad=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_that_is_used_twice_gets_both_terms(dtype):
    for function, expected in (
        (lambda x: x * 2.0 + x * 5.0, 7.0),
        (lambda x: x * x, 6.0),
        (lambda x: x * x * x, 27.0),
        (lambda x: x / x + x - x * 2.0, -1.0),
        (lambda x: (x + x).exp() * 0.0 + x**2, 6.0),
        (lambda x: sum((x * float(n) for n in range(5)), start=x), 11.0),
    ):
        x = number(3.0, dtype)
        for times in (1, 2, 3):
            function(x).backward()
            assert type(x.grad) is np.ndarray and x.grad.shape == () and x.grad.dtype == dtype
            np.testing.assert_allclose(x.grad, times * expected, rtol=1e-6)


def test_a_number_between_many_uses():
    x, into = number(2.0), {}
    y = x * 1.0
    (y * y * y + y).backward(into=into)
    np.testing.assert_allclose(into[x], 13.0)
    (y := x * 1.0, (y * y).backward(into=into))
    np.testing.assert_allclose(into[x], 17.0)


def test_a_gradient_that_is_not_an_array_is_refused():
    x = number(2.0)
    x.grad = 0.0
    with pytest.raises(TypeError, match="ndarray or None, not float"):
        (x * x).backward()


def test_a_graph_released_in_part_changes_nothing():
    x = leaf(2.0)
    y = x * 3.0
    y.backward()
    z = x * y + x
    with pytest.raises(ValueError, match="already released"):
        z.backward()
    np.testing.assert_array_equal(x.grad, [3.0])


def test_negative_axes_of_transpose_on_a_square():
    x = Tensor(np.arange(9.0).reshape(3, 3) ** 2, requires_grad=True)
    cube = Tensor(np.arange(27.0).reshape(3, 3, 3), requires_grad=True)
    weights = np.arange(27.0).reshape(3, 3, 3) ** 2
    (cube.transpose(-1, 0, 1) * weights).sum().backward()
    np.testing.assert_array_equal(cube.grad, weights.transpose(1, 2, 0))
    (x.swapaxes(-1, -2) * weights[1]).sum().backward()
    np.testing.assert_array_equal(x.grad, weights[1].T)


@pytest.mark.parametrize(
    "use, given",
    [
        (lambda x, c: x * c, np.array([2.0, 3.0])),
        (lambda x, c: c / x, np.array([2.0, 3.0])),
        (lambda x, c: x[c], np.array([0, 1, 1])),
        (lambda x, c: x[(c,)], np.array([True, False])),
        (lambda x, c: where(c, x, 0.0), np.array([True, False])),
        (lambda x, c: x.clip(c), np.array([1.5, 0.5])),
        (lambda x, c: x.repeat(c), np.array([2, 1])),
        (lambda x, c: embedding(x.reshape(2, 1), c), np.array([0, 1, 0])),
        (lambda x, c: cross_entropy(x, c), np.array(1)),
    ],
)
def test_what_is_changed_between_forward_and_backward_changes_no_gradient(use, given):
    gradients = []
    for changed in (False, True):
        x, constant = leaf(1.0, 2.0), given.copy()
        y = use(x, constant).sum()
        if changed:
            constant[...] = 0
        y.backward()
        gradients.append(x.grad)
    np.testing.assert_array_equal(*gradients)


def test_a_list_as_index_may_be_reused():
    x, index = leaf(1.0, 2.0), [0, 0]
    y = x[index].sum()
    index[:] = [1, 1]
    y.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 0.0])


def test_powers():
    x = Tensor([0.0, 2.0, -3.0], requires_grad=True)
    (x**0).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 0.0])
    x.grad = None
    (x ** np.array([1.0, 3.0, 2.0])).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 12.0, -6.0])
    base, exponent = Tensor([0.0, 2.0], requires_grad=True), Tensor([3.0, 3.0], requires_grad=True)
    (base**exponent).sum().backward()
    np.testing.assert_allclose(exponent.grad, [0.0, 8.0 * np.log(2.0)])


def test_integers_beside_float32_stay_float32():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (x * np.array([1, 2]), x + np.array([True, False]), x ** np.array([2, 3]), where(x > 0, x, [1, 2])):
        assert y.dtype == np.float32
        y.sum().backward()
        assert x.grad.dtype == np.float32


def test_every_method_says_what_it_does():
    methods = [getattr(Tensor, name) for name in dir(Tensor) if not name.startswith("_")]
    assert all(method.__doc__ for method in methods if callable(method) or isinstance(method, property))


def test_names_that_users_of_numpy_and_torch_try():
    x = Tensor([[1.0, -4.0, 2.0], [0.5, 3.0, -1.0]], requires_grad=True)
    assert x.max(-1).data.tolist() == [2.0, 3.0] and x.min(0, keepdims=True).shape == (1, 3)
    assert [part.shape for part in x.split(3, axis=1)] == [(2, 1)] * 3 and x.split([1], axis=-1)[1].shape == (2, 2)
    assert stack([x, x], axis=1).shape == (2, 2, 3) and concatenate([x, x], axis=-1).shape == (2, 6)
    assert x.squeeze().shape == x.shape and x.reshape(1, 2, 3).squeeze(0).shape == (2, 3)
    assert x.transpose().shape == x.T.shape == x.transpose(None).shape == (3, 2) and x.flatten().shape == (6,)
    assert (x @ np.ones(3)).shape == (2,) and (np.ones(2) @ x).shape == (3,)
    assert (np.ones((4, 5, 2)) @ x @ np.ones(3)).shape == (4, 5) and (np.ones(2) @ stack([x, x])).shape == (2, 3)
    assert (
        abs(x).sum().item() == 11.5 and (-x).clip(0).data.min() == 0 and x.sort(0).data[0].tolist() == [0.5, -4.0, -1.0]
    )
    for wrong, match in (
        (lambda: x.squeeze(0), "size not equal to one"),
        (lambda: x.max(axis=2), "out of bounds"),
        (lambda: Tensor(np.zeros((0, 2))).max(0), "over nothing"),
        (lambda: Tensor(np.zeros((0, 2))).mean(), "over nothing"),
        (lambda: x.clip(2.0, 1.0), "exceeds"),
        (lambda: x.var(ddof=6), "nothing to divide by"),
        (lambda: einsum("ij,jk->ik", x), "names 2 operands, got 1"),
        (lambda: einsum("ijk->i", x), "does not fit"),
    ):
        with pytest.raises(ValueError, match=match):
            wrong()


def test_whole_jacobians_and_products_with_a_hessian():
    rng = np.random.default_rng(0)
    matrix, x, v = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)
    np.testing.assert_allclose(jacobian(lambda x: matrix @ x, x), matrix)
    np.testing.assert_allclose(jacobian(lambda x: x.reshape(2, 2).T, x).sum((0, 1)), np.ones(4))
    hessian = matrix.T @ matrix
    np.testing.assert_allclose(
        hessian_vector_product(lambda x: 0.5 * ((matrix @ x) ** 2).sum(), x, v), hessian @ v, rtol=1e-7
    )
    np.testing.assert_array_equal(jacobian(lambda x: Tensor([1.0]), x), np.zeros((1, 4)))
    with pytest.raises(ValueError, match="float64"):
        hessian_vector_product(lambda x: x.sum(), x.astype(np.float32), v)


@pytest.mark.parametrize(
    "left, right", [((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]
)
def test_products_with_vectors(left, right):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=left), rng.normal(size=right)
    np.testing.assert_allclose((Tensor(a) @ b).data, a @ b)
    assert gradcheck(lambda a, b: (a @ b) * 1.0, a, b) < 1e-6
