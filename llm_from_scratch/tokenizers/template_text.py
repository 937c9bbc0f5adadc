"""Text that knows where each of its characters came from: out of a message, or from the template itself.

What a user writes must never become a special token: otherwise "<|im_end|>" in a question would end the question and
let it speak as the system. Marks put into the text beforehand would change what a template computes (a length, a
strip) and are lost where it cuts and joins. So each character keeps its origin through everything that templates do
with text; afterwards a special token counts only where all of its characters are the template's own.

A text without any character of a message is a plain `str`; the functions here take both. Where an operation does not
say which character became which, all of its result counts as the message's if any part of what went in was.

The origin also tells messages apart, and what stands in {% generation %} … {% endgeneration %}: a character's byte is
0 for the template's own, SOME for a message's, or a number above that if the caller numbers them (`WHOSE` masks it),
plus BLOCK times 1, 2 or 3 inside such a block, so that one block differs from the next.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import regex

from .template_limits import WIDTH, LimitError, check_entries, check_size

SOME, WHOSE, BLOCK = 1, 63, 64
_OF_MESSAGE = bytes(bool(byte & WHOSE) for byte in range(256))
_GENERATED = [bytes(byte & WHOSE | BLOCK * (1 + number) for byte in range(256)) for number in range(3)]


class Text(str):
    """A text and the `origin` of each character: a byte, 1 where it came out of a message and 0 where not.

    >>> said = of_message("end|>")
    >>> both = joined(["<|", said])
    >>> both, both.origin
    ('<|end|>', b'\\x00\\x00\\x01\\x01\\x01\\x01\\x01')
    >>> type(cut(both, 0, 2))
    <class 'str'>
    """

    __slots__ = ("origin",)
    origin: bytes


class MessageInt(int):
    """A whole number out of a message, or computed from one: its digits are the message's."""

    __slots__ = ()


class MessageFloat(float):
    """A number out of a message, or computed from one."""

    __slots__ = ()


def with_origin(text: str, origin: bytes) -> str:
    """A Text, or a plain str if nothing in it is from a message."""
    if not any(origin):
        return str(text)
    made = Text(text)
    made.origin = origin
    return made


def of_message(text: str, whose: int = SOME) -> str:
    """A text all of whose characters are a message's."""
    return with_origin(text, bytes([whose]) * len(text))


def generated(text: str, number: int) -> str:
    """A text that stands in the template's generation block of this number."""
    return with_origin(text, origin(text).translate(_GENERATED[number % 3]))


def from_messages(text: str) -> bytes:
    """For each character 1 if it came out of a message, else 0."""
    return origin(text).translate(_OF_MESSAGE)


def origin(text: str) -> bytes:
    """The origin of each character."""
    return text.origin if isinstance(text, Text) else bytes(len(text))


