"""Wraps a learner's function so that a call cannot spoil the inputs of the next check.

Each call gets deep copies; whether the copies were changed is noted. It does not judge results.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np


def same(a: Any, b: Any) -> bool:
    """Whether two nested values agree bit for bit; objects that are not data count as equal.

    >>> same([np.array([1.0, np.nan])], [np.array([1.0, np.nan])])
    True
    >>> same({"a": [1]}, {"a": [1, 2]}), same([1], [1.0])
    (False, False)
    """
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):  # the order of the keys is part of what a learner could change
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (int, float, complex, str, bytes, bytearray, set, frozenset, np.generic, type(None))):
        return bool(a == b) or a != a
    return True


def brief(value: Any) -> str:
    """An argument as it stands in an error message: arrays by shape and dtype, long values cut.

    >>> brief(np.zeros((2, 3))), brief([1, 2]), brief(len)
    ('<float64 (2, 3)>', '[1, 2]', 'len')
    """
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, (list, tuple)) and any(isinstance(item, np.ndarray) for item in value):
        return "[" + ", ".join(map(brief, value)) + "]"
    text = getattr(value, "__name__", None) or repr(value)
    return text if len(text) <= 60 else text[:50] + " ..."


class Attempt:
    """The learner's function. `attempt(...)` calls it on copies; `attempt.raw` is the function itself.

    >>> def spoil(values):
    ...     values.append(0)
    ...     return len(values)
    >>> attempt = Attempt(spoil)
    >>> mine = [1, 2]
    >>> attempt(mine), mine, attempt.changed
    (3, [1, 2], ['the argument `values`'])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.raw = function
        self.changed: list[str] = []
        self.returned = 0  # calls that came back
        self.last_call = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # one by one: an array passed for two arguments must not become one array that both of them change
        given_args = [copy.deepcopy(a) for a in args]
        given_kwargs = {k: copy.deepcopy(a) for k, a in kwargs.items()}
        self.last_call = self._describe(args, kwargs)
        result = self.raw(*given_args, **given_kwargs)
        self.returned += 1
        for name, before, after in self._named(args, given_args, kwargs, given_kwargs):
            if not same(before, after):
                self.changed.append(f"the argument `{name}`")
        return result

    def _named(self, args: Any, given_args: Any, kwargs: Any, given_kwargs: Any) -> list[tuple[str, Any, Any]]:
        try:
            names = list(inspect.signature(self.raw).parameters)
        except (TypeError, ValueError):
            names = []
        names += [f"number {i + 1}" for i in range(len(names), len(args))]
        return [
            *zip(names, args, given_args, strict=False),
            *((k, kwargs[k], given_kwargs[k]) for k in kwargs),
        ]

    def _describe(self, args: Any, kwargs: Any) -> str:
        given = [brief(a) for a in args] + [f"{k}={brief(v)}" for k, v in kwargs.items()]
        return f"{getattr(self.raw, '__name__', 'the function')}({', '.join(given)})"
