"""What chat templates may do with values: the methods of texts, lists and dictionaries, and the operators.

A method is a row in METHODS and nothing else, so that no attribute of Python's can be reached.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

from jinja2.runtime import Undefined

from . import template_text as tt
from .template_limits import LimitError, check_entries
from .template_text import cut, joined, kept, text_of


def entries(value: Any) -> list[Any]:
    """What a loop over a value walks through."""
    if isinstance(value, str):
        check_entries(len(value))
        return [cut(value, at, at + 1) for at in range(len(value))]
    if isinstance(value, (list, tuple, dict, range, Undefined)):
        return list(value)
    raise TypeError(f"there is nothing to walk through in a value of type {type(value).__name__}")


# --- Methods --------------------------------------------------------------------------------------------------


def _plain(name: str) -> Callable[..., Any]:
    """A method of str whose result is no text."""
    method = getattr(str, name)

    def run(text: str, *arguments: Any) -> Any:
        tt.check_search(arguments[0] if arguments else None, name.startswith("r"))
        return method(text, *arguments)

    return run


def _recased(name: str) -> Callable[[str], str]:
    return lambda text: tt.changed(text, getattr(str, name))


def _without(text: str, affix: str, *, end: bool) -> str:
    if not affix or not (text.endswith(affix) if end else text.startswith(affix)):
        return text
    return cut(text, 0, len(text) - len(affix)) if end else cut(text, len(affix))


def _zero_filled(text: str, width: int) -> str:
    sign = len(text) and text[0] in "+-"
    return joined([cut(text, 0, sign), tt.padded(cut(text, sign), width - sign, "0", side="right")])


_TEXT: dict[str, Callable[..., Any]] = {
    **{name: _plain(name) for name in ("startswith", "endswith", "find", "rfind", "index", "rindex", "count")},
    **{name: _plain(name) for name in dir(str) if name.startswith("is")},
    **{name: _recased(name) for name in ("upper", "lower", "title", "capitalize", "swapcase", "casefold")},
    "strip": tt.stripped,
    "lstrip": lambda text, characters=None: tt.stripped(text, characters, right=False),
    "rstrip": lambda text, characters=None: tt.stripped(text, characters, left=False),
    "replace": tt.replaced,
    "split": lambda text, sep=None, maxsplit=-1: tt.divided(text, sep, maxsplit),
    "rsplit": lambda text, sep=None, maxsplit=-1: tt.divided(text, sep, maxsplit, right=True),
    "splitlines": tt.lines,
    "partition": tt.parted,
    "rpartition": lambda text, separator: tt.parted(text, separator, right=True),
    "removeprefix": lambda text, prefix: _without(text, prefix, end=False),
    "removesuffix": lambda text, suffix: _without(text, suffix, end=True),
    "ljust": lambda text, width, fill=" ": tt.padded(text, width, fill, side="left"),
    "rjust": lambda text, width, fill=" ": tt.padded(text, width, fill, side="right"),
    "center": lambda text, width, fill=" ": tt.padded(text, width, fill, side="center"),
    "zfill": _zero_filled,
}


def _join(text: str, parts: Any) -> str:
    found = entries(parts)
    for number, part in enumerate(found):
        if not isinstance(part, str):
            raise TypeError(f"join is of texts, entry {number} is of type {type(part).__name__}")
    return joined(found, text)


_TEXT["join"] = _join
METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    str: _TEXT,
    list: {"index": list.index, "count": list.count, "copy": list.copy},
    tuple: {"index": tuple.index, "count": tuple.count},
    dict: {
        "items": lambda value: list(value.items()),
        "keys": lambda value: list(value),
        "values": lambda value: list(value.values()),
        "get": dict.get,
        "copy": dict.copy,
    },
}


# --- Operators ------------------------------------------------------------------------------------------------

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": operator.truediv,
    "FloorDiv": operator.floordiv, "Mod": operator.mod, "Pow": operator.pow,
}  # fmt: skip
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le, "gt": operator.gt,
    "gteq": operator.ge, "in": lambda a, b: a in b, "notin": lambda a, b: a not in b,
}  # fmt: skip


def combined(name: str, left: Any, right: Any) -> Any:
    """left + right and so on; `name` is Jinja's for the operator."""
    if name == "Mod" and isinstance(left, str):
        return tt.percent(left, right)
    if name == "Add" and isinstance(left, str) and isinstance(right, str):
        return joined([left, right])
    if name == "Mul" and isinstance(left, int):
        left, right = right, left  # times what
    if name == "Mul" and isinstance(left, (str, list, tuple)) and isinstance(right, int):
        if isinstance(left, str):
            return tt.repeated(left, right)
        check_entries(len(left) * right)
    numbers = [side for side in (left, right) if isinstance(side, int)]
    if name == "Pow" and len(numbers) == 2 and right * left.bit_length() > 2_000:
        raise LimitError("it computes with numbers beyond all measure")
    result = _ARITHMETIC[name](left, right)
    return kept(result, left, right) if isinstance(result, (int, float)) else result


def negative(value: Any) -> Any:
    """-value"""
    return kept(-value, value)


def positive(value: Any) -> Any:
    """+value"""
    return kept(+value, value)


def summed(parts: Iterable[Any]) -> str:
    """a ~ b ~ …"""
    return joined(map(text_of, parts))