def is_marked(value: Any) -> bool:
    """Is there anything from a message in this value?"""
    if isinstance(value, dict):
        return any(map(is_marked, value)) or any(map(is_marked, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(is_marked, value))
    return isinstance(value, (Text, MessageInt, MessageFloat))


def marked(value: Any, whose: int = SOME) -> Any:
    """A copy of what a message holds, all of it marked. TypeError for what JSON has no word for."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return of_message(value, whose)
    if isinstance(value, (int, float)):
        return MessageInt(value) if isinstance(value, int) else MessageFloat(value)
    if isinstance(value, Mapping):
        return {marked(key, whose): marked(inner, whose) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        made = [marked(inner, whose) for inner in value]
        return tuple(made) if type(value) is tuple else made
    raise TypeError(f"a template gets texts, numbers, lists and dictionaries, not {type(value).__name__}")


def kept(result: Any, *inputs: Any) -> Any:
    """A result that does not say which part of it came from where: a message's, if any input is."""
    if not any(map(is_marked, inputs)):
        return result
    return result if isinstance(result, Text) else marked(result)


def text_of(value: Any) -> str:
    """A value as it is printed."""
    return value if isinstance(value, str) else kept(str(value), value)


def joined(parts: Iterable[str], separator: str = "") -> str:
    """The parts as one text."""
    found, size = [], -len(separator)
    for part in parts:
        size += len(separator) + len(part)
        check_size(size)  # before the next one is made
        found.append(part)
    text = str(separator).join(found)
    if not any(isinstance(part, Text) for part in (separator, *found)):
        return text
    return with_origin(text, origin(separator).join(map(origin, found)))


def cut(text: str, start: int | None = None, stop: int | None = None, step: int | None = None) -> str:
    """text[start:stop:step]"""
    where = slice(start, stop, step)
    return with_origin(text[where], text.origin[where]) if isinstance(text, Text) else text[where]


def repeated(text: str, times: int) -> str:
    """text * times"""
    check_size(len(text) * times)
    return with_origin(str(text) * times, text.origin * times) if isinstance(text, Text) else text * times


def changed(text: str, change: Callable[[str], str]) -> str:
    """A text in other letters. Some become two ("ß" is "SS"): then it is not known which became which."""
    result = change(str(text))
    if isinstance(text, Text) and len(result) == len(text):
        return with_origin(result, text.origin)
    return kept(result, text)


def stripped(text: str, characters: str | None = None, *, left: bool = True, right: bool = True) -> str:
    """strip, lstrip, rstrip"""
    if characters is not None and len(characters) > 100:  # the time is the product of both lengths
        raise LimitError("it strips more than 100 characters, which could take very long")
    start = len(text) - len(text.lstrip(characters)) if left else 0
    stop = len(text.rstrip(characters)) if right else len(text)
    return cut(text, start, max(start, stop))


def replaced(text: str, old: str, new: str, count: int | None = -1) -> str:
    """text.replace(old, new, count)"""
    count = -1 if count is None else count
    found = text.count(old)
    times = found if count < 0 else min(found, count)
    check_size(len(text) + times * (len(new) - len(old)))
    result = str(text).replace(old, new, count)
    if not isinstance(text, Text) and not isinstance(new, Text):
        return result
    old_origin, new_origin, made, at, look = origin(text), origin(new), bytearray(), 0, 0
    for _ in range(times):
        place = text.index(old, look)
        made += old_origin[at:place] + new_origin
        at = place + len(old)
        look = max(place + 1, at)  # an empty `old` is found before each character
    return with_origin(result, bytes(made + old_origin[at:]))


def divided(text: str, separator: str | None = None, limit: int = -1, *, right: bool = False) -> list[str]:
    """split, and rsplit if `right`"""
    if separator is not None:
        check_search(separator, right)
        check_entries(text.count(separator) if separator else 0)
    pieces = (str(text).rsplit if right else str(text).split)(separator, limit)
    check_entries(len(pieces))
    return _found_again(text, pieces, len(separator or ""))


def lines(text: str, keepends: bool = False) -> list[str]:
    """text.splitlines(keepends)"""
    check_entries(text.count("\n"))
    pieces = str(text).splitlines(True)
    check_entries(len(pieces))
    whole = _found_again(text, pieces)
    return whole if keepends else [cut(a, 0, len(b)) for a, b in zip(whole, str(text).splitlines(), strict=True)]


def parted(text: str, separator: str, *, right: bool = False) -> tuple[str, ...]:
    """partition, and rpartition if `right`"""
    check_search(separator, right)
    return tuple(_found_again(text, list((str(text).rpartition if right else str(text).partition)(separator))))


def check_search(sought: Any, backwards: bool = True) -> None:
    """Searching backwards takes the product of both lengths in the worst case, forwards their sum."""
    if backwards and isinstance(sought, str) and len(sought) > 100:
        raise LimitError("it searches backwards for more than 100 characters, which could take very long")


def padded(text: str, width: int, fill: str = " ", *, side: str = "left") -> str:
    """ljust, center and rjust: side says where the text stands."""
    check_size(width)
    if len(fill) != 1:
        raise TypeError("texts are filled with one character")
    missing = max(0, width - len(text))
    before = {"left": 0, "center": missing // 2 + (missing & width & 1), "right": missing}[side]
    return joined([repeated(fill, before), text, repeated(fill, missing - before)])


def _found_again(text: str, pieces: list[str], gap: int = 0) -> list[str]:
    """The pieces of a text with their origin: in their order, `gap` characters between one and the next, or spaces."""
    if not isinstance(text, Text):
        return pieces
    found, at = [], 0
    for piece in pieces:
        at = text.index(piece, at)
        found.append(cut(text, at, at + len(piece)))
        at += len(piece) + gap
    return found


_CONVERSION = regex.compile(r"%(?:\(([^)]*)\))?([#0 +-]*)(\d*)(?:\.(\d*))?[hlL]?(.)", regex.DOTALL)


def percent(form: str, values: Any) -> str:
    """form % values"""
    return joined(_percent(form, values))


def _percent(form: str, values: Any) -> Iterator[str]:
    at, waiting = 0, list(values)[::-1] if isinstance(values, tuple) else [values]
    for match in _CONVERSION.finditer(str(form)):
        yield cut(form, at, match.start())
        at = match.end()
        key, flags, width, precision, kind = match.groups()
        if kind == "%":
            yield cut(form, match.start(), match.start() + 1)
            continue
        if kind not in "diouxXeEfFgGcrsa":
            raise ValueError(f"unsupported format {match[0]!r}")
        if key is None and not waiting:
            raise TypeError("not enough values for the format")
        value = waiting.pop() if key is None else values[key]
        if kind == "s":
            value = text_of(value)
        if kind == "s" and not flags + width and precision is None:
            yield value
            continue
        conversion = f"%{flags}{_small(width)}{'' if precision is None else '.' + _small(precision)}{kind}"
        yield kept(conversion % (value,), value, form)
    rest = cut(form, at)
    if "%" in rest:
        raise ValueError("incomplete format")
    if waiting and isinstance(
        values, (tuple, str, int, float, type(None))
    ):  # as Python: what has keys may be left over
        raise TypeError("not all values are used by the format")
    yield rest


def formatted(form: str, find: Callable[[str], Any]) -> str:
    """form.format(…); `find` gives the value of a field. A form with anything from a message in it is a message's."""
    return joined(_formatted(form, find))


def _formatted(form: str, find: Callable[[str], Any]) -> Iterator[str]:
    for literal, field, spec, conversion in string.Formatter().parse(str(form)):
        yield kept(literal, form)
        if field is None:
            continue
        value = find(field)
        if conversion:
            value = text_of(value) if conversion == "s" else kept(repr(value), value)
        if not spec:
            yield text_of(value)
            continue
        plain = formatted(spec, find)  # which may hold fields itself
        for number in regex.findall(r"\d+", plain):
            _small(number)
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"{type(value).__name__} takes no format {plain!r}")
        yield kept(format(value, plain), value, plain, form)


def _small(number: str) -> str:
    if len(number) > 5 or int(number or 0) > WIDTH:
        raise LimitError(f"a format asks for more than {WIDTH:,} characters")
    return number
