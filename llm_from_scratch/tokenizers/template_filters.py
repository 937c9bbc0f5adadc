"""The filters and tests of chat templates, as in Jinja (jinja.palletsprojects.com, templates).

Texts keep their origin (`template_text`), and nothing may grow without bound (`template_limits`). A filter is called
with what evaluates expressions first, for those that call others.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from jinja2.runtime import Undefined
from jinja2.tests import TESTS as _TESTS

from . import template_text as tt
from .template_limits import LimitError, check_entries, check_size
from .template_scope import Evaluator
from .template_text import cut, joined, kept, text_of
from .template_values import METHODS, entries


def _found(sandbox: Evaluator, value: Any, attribute: Any, default: Any = None) -> Any:
    """The attribute of a value, "a.b" that of its attribute."""
    sandbox.budget.step()
    if attribute is None:
        return value
    for part in str(attribute).split(".") if isinstance(attribute, str) else [attribute]:
        value = sandbox.item(value, int(part) if isinstance(part, str) and part.isdigit() else part)
        if isinstance(value, Undefined) and default is not None:
            value = default
    return value


def _ordering(sandbox: Evaluator, attribute: Any, case_sensitive: bool) -> Callable[[Any], Any]:
    def key(value: Any) -> Any:
        found = _found(sandbox, value, attribute)
        return found.lower() if isinstance(found, str) and not case_sensitive else found

    return key


def _sort(
    sandbox: Evaluator, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list:
    names = attribute.split(",") if isinstance(attribute, str) else [attribute]
    keys = [_ordering(sandbox, name, case_sensitive) for name in names]
    return sorted(entries(value), key=lambda entry: [key(entry) for key in keys], reverse=bool(reverse))


def _dictsort(
    sandbox: Evaluator, value: dict, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list:
    key = _ordering(sandbox, {"key": 0, "value": 1}[by], case_sensitive)
    return sorted(_items(sandbox, value), key=key, reverse=bool(reverse))


def _unique(sandbox: Evaluator, value: Any, case_sensitive: bool = False, attribute: Any = None) -> list:
    key, seen, made = _ordering(sandbox, attribute, case_sensitive), set(), []
    for entry in entries(value):
        if (known := key(entry)) not in seen:
            seen.add(known)
            made.append(entry)
    return made


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def run(sandbox: Evaluator, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
        found = entries(value)
        key = _ordering(sandbox, attribute, case_sensitive)
        return choose(found, key=key) if found else Undefined("there is nothing in the list")

    return run


def _map(sandbox: Evaluator, value: Any, *arguments: Any, **settings: Any) -> list:
    if not value:
        return []
    if not arguments:
        return [_found(sandbox, e, settings["attribute"], settings.get("default")) for e in entries(value)]
    return [sandbox.filtered(arguments[0], entry, *arguments[1:], **settings) for entry in entries(value)]


def _choosing(wanted: bool, by_attribute: bool) -> Callable[..., list]:
    """select, reject, selectattr and rejectattr."""

    def run(sandbox: Evaluator, value: Any, *arguments: Any, **settings: Any) -> list:
        attribute, *test = arguments if by_attribute else (None, *arguments)
        made = []
        for entry in entries(value) if value else ():
            found = _found(sandbox, entry, attribute)
            if bool(sandbox.tested(*test[:1], found, *test[1:], **settings) if test else found) == wanted:
                made.append(entry)
        return made

    return run


def _batch(sandbox: Evaluator, value: Any, linecount: int, fill_with: Any = None) -> list:
    found = entries(value)
    check_entries(linecount)
    made = [found[at : at + linecount] for at in range(0, len(found), linecount)]
    if made and fill_with is not None:
        made[-1] += [fill_with] * (linecount - len(made[-1]))
    return made


def _slice(sandbox: Evaluator, value: Any, slices: int, fill_with: Any = None) -> list:
    found = entries(value)
    check_entries(slices)
    size, longer = divmod(len(found), slices)
    made, at = [], 0
    for number in range(slices):
        end = at + size + (number < longer)
        made.append(found[at:end] + [fill_with] * (fill_with is not None and number >= longer))
        at = end
    return made


def _items(sandbox: Evaluator, value: Any) -> list:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise TypeError(f"items is of a dictionary, not of a value of type {type(value).__name__}")
    return list(value.items())


def _default(sandbox: Evaluator, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _first(sandbox: Evaluator, value: Any) -> Any:
    found = [cut(value, 0, 1)] if isinstance(value, str) and value else entries(value)
    return found[0] if found else Undefined("there is nothing in the list")


def _last(sandbox: Evaluator, value: Any) -> Any:
    found = [cut(value, -1)] if isinstance(value, str) and value else entries(value)
    return found[-1] if found else Undefined("there is nothing in the list")


def _reverse(sandbox: Evaluator, value: Any) -> Any:
    return cut(value, None, None, -1) if isinstance(value, str) else entries(value)[::-1]


def _joined(sandbox: Evaluator, value: Any, d: Any = "", attribute: Any = None) -> str:
    return joined((text_of(_found(sandbox, entry, attribute)) for entry in entries(value)), text_of(d))


def _sum(sandbox: Evaluator, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    found = [_found(sandbox, entry, attribute) for entry in entries(value)]
    if not all(isinstance(number, (int, float)) for number in (start, *found)):
        raise ValueError("sum is of numbers; lists and texts are joined by + or ~")
    return kept(sum(found, start), found, start)


def _round(sandbox: Evaluator, value: Any, precision: int = 0, method: str = "common") -> Any:
    if method not in ("common", "ceil", "floor"):
        raise ValueError("the method of round is common, ceil or floor")
    if not isinstance(value, (int, float)) or not isinstance(precision, int) or abs(precision) > 300:
        raise ValueError("round is of a number, to at most 300 places")
    if method == "common":
        return kept(round(value, precision), value)
    return kept(getattr(math, method)(value * 10**precision) / 10**precision, value)


def _number(kind: type, value: Any, default: Any, *base: int) -> Any:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if not isinstance(value, (str, int, float)) or (isinstance(value, str) and len(value) > 400):
        return default
    for convert in (lambda: kind(value, *base) if isinstance(value, str) else kind(value), lambda: kind(float(value))):
        try:
            return kept(convert(), value)
        except (ValueError, OverflowError):
            continue
    return default


def _to_json(
    sandbox: Evaluator, value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
    sort_keys: bool = False,
) -> str:  # fmt: skip
    step = indent if isinstance(indent, str) else " " * min(indent or 0, 101)
    if len(step) > 100 or len("".join(separators or ())) > 100:
        raise LimitError("tojson indents or separates by more than 100 characters")
    made = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    return kept(made, value, indent, separators)


def _title(text: str) -> str:
    words = re.split(r"([-\s({\[<]+)", text)
    return "".join(word[0].upper() + word[1:].lower() for word in words if word)


def _indent(sandbox: Evaluator, s: str, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    step = width if isinstance(width, str) else tt.repeated(" ", width)
    found = tt.lines(joined([s, "\n"]))
    check_size(len(s) + len(found) * len(step))
    for number, line in enumerate(found):
        if first if number == 0 else line or blank:
            found[number] = joined([step, line])
    return joined(found, "\n")


def _truncate(
    sandbox: Evaluator, s: str, length: int = 255, killwords: bool = False, end: str = "...", leeway: int = 5
) -> str:
    if length < len(end):
        raise ValueError(f"truncate to {length} characters leaves no room for {end!r}")
    if len(s) <= length + leeway:
        return s
    shorter = cut(s, 0, length - len(end))
    return joined([shorter if killwords else tt.divided(shorter, " ", 1, right=True)[0], end])


def _escape(sandbox: Evaluator, value: Any) -> str:
    text = text_of(value)
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ('"', "&#34;")):
        text = tt.replaced(text, sign, kept(name, text))
    return text


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda sandbox, value, *arguments, **settings: function(text_of(value), *arguments, **settings)


def _only_text(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(sandbox: Evaluator, value: Any, *arguments: Any, **settings: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError(f"this filter is of texts, not of a value of type {type(value).__name__}")
        return function(sandbox, value, *arguments, **settings)

    return run


def _length(sandbox: Evaluator, value: Any) -> int:
    return len(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda sandbox, value: kept(abs(value), value),
    "attr": lambda sandbox, value, name: sandbox.attribute(value, name, items=False),
    "batch": _batch,
    "capitalize": _of_text(METHODS[str]["capitalize"]),
    "center": _of_text(lambda text, width=80: tt.padded(text, width, side="center")),
    "count": _length,
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "e": _escape,
    "escape": _escape,
    "first": _first,
    "float": lambda sandbox, value, default=0.0: _number(float, value, default),
    "format": _of_text(lambda form, *values, **named: tt.percent(form, named or values)),
    "indent": _only_text(_indent),
    "int": lambda sandbox, value, default=0, base=10: _number(int, value, default, base),
    "items": _items,
    "join": _joined,
    "last": _last,
    "length": _length,
    "list": lambda sandbox, value: entries(value),
    "lower": _of_text(METHODS[str]["lower"]),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "reject": _choosing(False, False),
    "rejectattr": _choosing(False, True),
    "replace": _of_text(lambda text, old, new, count=-1: tt.replaced(text, text_of(old), text_of(new), count)),
    "reverse": _reverse,
    "round": _round,
    "safe": lambda sandbox, value: text_of(value),
    "select": _choosing(True, False),
    "selectattr": _choosing(True, True),
    "slice": _slice,
    "sort": _sort,
    "string": lambda sandbox, value: text_of(value),
    "sum": _sum,
    "title": _of_text(lambda text: tt.changed(text, _title)),
    "tojson": _to_json,
    "trim": _of_text(tt.stripped),
    "truncate": _only_text(_truncate),
    "unique": _unique,
    "upper": _of_text(METHODS[str]["upper"]),
    "wordcount": _of_text(lambda text: len(re.findall(r"\w+", text))),
}
"""The filters by name, called as filter(evaluator, value, …): what `value | name(…)` is."""
TESTS: dict[str, Callable[..., Any]] = {
    **{name: test for name, test in dict[str, Any](_TESTS).items() if name not in ("filter", "test", "escaped")},
    "lower": lambda value: text_of(value).islower(),
    "upper": lambda value: text_of(value).isupper(),
}
"""The tests by name, called as test(value, …): what `value is name(…)` is; those of Jinja but for three."""
