"""What must hold of every primitive, checked on the examples that stand beside it.

Central differences see what an example lets them see: a shape without axes, a tensor used twice, an axis counted from
the end, an array changed between forward and backward are inputs that somebody has to think of. They are thought of
here, once, for all primitives: each check is a function of a primitive and one example, and raises when it fails.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from .differences import gradcheck
from .primitives import Example, Primitive
from .tensor import Tensor

Check = Callable[[Primitive, Example], None]
CHECKS: dict[str, Check] = {}


def check_primitive(primitive: Primitive) -> None:
    """Run every check on every example of `primitive`; raises AssertionError at the first that fails.

    >>> from llm_from_scratch.autograd import multiply
    >>> check_primitive(multiply)
    """
    if not primitive.examples:
        raise ValueError(f"{primitive.__name__} has no example: register one with @{primitive.__name__}.example")
    for example in primitive.examples:
        for check in CHECKS.values():
            check(primitive, example)


def _check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


@_check
def agrees_with_central_differences(primitive: Primitive, example: Example) -> None:
    """The backward of one use."""
    inputs, settings = _inputs(example)
    gradcheck(lambda *x: primitive(*x, **settings), *inputs)


@_check
def adds_up_when_used_twice(primitive: Primitive, example: Example) -> None:
    """Inputs that two calls share, as leaves and as results of other operations; and one tensor in two places."""
    inputs, settings = _inputs(example)

    def twice(*x: Any) -> Any:
        between = [t * 1.0 if isinstance(t, Tensor) else t for t in x]
        return (*_run(primitive, x, settings), *_run(primitive, between, settings), *_run(primitive, x, settings))

    gradcheck(twice, *inputs)
    floats = [i for i, x in enumerate(inputs) if _is_float(x)]
    for first, second in product(floats, floats):
        if first < second and inputs[first].shape == inputs[second].shape:

            def same(x: Any, i: int = first, j: int = second) -> Any:
                return primitive(*(x if k in (i, j) else value for k, value in enumerate(inputs)), **settings)

            if not _refused(same, inputs[first]) and not _at_a_kink(same, inputs[first]):
                gradcheck(same, inputs[first])


@_check
def accumulates_over_backwards(primitive: Primitive, example: Example) -> None:
    """A second forward and backward adds as much again, into the same array."""
    inputs, settings = _inputs(example)
    leaves = _leaves(inputs)
    for times in (1, 2, 3):
        _backward(_run(primitive, leaves, settings))
        for leaf in _graded(leaves):
            if times == 1:
                held = {id(leaf): (leaf.grad, leaf.grad.copy()) for leaf in _graded(leaves)}
            array, once = held[id(leaf)]
            assert leaf.grad is array, f"{primitive.__name__}: the gradient of a leaf was replaced instead of added to"
            np.testing.assert_allclose(leaf.grad, times * once, rtol=1e-12, atol=1e-14)


@_check
def works_on_single_numbers(primitive: Primitive, example: Example) -> None:
    """Where it takes arrays without axes at all: everything above once more with those."""
    inputs, settings = _inputs(example)
    numbers = [np.asarray(x.flat[0]) if _is_float(x) and x.size else x for x in inputs]
    if not _refused(lambda *x: primitive(*x, **settings), *numbers):
        gradcheck(lambda *x: (*_run(primitive, x, settings), *_run(primitive, x, settings)), *numbers, floor=1e-3)
        leaves = _leaves([x.astype(np.float32) if _is_float(x) else x for x in numbers])
        for _ in range(2):
            _backward(_run(primitive, leaves, settings))
        assert all(type(t.grad) is np.ndarray and t.grad.shape == t.shape for t in _graded(leaves))


@_check
def knows_both_names_of_an_axis(primitive: Primitive, example: Example) -> None:
    """axis=-1 and axis=2 of three axes are one axis: same outputs, same gradients."""
    inputs, settings = _inputs(example)
    named = {name: value for name, value in settings.items() if name in ("axis", "axes") and value is not None}
    if not named or not all(_is_float(x) for x in inputs):
        return
    axes = _run(primitive, inputs, settings)[0].ndim if "stack" in primitive.__name__ else inputs[0].ndim

    def others(axis: Any) -> list[Any]:
        """The axis by its other name; of several, one after the other, so that both kinds of names mix."""
        if isinstance(axis, tuple):
            return [(*axis[:i], *others(n), *axis[i + 1 :]) for i, n in enumerate(axis)]
        return [axis - axes if axis >= 0 else axis + axes]

    results = []
    for chosen in (settings, *({**settings, name: axis} for name, value in named.items() for axis in others(value))):
        leaves = _leaves(inputs)
        outputs = _run(primitive, leaves, chosen)
        _backward(outputs)
        results.append([*(o.data for o in outputs), *(t.grad for t in _graded(leaves))])
    for result in results[1:]:
        for ours, theirs in zip(results[0], result):
            np.testing.assert_array_equal(theirs, ours)


@_check
def keeps_the_dtype(primitive: Primitive, example: Example) -> None:
    """float32 in, float32 out, gradients included; so for float64."""
    for dtype in (np.float32, np.float64):
        inputs, settings = _inputs(example)
        leaves = _leaves([x.astype(dtype) if _is_float(x) else x for x in inputs])
        outputs = _run(primitive, leaves, settings)
        if primitive.__name__ != "cast":
            assert all(o.dtype == dtype for o in outputs), f"{primitive.__name__} changed the dtype"
        _backward(outputs)
        assert all(leaf.grad.dtype == dtype for leaf in _graded(leaves))


@_check
def ignores_the_layout_in_memory(primitive: Primitive, example: Example) -> None:
    """C order, Fortran order, gaps between all entries, read-only: the same numbers."""
    inputs, settings = _inputs(example)
    results = []
    for arrange in (np.copy, _scattered, _fortran, _read_only):
        leaves = _leaves([arrange(x) if isinstance(x, np.ndarray) else x for x in inputs])
        outputs = _run(primitive, leaves, settings)
        _backward(outputs)
        results.append([o.data for o in outputs] + [leaf.grad for leaf in _graded(leaves)])
    for other in results[1:]:
        for ours, theirs in zip(results[0], other):
            np.testing.assert_allclose(theirs, ours, rtol=1e-10, atol=1e-12)


@_check
def leaves_its_inputs_alone(primitive: Primitive, example: Example) -> None:
    """Neither pass changes an input, an output or the cotangent, and no gradient shares memory with an input."""
    inputs, settings = _inputs(example)
    before = [np.copy(x) if isinstance(x, np.ndarray) else x for x in inputs]
    leaves = _leaves(inputs)
    output = _run(primitive, leaves, settings)[0]
    value, cotangent = output.data.copy(), np.random.default_rng(2).normal(size=output.shape)
    kept = np.copy(cotangent)
    output.backward(cotangent)
    np.testing.assert_array_equal(cotangent, kept)
    np.testing.assert_array_equal(output.data, value)
    for x, y in zip(inputs, before):
        if isinstance(x, np.ndarray):
            np.testing.assert_array_equal(x, y)
            assert not any(np.shares_memory(leaf.grad, x) for leaf in _graded(leaves))


@_check
def is_deaf_to_later_changes(primitive: Primitive, example: Example) -> None:
    """Arrays that came as constants, indices and settings may be overwritten between forward and backward."""
    inputs, settings = _inputs(example)
    floats = [i for i, x in enumerate(inputs) if _is_float(x)]
    for wanted in floats:
        results = []
        for changed in (False, True):
            arguments = [Tensor(x, requires_grad=True) if i == wanted else _deep(x) for i, x in enumerate(inputs)]
            given = {name: _deep(value) for name, value in settings.items()}
            outputs = _run(primitive, arguments, given)
            if changed:
                _overwrite([a for a in arguments if isinstance(a, np.ndarray)])
                _overwrite(list(given.values()))
            _backward(outputs)
            results.append(arguments[wanted].grad)
        if results[0] is not None:
            np.testing.assert_array_equal(results[1], results[0])


@_check
def computes_only_what_is_needed(primitive: Primitive, example: Example) -> None:
    """Any choice of inputs that want a gradient gets the same gradients; the others get none."""
    inputs, settings = _inputs(example)
    floats = [i for i, x in enumerate(inputs) if _is_float(x)]
    full = _leaves(inputs)
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
                np.testing.assert_allclose(np.asarray(leaves[i].grad), full[i].grad, rtol=1e-12, atol=1e-14)
            else:
                assert leaves[i].grad is None


def _inputs(example: Example) -> tuple[list[Any], dict[str, Any]]:
    inputs, settings = example(np.random.default_rng(7))
    return list(inputs), settings


def _is_float(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _leaves(inputs: Any) -> list[Any]:
    return [Tensor(x, requires_grad=True) if _is_float(x) else x for x in inputs]


def _graded(leaves: list[Any]) -> list[Any]:
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.grad is not None]


def _run(primitive: Primitive, inputs: Any, settings: dict[str, Any]) -> tuple[Tensor, ...]:
    result = primitive(*inputs, **settings)
    return result if isinstance(result, tuple) else (result,)


def _backward(outputs: tuple[Tensor, ...]) -> None:
    """The backward of all outputs at once, each with a random cotangent of its own."""
    rng = np.random.default_rng(1)
    total: Any = 0.0
    for output in outputs:
        total = total + (output * np.asarray(rng.normal(size=output.shape), output.dtype)).sum()
    total.backward()


def _refused(function: Callable[..., Any], *inputs: Any) -> bool:
    """Whether these inputs are none for it."""
    try:
        function(*inputs)
    except (ValueError, TypeError, IndexError):
        return True
    return False


def _at_a_kink(function: Callable[..., Any], x: np.ndarray) -> bool:
    """Whether the slopes on the two sides of x differ."""
    values = [sum(float(o.data.sum()) for o in _tuple(function(x + h))) for h in (-1e-4, 0.0, 1e-4)]
    return abs((values[2] - values[1]) - (values[1] - values[0])) > 1e-6 * max(1.0, abs(values[1]))


def _tuple(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _scattered(x: np.ndarray) -> np.ndarray:
    """The same numbers with a gap after every entry of every axis, so that no two are neighbours."""
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape) + (Ellipsis,)]  # the dots keep it an array without axes
    view[...] = x
    return view


def _fortran(x: np.ndarray) -> np.ndarray:
    return np.array(x, order="F")


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _deep(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.copy()
    return type(value)(map(_deep, value)) if isinstance(value, (list, tuple)) else value


def _overwrite(values: Any) -> None:
    """Put something else into every array and list of a nest."""
    for i, value in enumerate(values):
        if isinstance(value, np.ndarray):
            value[...] = 0 if value.dtype.kind in "iub" else np.nan
        elif isinstance(value, (list, tuple)):
            _overwrite(value)
        elif isinstance(values, list) and isinstance(value, (int, float)):
            values[i] = 0
