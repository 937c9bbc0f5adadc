"""What every primitive must pass, fed by the example that stands beside it."""

import importlib
import pkgutil

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import PRIMITIVES, GradientMismatch, gradcheck
from llm_from_scratch.autograd.invariants import CHECKS, check_primitive
from llm_from_scratch.autograd.primitives import Primitive

for room in ("autograd", "functional"):
    package = importlib.import_module(f"llm_from_scratch.{room}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"llm_from_scratch.{room}.{module.name}")
OURS = {name: p for name, p in PRIMITIVES.items() if name.startswith("llm_from_scratch.")}
CASES = [pytest.param(p, e, id=f"{p.__name__}-{i}") for p in OURS.values() for i, e in enumerate(p.examples)]


def test_every_primitive_has_an_example_and_a_backward():
    missing = [name for name, p in OURS.items() if not p.examples or p._backward is None]
    assert OURS and not missing, f"primitives without an example or a backward: {missing}"


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("primitive, example", CASES)
def test_primitive(primitive, example, check):
    check(primitive, example)


def test_the_sweep_sees_single_numbers():
    """A check that no example reaches has no power: these take arrays without axes."""
    seen = {
        p.__name__ for p in OURS.values() for e in p.examples
        if any(np.ndim(x) == 0 and isinstance(x, np.ndarray) for x in e(np.random.default_rng(0))[0])
    }  # fmt: skip
    entrywise = "add subtract multiply divide power absolute maximum minimum exp log sqrt sin cos tanh clip".split()
    assert seen >= {*entrywise, "total", "mean", "max", "prod", "reshape", "stacked", "take", "where"}


def test_a_broken_backward_is_caught():
    def square(x, /):
        return x * x, x

    for broken in (lambda dy, x, needs: (x * dy,), lambda dy, x, needs: (2 * x * dy + 1e-4,)):
        faulty = Primitive(square)
        faulty.backward(broken)
        with pytest.raises(GradientMismatch, match=r"input 0\[\d, \d\]: backward says"):
            gradcheck(faulty, np.random.default_rng(0).normal(size=(2, 3)))
        faulty.example(lambda rng: ((rng.normal(size=3),), {}))
        with pytest.raises(GradientMismatch):
            check_primitive(faulty)
        del PRIMITIVES[f"{square.__module__}.{square.__qualname__}"]


def test_a_gradient_of_softmax_under_ones_would_have_hidden_the_error():
    """Why the cotangent is random: with ones, this wrong backward passes."""

    def softmax(x, /):
        e = np.exp(x - x.max(-1, keepdims=True))
        y = e / e.sum(-1, keepdims=True)
        return y, y

    wrong = Primitive(softmax)
    wrong.backward(lambda dy, y, needs: (0.5 * y * (dy - (dy * y).sum(-1, keepdims=True)),))
    x = np.random.default_rng(0).normal(size=(2, 4))
    assert gradcheck(lambda x: wrong(x).sum() + (x * x).sum(), x) < 1e-6
    with pytest.raises(GradientMismatch):
        gradcheck(wrong, x)
    del PRIMITIVES[f"{softmax.__module__}.{softmax.__qualname__}"]


def test_gradcheck_refuses_float32():
    with pytest.raises(TypeError, match="float64"):
        gradcheck(lambda x: x * x, np.ones(2, np.float32))
    assert lfs.gradcheck is gradcheck


def test_gradcheck_takes_lists_of_tensors_and_names_the_one_that_is_wrong():
    weight, bias = (lfs.Tensor(np.ones(shape), requires_grad=True) for shape in ((2, 3), 3))
    assert gradcheck(lambda p: (p[0] * p[1]).sum(), [weight, bias]) < 1e-9
    assert gradcheck(lambda x: x * x, [[1.0, 2.0], [3.0, 4.0]]) < 1e-9  # an array, written as lists
    with pytest.raises(GradientMismatch, match=r"input 0\[1\]\[0\]: backward says 0,"):
        gradcheck(lambda p: (p[0] * p[1].data).sum(), [weight, bias])
    with pytest.raises(TypeError, match=r"float64; input 0\[0\] is float32"):
        gradcheck(lambda p: p[0], [np.ones(2, np.float32)])
    with pytest.raises(ValueError, match="read-only"):
        gradcheck(lambda x: x, lfs.Tensor(np.broadcast_to(1.0, 3), requires_grad=True))
