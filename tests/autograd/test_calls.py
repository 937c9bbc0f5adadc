"""Standing between a caller and what it calls, for a while and without a trace."""

from __future__ import annotations

import gc
import weakref

import pytest

from llm_from_scratch.autograd.calls import intercepted


class Part:
    def __call__(self, x, *, more=0):
        return x + more


def test_it_is_told_who_is_called_with_what_and_may_change_it():
    a, b, seen = Part(), Part(), []

    def around(name, call, x, **more):
        seen.append((name, x, more))
        return 10 * call(x, **more)

    with intercepted({"a": a, "b": b}, around):
        assert (a(1), b(2, more=3), Part()(7)) == (10, 50, 7)
        assert isinstance(a, Part) and type(a).__name__ == "Part"
    assert seen == [("a", 1, {}), ("b", 2, {"more": 3})] and (a(1), type(a)) == (1, Part)


def test_one_inside_the_other_and_errors():
    part = Part()
    with pytest.raises(ZeroDivisionError), intercepted({"part": part}, lambda name, call, x: call(x) + 1):
        with intercepted({"part": part}, lambda name, call, x: call(x) * 5):
            assert part(1) == 10
        assert part(1) == 2
        raise ZeroDivisionError
    assert type(part) is Part


def test_nothing_of_it_is_kept():
    class Heavy:
        def __call__(self, name, call, x):
            return call(x)

    part, heavy = Part(), Heavy()
    gone = weakref.ref(heavy)
    gc.disable()
    try:
        with intercepted({"part": part}, heavy):
            part(1)
        del heavy
        assert gone() is None
    finally:
        gc.enable()
