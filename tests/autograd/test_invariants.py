"""The sweep itself is checked: each fault that once passed is put back, and must fail."""

import numpy as np
import pytest

from llm_from_scratch.autograd import PRIMITIVES, Tensor, graph, invariants, multiply, power, primitive, take, where
from llm_from_scratch.autograd.invariants import check_primitive


@pytest.fixture
def fails(monkeypatch):
    """Runs the checks of a primitive one by one and tells which failed."""

    def run(subject):
        failed = set()
        for name, check in invariants.CHECKS.items():
            for example in subject.examples:
                try:
                    check(subject, example)
                except (AssertionError, ValueError, TypeError):
                    failed.add(name)
        return failed

    return run


def test_gradients_of_single_numbers_that_are_rebound_instead_of_added(monkeypatch, fails):
    def call_backward(self, cotangents, saved, needs):
        return self._backward(cotangents[0], saved, needs)  # NumPy's numbers as they come

    def deliver(leaf, gradient, owned, into):
        held = leaf.grad if into is None else into.get(leaf)
        if held is not None:
            held += gradient
        else:
            leaf.grad = gradient if owned else gradient.copy()

    assert not fails(multiply)
    monkeypatch.setattr(type(multiply), "call_backward", call_backward)
    monkeypatch.setattr(graph, "deliver", deliver)
    x = Tensor(3.0, requires_grad=True)
    (x * 2.0 + x * 5.0).backward()
    assert x.grad == 5.0  # the fault, as it was
    assert {"adds_up_when_used_twice", "accumulates_over_backwards", "works_on_single_numbers"} <= fails(multiply)


def test_axes_counted_from_the_end_in_a_square(fails):
    @primitive
    def turn(x, /, axes):
        return x.transpose(axes), axes

    turn.backward(lambda dy, axes, needs: (dy.transpose(np.argsort(axes)),))
    del PRIMITIVES[f"{turn.__module__}.{turn.__qualname__}"]
    turn.example(lambda rng: ((rng.normal(size=(3, 3, 3)),), {"axes": (1, 2, 0)}))  # knows no negative axis itself
    assert fails(turn) == {"knows_both_names_of_an_axis"}
    turn.example(lambda rng: ((rng.normal(size=(3, 3, 3)),), {"axes": (-1, 0, 1)}))
    assert "agrees_with_central_differences" in fails(turn)


@pytest.mark.parametrize("subject", [take, multiply, where])
def test_constants_and_indices_by_reference(monkeypatch, fails, subject):
    assert not fails(subject)
    module = __import__(type(subject).__module__, fromlist=["_as_array"])
    original = module._as_array
    monkeypatch.setattr(module, "_as_array", lambda value, dtype, copied: original(value, dtype, False))
    monkeypatch.setattr(type(subject), "_setting", lambda self, name, value, copied: value)
    assert fails(subject) == {"is_deaf_to_later_changes"}


def test_the_power_nought_at_nought(fails):
    def backward(dy, saved, needs):
        x, exponent, _ = saved
        with np.errstate(all="ignore"):
            return (exponent * x ** (exponent - 1.0) * dy).sum(axis=None).reshape(()) if x.ndim == 0 else (
                exponent * x ** (exponent - 1.0) * dy
            ), None  # fmt: skip

    right = power._backward
    try:
        power.backward(backward)
        example = next(e for e in power.examples if 0.0 in e(np.random.default_rng(0))[0][0])
        with pytest.raises(AssertionError, match="backward says nan"):
            invariants.agrees_with_central_differences(power, example)
    finally:
        power.backward(right)
    check_primitive(power)


def test_what_else_the_checks_must_see(fails):
    """One wrong backward or forward each, and the check that is meant for it."""

    def make(forward, backward, shape=(2, 3)):
        made = primitive(forward)
        del PRIMITIVES[f"{forward.__module__}.{forward.__qualname__}"]
        made.backward(backward)
        made.example(lambda rng: ((rng.normal(size=shape), rng.normal(size=shape)), {}))
        return made

    def product(a, b, /):
        return a * b, (a, b)

    def both(dy, saved, needs):
        return dy * saved[1], dy * saved[0]

    def in_place(dy, saved, needs):
        dy *= 2.0
        return dy * saved[1] / 2, dy * saved[0] / 2

    assert not fails(make(product, both))
    cases = {
        "agrees_with_central_differences": make(product, lambda dy, s, needs: (dy * s[1], dy * s[0] * 1.0001)),
        "leaves_its_inputs_alone": make(product, in_place),
        "keeps_the_dtype": make(lambda a, b, /: (a * b * np.float64(1) * np.ones(3), (a, b)), both),
        "computes_only_what_is_needed": make(product, lambda dy, s, needs: (dy * s[1] * (1 + needs[1]) / 2, dy * s[0])),
        "ignores_the_layout_in_memory": make(lambda a, b, /: (a * b + a.flags.c_contiguous, (a, b)), both),
    }
    for check, wrong in cases.items():
        assert check in fails(wrong), check
