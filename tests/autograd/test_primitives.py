"""A primitive knows its parameters: `needs` has a flag for each, whatever of them a call leaves out."""

import numpy as np
import pytest

from llm_from_scratch.autograd import PRIMITIVES, Tensor, check_primitive, concatenate, einsum, primitive


def registered(forward):
    made = primitive(forward)
    del PRIMITIVES[f"{forward.__module__}.{forward.__qualname__}"]  # only for this test: keep it out of the sweep
    return made


@pytest.fixture
def affine():
    """x · scale + shift, with settings behind; what its backward was asked for is kept in `asked`."""

    @registered
    def affine(x, scale=None, shift=None, /, times=1):
        y = x * times if scale is None else x * times * scale
        return y if shift is None else y + shift, (x, scale, times)

    @affine.backward
    def _(dy, saved, needs):
        affine.asked.append(needs)
        x, scale, times = saved
        dx = dy * times * (1.0 if scale is None else scale) if needs[0] else None
        return dx, dy * times * x if needs[1] else None, dy if needs[2] else None

    affine.asked = []
    affine.example(lambda rng: ((rng.normal(size=3),), {"times": 2}))
    affine.example(lambda rng: ((rng.normal(size=3), rng.normal(size=3)), {}))
    affine.example(lambda rng: ((rng.normal(size=3), None, rng.normal(size=3)), {"times": 3}))
    return affine


def leaf():
    return Tensor([1.0, 2.0], requires_grad=True)


def test_every_declared_tensor_has_a_flag(affine):
    for given, expected in (
        ((leaf(),), (True, False, False)),
        ((leaf(), None), (True, False, False)),
        ((leaf(), leaf()), (True, True, False)),
        ((np.ones(2), None, leaf()), (False, False, True)),
        ((leaf(), [1.0, 1.0], leaf(), 5), (True, False, True)),  # the fourth is the setting
    ):
        affine(*given).sum().backward()
        assert affine.asked.pop() == expected
    check_primitive(affine)


def test_settings_given_in_order_come_behind_all_tensors(affine):
    np.testing.assert_array_equal(affine([1.0, 2.0], None, [1.0, 1.0], 3).data, [4.0, 7.0])
    np.testing.assert_array_equal(affine([1.0, 2.0], [3.0, 3.0]).data, [3.0, 6.0])


def test_what_must_be_given_is_still_asked_for(affine):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        affine()
    with pytest.raises(TypeError, match="affine needs an array or a Tensor as x, got None"):
        affine(None)
    with pytest.raises(TypeError, match="positional argument"):
        registered(lambda x, y=None, /: (x, None))([1.0], None, [1.0])


def test_a_backward_with_too_few_gradients_is_named(affine):
    affine.backward(lambda dy, saved, needs: (dy,))
    with pytest.raises(ValueError, match="returned 1 gradients for 3 inputs"):
        affine(leaf()).sum().backward()


def test_tensors_without_end_have_a_flag_each():
    asked = []

    @registered
    def weighted(weight, base=None, /, *parts):
        return sum(parts) * weight, (weight, parts)

    @weighted.backward
    def _(dy, saved, needs):
        asked.append(needs)
        return None, None, *(dy * saved[0] if need else None for need in needs[2:])

    weighted(2.0, None, leaf(), np.ones(2), leaf()).sum().backward()
    weighted(np.ones(2), None, leaf()).sum().backward()
    assert asked == [(False, False, True, False, True), (False, False, True)]
    a, b = leaf(), leaf()
    (concatenate(a, b, np.ones(1)).sum() + einsum("i,i->", a, b)).backward()
    np.testing.assert_array_equal(a.grad, [2.0, 3.0])
    np.testing.assert_array_equal(b.grad, [2.0, 3.0])
