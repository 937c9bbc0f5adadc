"""Objects that are called, and somebody who stands in between for a while: to look at what passes, or to change it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def intercepted(objects: Mapping[str, Any], around: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, calling one of the objects is `around(its name, what it would do, *arguments)`.

    >>> class Double:
    ...     def __call__(self, x):
    ...         return 2 * x
    >>> part = Double()
    >>> with intercepted({"part": part}, lambda name, call, x: call(x) + 1):
    ...     part(5)
    11
    >>> part(5)
    10
    """
    kinds = {name: type(thing) for name, thing in objects.items()}
    told = [around]  # emptied at the end: a class lives on until cycles are collected, and `around` may hold much

    def between(name: str, kind: Any) -> type:
        def call(thing: Any, *args: Any, **kwargs: Any) -> Any:
            return told[0](name, functools.partial(kind.__call__, thing), *args, **kwargs)

        return type(kind.__name__, (kind,), {"__call__": call})

    try:
        for name, thing in objects.items():  # Python looks a call up on the class: each gets one of its own meanwhile
            thing.__class__ = between(name, kinds[name])
        yield
    finally:
        told.clear()
        for name, thing in objects.items():
            thing.__class__ = kinds[name]
