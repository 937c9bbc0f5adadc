"""The sandbox that chat templates run in: jinja with what they use, and nothing that could reach out or grow.

A template is a program from a stranger. It gets no attributes but those of text and lists, no files, no includes; all
that it makes is weighed, as deep as it goes, and the clock is looked at on every line. Not a process of its own: what
runs in C for long (a search that takes the product of two lengths) is refused beforehand.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, ValuesView
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

SECONDS = 2.0  # a real template takes a millisecond
SIZE = 2_000_000  # characters and entries of one value, as deep as it goes
TOTAL = 20_000_000  # of all that a template makes

_STRING_METHODS = frozenset(
    "strip lstrip rstrip split rsplit splitlines startswith endswith upper lower title capitalize find rfind index "
    "count isdigit isalpha isspace isupper islower removeprefix removesuffix partition rpartition".split()
)
# Searches from behind, and for any of many characters, take time in proportion to both lengths multiplied.
_SQUARE = frozenset("strip lstrip rstrip rfind rindex rpartition rsplit".split())
_OTHER_METHODS = {dict: {"items", "keys", "values", "get"}, list: {"index", "count"}, tuple: {"index", "count"}}
_FILTERS = frozenset(
    "trim upper lower title capitalize length count first last default d list string int float items selectattr "
    "rejectattr select reject map sort unique reverse dictsort safe abs min max sum round".split()
)


class explained:
    """Turns whatever goes wrong inside a template into a ValueError that says so."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, _Refused):
            raise ValueError(f"the chat template refuses this conversation: {error}") from None
        if isinstance(error, RecursionError):
            raise ValueError(f"the chat template {self._what}: it calls itself without end") from None
        if isinstance(error, Exception):
            raise ValueError(f"the chat template {self._what}: {error or type(error).__name__}") from None


class _Refused(Exception):
    """The template called raise_exception."""


class _LimitError(Exception):
    """The template did too much."""


