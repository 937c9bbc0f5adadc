"""How much a chat template may do: time, size of one value, and memory in all.

A template is a program from a stranger, so everything it makes is counted when it is made. What bounds the rest: no
value weighs more than SIZE, however often its parts occur in it, so whatever walks through one (printing, comparing,
sorting, JSON) is short, and the clock is looked at before each step.
"""

from __future__ import annotations

import sys
import time
from typing import Any, TypeVar

SECONDS = 2.0  # a real template takes some milliseconds
SIZE = 2_000_000  # weight of one value: a character counts 1, an entry of a list ENTRY
TOTAL = 64_000_000  # bytes of all that a template makes
ENTRY = 20
DEPTH = 100  # lists in lists, macros in macros
BITS = 1_024  # of a whole number
WIDTH = 10_000  # what a format may ask for

_Value = TypeVar("_Value")


class LimitError(Exception):
    """The template did too much."""


def check_size(size: int) -> None:
    """LimitError for a text of more characters than SIZE."""
    if size > SIZE:
        raise LimitError(f"it makes a text or list of more than {SIZE:,} characters, an entry counted as {ENTRY}")


def check_entries(count: int) -> None:
    """LimitError for a list of more entries than SIZE allows."""
    check_size(ENTRY * count)


class Budget:
    """What one rendering has used.

    >>> budget = Budget()
    >>> budget.made(["a", "bc"])
    ['a', 'bc']
    >>> budget.made([["a" * 1_000_000] * 3])
    Traceback (most recent call last):
    llm_from_scratch.tokenizers.template_limits.LimitError: it makes a text or list of more than 2,000,000 characters, \
an entry counted as 20
    """

    def __init__(self) -> None:
        self._deadline = time.thread_time() + SECONDS  # of work: on a busy machine a template may have to wait
        self._total = 0
        self._weighed: dict[int, tuple[Any, int, int]] = {}  # by id: the container, kept so that the id stays its own

    def step(self) -> None:
        """Called before each thing that the template does."""
        if time.thread_time() > self._deadline:
            raise LimitError(f"it was not done after {SECONDS:g} seconds of work")

    def made(self, value: _Value) -> _Value:
        """The value, counted. Nothing in it may be changed afterwards."""
        if isinstance(value, str):
            check_size(len(value))
            self._spend(sys.getsizeof(value) + len(getattr(value, "origin", b"")))
        elif isinstance(value, (list, tuple, dict)):
            self._weigh(value)
        elif isinstance(value, int) and value.bit_length() > BITS:
            raise LimitError(f"it computes with numbers beyond all measure: more than {BITS:,} bits")
        return value

    def _spend(self, size: int) -> None:
        self._total += size
        if self._total > TOTAL:
            raise LimitError(f"it makes more than {TOTAL:,} bytes in all")

    def _weigh(self, value: Any) -> tuple[int, int]:
        """Weight, those inside counted each time they occur, and depth. Lists in lists can double at each step without
        taking memory, until somebody prints or compares them."""
        if id(value) in self._weighed:
            return self._weighed[id(value)][1:]
        check_entries(len(value))
        weight = deepest = 0
        for inner in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
            if isinstance(inner, (list, tuple, dict)):
                size, depth = self._weigh(inner)
                deepest = max(deepest, depth)
            else:
                size = len(inner) if isinstance(inner, str) else 1
            weight += size + ENTRY
            check_size(weight)
        if deepest >= DEPTH:
            raise LimitError(f"it puts lists into lists, more than {DEPTH} deep")
        self._spend(sys.getsizeof(value) + 32 * len(value) + 256)
        self._weighed[id(value)] = (value, weight, deepest + 1)
        return weight, deepest + 1
