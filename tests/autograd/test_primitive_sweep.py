"""What every primitive must pass, fed by the example that stands beside it."""

import importlib
import pkgutil
from itertools import product

import numpy as np
import pytest

import llm_from_scratch as lfs
from llm_from_scratch.autograd import PRIMITIVES, GradientMismatch, Tensor, gradcheck
from llm_from_scratch.autograd.primitive import Primitive

for room in ("autograd", "functional"):
    package = importlib.import_module(f"llm_from_scratch.{room}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"llm_from_scratch.{room}.{module.name}")
OURS = {name: p for name, p in PRIMITIVES.items() if name.startswith("llm_from_scratch.")}
CASES = [pytest.param(p, e, id=f"{p.__name__}-{i}") for p in OURS.values() for i, e in enumerate(p.examples)]


def _inputs(example, dtype=np.float64):
    inputs, settings = example(np.random.default_rng(7))
    return [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in inputs], settings


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _run(primitive, inputs, settings):
    result = primitive(*inputs, **settings)
    return result if isinstance(result, tuple) else (result,)


def test_every_primitive_has_an_example_and_a_backward():
    missing = [name for name, p in OURS.items() if not p.examples or p._backward is None]
    assert OURS and not missing, f"primitives without an example or a backward: {missing}"


@pytest.mark.parametrize("primitive, example", CASES)
def test_backward_agrees_with_central_differences(primitive, example):
    inputs, settings = _inputs(example)
    assert gradcheck(lambda *x: primitive(*x, **settings), *inputs) < 1e-6


@pytest.mark.parametrize("primitive, example", [case for case in CASES if not case.id.startswith("cast-")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_preserved(primitive, example, dtype):
    inputs, settings = _inputs(example, dtype)
    leaves = [Tensor(x, requires_grad=True) if _is_float(x) else x for x in inputs]
    for output in _run(primitive, leaves, settings):
        assert output.dtype == dtype
    total = _run(primitive, leaves, settings)[0].sum()
    total.backward()
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf.requires_grad and leaf.grad is not None:
            assert leaf.grad.dtype == dtype


def _scattered(x):
    """The same numbers with a gap after every entry of every axis, so that no two are neighbours."""
    if not isinstance(x, np.ndarray) or x.ndim == 0:
        return x
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


@pytest.mark.parametrize("primitive, example", CASES)
def test_layout_in_memory_does_not_matter(primitive, example):
    inputs, settings = _inputs(example)
    results = []
    for arrange in (lambda x: x, _scattered, lambda x: np.asfortranarray(x) if isinstance(x, np.ndarray) else x):
        leaves = [Tensor(arrange(x), requires_grad=True) if _is_float(x) else arrange(x) for x in inputs]
        outputs = _run(primitive, leaves, settings)
        rng = np.random.default_rng(1)
        sum(((o * rng.normal(size=o.shape)).sum() for o in outputs), start=Tensor(0.0)).backward()
        results.append([o.data for o in outputs] + [x.grad for x in leaves if isinstance(x, Tensor)])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other):
            np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("primitive, example", CASES)
def test_inputs_are_left_unchanged(primitive, example):
    inputs, settings = _inputs(example)
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in inputs]
    leaves = [Tensor(x, requires_grad=True) if _is_float(x) else x for x in inputs]
    outputs = _run(primitive, leaves, settings)
    values = [o.data.copy() for o in outputs]
    cotangent = np.random.default_rng(2).normal(size=outputs[0].shape)
    kept = cotangent.copy()
    outputs[0].backward(cotangent)
    np.testing.assert_array_equal(cotangent, kept)
    for x, y in zip(inputs, before):
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y)
    for output, value in zip(outputs, values):
        np.testing.assert_array_equal(output.data, value)
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf.grad is not None:
            assert not any(np.shares_memory(leaf.grad, x) for x in inputs if isinstance(x, np.ndarray))


@pytest.mark.parametrize("primitive, example", CASES)
def test_only_the_gradients_that_are_needed_are_computed(primitive, example):
    inputs, settings = _inputs(example)
    floats = [i for i, x in enumerate(inputs) if _is_float(x)]
    full = [Tensor(x, requires_grad=True) if i in floats else x for i, x in enumerate(inputs)]
    output = _run(primitive, full, settings)[0]
    cotangent = np.random.default_rng(3).normal(size=output.shape)
    output.backward(cotangent)
    for wanted in product([False, True], repeat=len(floats)):
        if not any(wanted):
            continue
        chosen = {i for i, want in zip(floats, wanted) if want}
        leaves = [Tensor(x, requires_grad=i in chosen) if i in floats else x for i, x in enumerate(inputs)]
        _run(primitive, leaves, settings)[0].backward(cotangent)
        for i in floats:
            if i in chosen:
                np.testing.assert_allclose(leaves[i].grad, full[i].grad, rtol=1e-12, atol=1e-14)
            else:
                assert leaves[i].grad is None


def test_a_broken_backward_is_caught():
    def square(x, /):
        return x * x, x

    for broken in (lambda dy, x, needs: (x * dy,), lambda dy, x, needs: (2 * x * dy + 1e-4,)):
        faulty = Primitive(square)
        faulty.backward(broken)
        with pytest.raises(GradientMismatch, match=r"input 0\[\d, \d\]: backward says"):
            gradcheck(faulty, np.random.default_rng(0).normal(size=(2, 3)))
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