def in_time(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces, as long as making them takes less than SECONDS in all: every line of the template looks at the clock.

    A loop that prints nothing cannot be stopped from outside its thread, so the interpreter's tracing is used.
    """
    deadline = time.monotonic() + SECONDS

    def look(frame: Any, event: str, argument: Any) -> Any:
        if time.monotonic() > deadline:
            raise _LimitError(f"it was not done after {SECONDS:.0f} seconds")
        return None if frame.f_code is _weight.__code__ else look  # which ends by itself, and is slow if watched

    while True:
        before = sys.gettrace()
        sys.settrace(look)
        try:
            piece = next(pieces)
        except StopIteration:
            return
        finally:
            sys.settrace(before)
        yield piece


def check_size(size: int) -> None:
    if size > SIZE:
        raise _LimitError(f"it makes a text or list of more than {SIZE:,} entries")


def _weight(value: Any) -> int:
    """How many characters and entries a value has, those inside counted each time they occur; _LimitError above SIZE.

    Lists in lists can double at each step without taking memory, until somebody prints or compares them.
    """
    weight, waiting = 0, [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            weight += len(inner)
        elif isinstance(inner, (list, tuple, set, KeysView, ValuesView, ItemsView)):
            waiting.extend(inner)
        elif isinstance(inner, dict):
            waiting.extend(inner)
            waiting.extend(inner.values())
        elif isinstance(inner, Namespace):
            waiting.append(object.__getattribute__(inner, "_Namespace__attrs"))  # it gives away nothing else
        weight += 1
        if weight + len(waiting) > SIZE:
            break
    check_size(weight + len(waiting))
    return weight


class _Generator(CodeGenerator):
    """Compiles whatever makes a value without a call (a ~ b, literals, slices) to a call that looks at its size."""

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:
        self.write("environment.joined('', (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Any) -> None:
        self._made(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Any) -> None:
        self._made(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Any) -> None:
        if node.ctx == "load":
            self._made(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def visit_Getitem(self, node: nodes.Getitem, frame: Any) -> None:
        if isinstance(node.arg, nodes.Slice):
            self._made(super().visit_Getitem, node, frame)
        else:
            super().visit_Getitem(node, frame)

    def _made(self, visit: Callable[[Any, Any], None], node: nodes.Node, frame: Any) -> None:
        self.write("environment.made(")
        visit(node, frame)
        self.write(")")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with what chat templates use, and nothing that could reach out or grow without bound."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=["jinja2.ext.loopcontrols"],
            cache_size=0, finalize=self._printed,
        )  # fmt: skip
        self.total = 0
        self.filters = {name: function for name, function in self.filters.items() if name in _FILTERS}
        self.filters |= {
            "join": self._join_filter,
            "replace": self._replaced,
            "tojson": _to_json,
            "trim": _trimmed,
            "sum": _sum,
        }
        self.filters = {name: self._watched(function) for name, function in self.filters.items()}
        self.globals = {
            "namespace": self.globals["namespace"],
            "dict": dict,
            "range": _range,
            "raise_exception": _refuse,
            "strftime_now": lambda form: time.strftime(str(form)[:100]),
        }

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, names in ((str, _STRING_METHODS), *_OTHER_METHODS.items()):
            if isinstance(obj, kind):
                return attr in names
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        raise jinja2.exceptions.SecurityError(f"{attribute!r} of a {type(obj).__name__} is not allowed in a template")

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, str) and attribute == "replace":
            return lambda old, new, count=-1: self._replaced(obj, old, new, count)
        if isinstance(obj, str) and attribute == "join":
            return lambda parts: self.joined(obj, parts)
        if isinstance(obj, str) and attribute not in _STRING_METHODS:  # also `format`, which jinja would let through
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        both = isinstance(obj, str) and isinstance(argument, str)
        return self.getattr(obj, argument) if both else super().getitem(obj, argument)

    def made(self, value: Any) -> Any:
        """The value, counted among all that this rendering has made; _LimitError if that is too much."""
        self.total += _weight(value)
        if self.total > TOTAL:
            raise _LimitError(f"it makes more than {TOTAL:,} characters and entries in all")
        return value

    def joined(self, separator: str, parts: Iterable[Any]) -> str:
        """The parts as one text, if it is not too long."""
        texts = []
        size = 0
        for part in parts:
            _weight(part)
            texts.append(str(part))
            size += len(texts[-1]) + len(separator)
            check_size(size)
        return str(self.made(separator.join(texts)))

    def concat(self, pieces: Iterable[str]) -> str:  # type: ignore[override]
        """What a macro or a block gives: its pieces as one text."""
        return self.joined("", pieces)

    def _printed(self, value: Any) -> Any:
        _weight(value)
        return value

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # with jinja's own marks: which filters want the environment
        def watched(*arguments: Any, **settings: Any) -> Any:
            for argument in (*arguments, *settings.values()):
                _weight(argument)
            return self.made(function(*arguments, **settings))

        return watched

    def call(self, context: Any, function: Any, *arguments: Any, **settings: Any) -> Any:  # type: ignore[override]
        """Call a method of a text or list, a global or a macro."""
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if isinstance(owner, str) and name in _SQUARE and any(isinstance(a, str) and len(a) > 100 for a in arguments):
            raise _LimitError(f"{name} searches for more than 100 characters, which could take very long")
        result = super().call(context, function, *arguments, **settings)
        return result if isinstance(function, Macro) else self.made(result)

    def _join_filter(self, parts: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        chosen = parts if attribute is None else (self.getitem(part, attribute) for part in parts)
        return self.joined(str(separator), chosen)

    def _replaced(self, text: Any, old: str, new: str, count: int | None = -1) -> str:
        text = str(text)
        check_size(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
        return str(self.made(text.replace(old, new, -1 if count is None else count)))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if isinstance(side, (str, list, tuple)) else None for side in (left, right)]
        if operator == "%" and sizes[0] is not None:
            raise jinja2.exceptions.SecurityError("formatting with % is not allowed in a template: use ~")
        if operator == "+" and None not in sizes:
            check_size(sizes[0] + sizes[1])  # type: ignore[operator]
        elif operator == "*" and sizes != [None, None]:
            times = right if sizes[0] is not None else left
            check_size((sizes[0] if sizes[0] is not None else sizes[1]) * times)  # type: ignore[operator]
        elif operator in ("*", "**") and any(isinstance(side, int) and abs(side) > 2**31 for side in (left, right)):
            raise _LimitError("it computes with numbers beyond all measure")
        elif operator == "**" and abs(right) > 32:
            raise _LimitError("it computes with numbers beyond all measure")
        # A list times a number may hold the same large thing again and again: weighed before it is made.
        for side, times in ((left, right), (right, left)):
            if operator == "*" and isinstance(side, (str, list, tuple)) and isinstance(times, int):
                check_size(_weight(side) * times)
        return self.made(super().call_binop(context, operator, left, right))


def _range(*bounds: Any) -> range:
    numbers = range(*bounds)
    check_size(10 * len(numbers))
    return numbers


def _trimmed(text: Any, characters: str | None = None) -> str:
    if characters is not None and len(characters) > 100:
        raise _LimitError("trim takes off more than 100 characters")
    return str(text).strip(characters)


def _sum(numbers: Iterable[Any], attribute: str | None = None, start: Any = 0) -> Any:
    found = list(numbers if attribute is None else (number[attribute] for number in numbers))
    if not all(isinstance(number, (int, float)) for number in (start, *found)):
        raise ValueError("sum is of numbers; lists and texts are joined by + or ~")
    return sum(found, start)


def _refuse(message: Any) -> None:
    raise _Refused(str(message))


def _to_json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=None if indent is None else min(int(indent), 8))
    check_size(len(text))
    return text
