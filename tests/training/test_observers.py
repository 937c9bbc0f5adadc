"""Contexts one inside the other."""

from __future__ import annotations

import contextlib

import pytest

from llm_from_scratch.training.observers import Observer, together


def test_together_enters_in_order_and_leaves_in_reverse_whatever_happens():
    seen = []

    @contextlib.contextmanager
    def noted(name):
        seen.append(name)
        try:
            yield
        finally:
            seen.append(f"{name} over")

    with pytest.raises(ZeroDivisionError), together(noted(name) for name in "ab"):
        raise ZeroDivisionError
    assert seen == ["a", "b", "b over", "a over"]
    with together([]), Observer().passing(1, None), Observer().updating(1, None):
        pass
