"""How values are written in messages: short, on one line, without NumPy's wrapping."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np

_array_type, _scalar_type = np.ndarray, np.generic
UNFINISHED = {
    "generator": "a `yield` makes the function a generator: collect the values and `return` them.",
    "coroutine": "`async def` makes a coroutine: a plain `def` returns the value.",
    "async_generator": "`async def` with `yield` makes an async generator: a plain `def` with `return` is meant.",
}


def show(value: Any, limit: int = 100) -> str:
    """A value on one short line.

    >>> show(np.float32(0.1)), show([1, 2]), show("x" * 200, limit=20), show(np.bool_(False))
    ('0.1', '[1, 2]', "'xxxxxxxxxx ...xxxx'", 'False')
    """
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.7g}"
    try:
        text = " ".join(repr(value.item() if isinstance(value, _scalar_type) else value).split())
    except Exception as error:  # a learner's own class may have a broken __repr__
        text = f"<{type(value).__name__} whose repr fails: {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 9] + " ..." + text[-5:]


def kind(value: Any) -> str:
    """What sort of thing a value is.

    >>> kind(np.zeros(2)), kind(None), kind(1), kind(np.int64(1)), kind(x for x in "ab"), kind(len)
    ('an array of shape (2,) and dtype float64', 'None', 'an int', 'a NumPy int64', 'a generator', 'the function len')
    """
    if type(value) is _array_type:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if value is None:
        return "None"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '')}".rstrip()
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    if type(value).__module__ == "numpy" and isinstance(value, _scalar_type):
        return f"a NumPy {name}"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def unfinished(value: Any) -> str:
    """The cause, where a value is returned that still has to be run; else an empty text.

    >>> unfinished(x for x in "ab"), unfinished([])
    ('a `yield` makes the function a generator: collect the values and `return` them.', '')
    """
    if inspect.isroutine(value):
        return "call it: its name alone is the function, `name(...)` is what it returns."
    return UNFINISHED.get(type(value).__name__, "")


def pair(expected: Any, got: Any) -> str:
    """The two values that differ.

    >>> pair(1.0, 2.0), pair(1.0, 1.0 + 1e-9)
    ('expected 1, got 2', 'expected 1.0, got 1.000000001')
    """
    left, right = show(expected), show(got)
    if left == right:  # the difference hides behind the rounding
        left, right = repr(float(expected)), repr(float(got))
    return f"expected {left}, got {right}"


def at(name: str, index: Any) -> str:
    """An entry of the array called `name`, which may be a phrase.

    >>> at("y", (0, 1)), at("y, blocks of [2, 2]", (0, 1)), at("norm", ())
    ('y[0, 1]', 'y, blocks of [2, 2], at [0, 1]', 'norm')
    """
    if len(index) == 0:
        return name
    place = "[" + ", ".join(str(int(i)) for i in index) + "]"
    return name + place if re.fullmatch(r"[\w.]+(\[\S*\])*", name) else f"{name}, at {place}"
