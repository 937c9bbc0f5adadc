import gc
import threading
import weakref

import numpy as np
import pytest

from llm_from_scratch.autograd import Tensor, concatenate, no_grad, primitive
from llm_from_scratch.autograd.primitive import PRIMITIVES


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
