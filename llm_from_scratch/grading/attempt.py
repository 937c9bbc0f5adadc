"""Wraps a learner's function so that a call cannot spoil the inputs of the next check.

Each call gets deep copies; whether the copies were changed is noted. It does not judge results.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .assertions import CheckBroken, CheckFailed
from .settings import Settings
from .words import kind

_deepcopy = copy.deepcopy


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


_CONTAINERS = (list, tuple, dict, Counter, OrderedDict, defaultdict)
_PLAIN = (bool, int, float, complex, str, bytes, bytearray, range, set, frozenset, type(None))
_PRETENCES = ("__array__", "__array_interface__", "__array_ufunc__", "__array_function__")
_WRITTEN_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE
WATCHED = 4  # earlier answers that a call must leave alone
_NUMPY_SCALARS = frozenset(np.sctypeDict.values())


def leaves(value: Any) -> Iterator[Any]:
    """Everything in nested lists, tuples and dicts, keys included."""
    if type(value) in _CONTAINERS:
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from leaves(part)
    else:
        yield value


def is_data(value: Any) -> bool:
    """Whether a value consists of arrays of numbers, numbers and text only."""
    return all(
        type(leaf) in _PLAIN or type(leaf) in _NUMPY_SCALARS or (type(leaf) is np.ndarray and not leaf.dtype.hasobject)
        for leaf in leaves(value)
    )


def pretender(value: Any) -> str:
    """What in an answer is not plain data, though it could pass for it; empty if nothing is.

    Subclasses of arrays, lists or numbers, and objects with an `__eq__` of their own, decide for themselves what they
    are equal to. Other objects (generators, functions) are left to the comparisons, which refuse them by name.

    >>> pretender([1, (np.zeros(2), "a")]), pretender(np.ma.zeros(2)), pretender({"a": np.array([None])})
    ('', 'a MaskedArray', 'an array of shape (1,) and dtype object')
    """
    for leaf in leaves(value):
        if is_data(leaf) or isinstance(leaf, type):
            continue
        own = type(leaf).__flags__ & _WRITTEN_IN_PYTHON and type(leaf).__eq__ is not object.__eq__
        poses = any(hasattr(type(leaf), name) for name in _PRETENCES)
        if own or poses or isinstance(leaf, (*_CONTAINERS, *_PLAIN)):
            return kind(leaf)
    return ""


@dataclass(frozen=True)
class Raised:
    """Stands among the answers for a call that ended with an exception."""

    kind: str


UNKNOWN = Raised("")  # stands for an answer that is no data and so cannot be kept


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
        self.running = False  # whether a call is under way, or was left by an exception
        self.answers: list[tuple[Any, Any]] = []  # of the current check: what each call returned, and a copy

    def begin(self) -> None:
        """Forget the calls of the check before."""
        self.last_call, self.running, self.answers = "", False, []

    def given(self) -> list[Any]:
        """The answers of the current check as they were when they came; none if one of them was no data."""
        answers = [copied for _, copied in self.answers]
        return [] if any(answer is UNKNOWN for answer in answers) else answers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # one by one: an array passed for two arguments must not become one array that both of them change
        given_args = [_deepcopy(a) for a in args]
        given_kwargs = {k: _deepcopy(a) for k, a in kwargs.items()}
        self.last_call = self._describe(args, kwargs)
        watched = [pair for pair in self.answers[-WATCHED:] if same(*pair)]  # not those that the check itself changed
        settings = Settings()
        self.running = True
        try:
            result = self.raw(*given_args, **given_kwargs)
        except (CheckFailed, CheckBroken) as error:  # these words are for checks to say
            raise RuntimeError(f"the code raises {type(error).__name__} itself") from error
        except BaseException as error:
            self.answers.append((None, Raised(type(error).__name__)))
            raise
        self.running = False
        self.returned += 1
        hidden = settings.restore()
        if hidden:
            raise CheckFailed(*hidden)
        strange = pretender(result)
        if strange:
            raise CheckFailed(
                f"the answer must be plain data (NumPy arrays of numbers, lists, tuples, dicts, numbers, text); "
                f"it {'is' if strange == kind(result) else 'holds'} {strange}.",
                "np.array(...) and list(...) make plain ones; an array of objects comes of rows of different lengths.",
            )
        if not all(same(*pair) for pair in watched):
            raise CheckFailed(
                "the answer of an earlier call was changed by this one.",
                "return a new array from every call, not one that is kept and written to again.",
            )
        self.answers.append((result, _deepcopy(result) if is_data(result) else UNKNOWN))
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
