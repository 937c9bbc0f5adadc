"""What reading hands to cleaning: a document as bytes with its place, or what could not be one and why.

`decoded` makes a text of the bytes. It is a worker's business: of what is read in order, it is what takes time.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

import regex

from .html import decode_html

TEXT, HTML, JSON = "text", "html", "json"
Cursor = tuple[int, int, int, int]
"""Where reading goes on: number of the input, of its file, byte in that file, documents of that file before it."""

_ENCODINGS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16",
              b"%PDF": "PDF", b"PK\x03\x04": "a zip archive"}  # fmt: skip
_MARKUP = regex.compile(  # a comment ends at its first end: else there were twice as many ways with each comment
    r"\s*+(?:<\?xml[^>]*+>\s*+)?(?><!--.*?-->\s*+)*+<(?:!doctype\s+html|html[\s>])", regex.IGNORECASE | regex.DOTALL
)
_NESTED = 300
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Record:
    """place: for people; origin: what it is counted under; offset: of its first byte in the file; cursor: after it."""

    place: str
    origin: str
    kind: str
    data: bytes
    offset: int
    cursor: Cursor

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)


@dataclass(frozen=True)
class Skipped:
    """What is no document. reason: of a few kinds, for counting; detail: of this one, for people."""

    place: str
    origin: str
    reason: str
    detail: str
    size: int
    cursor: Cursor


@dataclass(frozen=True)
class Decoded:
    """row: the object that the text came in, if it came in one, so that its other entries are kept."""

    text: str
    markup: bool
    row: dict[str, Any] | None = None


def decoded(record: Record) -> Decoded | tuple[str, str]:
    r"""The text of a record; or reason and detail why there is none.

    Line ends become "\n" and a byte-order mark is dropped; nothing else changes. HTML is read in the encoding that it
    is in (`html.decode_html`). Anything else is UTF-8: what is not is skipped, since a text full of replacement
    characters teaches those.

    >>> decoded(Record("a", "a", TEXT, b"one\r\ntwo", 0, (0, 0, 8, 1)))
    Decoded(text='one\ntwo', markup=False, row=None)
    >>> decoded(Record("a", "a", TEXT, b"caf\xe9", 100, (0, 0, 4, 1)))
    ('not UTF-8', 'byte 0xe9 at offset 103')
    """
    if record.kind == HTML:
        page = decode_html(record.data)
        return ("binary", "a zero in a page of HTML") if "\0" in page else Decoded(_lines(page), True)
    found = no_text(record.data, record.offset)
    if found is not None:
        return found
    if record.kind == JSON:
        return _from_json(record)
    try:
        text = _lines(record.data.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        return _not_utf8(error, record.offset)
    return Decoded(text, is_markup(text))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def no_text(data: bytes, offset: int = 0, *, zeros: bool = True) -> tuple[str, str] | None:
    """Reason and detail, if these bytes are no text in any encoding that is read; else None. zeros: look for them."""
    for begin, what in _ENCODINGS.items():
        if offset == 0 and data.startswith(begin):
            return "binary", f"{what}, not text" + (": convert it to UTF-8" if "UTF" in what else "")
    zero = data.find(b"\0") if zeros else -1
    return None if zero < 0 else ("binary", f"byte 0x00 at offset {offset + zero}")


def is_markup(text: str) -> bool:
    """Does it begin as a page of HTML does?"""
    return _MARKUP.match(text[:4096]) is not None


def _from_json(record: Record) -> Decoded | tuple[str, str]:
    try:
        row = json.loads(record.data.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_finite)
    except UnicodeDecodeError as error:
        return _not_utf8(error, record.offset)
    except json.JSONDecodeError as error:
        return "not JSON", f"column {error.colno}: {error.msg}"
    except (ValueError, RecursionError) as error:
        return "not JSON", str(error)
    if not isinstance(row, dict):
        return "no text", f'expected an object with a text in the entry "text", got {json.dumps(row)[:80]}'
    text = row.get("text")
    if not isinstance(text, str):
        found = json.dumps(text)[:80] if "text" in row else ", ".join(row)[:200] or "an empty object"
        return "no text", f'expected a text in the entry "text", found {found}'
    if max(record.data.count(b"["), record.data.count(b"{")) > _NESTED:
        try:
            json.dumps(row)
        except RecursionError:  # can be read, just, and not be written
            return "not JSON", "nested too deeply"
    if b"\\u" in record.data and _SURROGATE.search(json.dumps(row, ensure_ascii=False)):
        return "not UTF-8", "half a character (a lone surrogate)"
    if not text or text.isspace():
        return "no text", "it is empty" if not text else "it is white space alone"
    return Decoded(text, is_markup(text), row)


def _not_utf8(error: UnicodeDecodeError, offset: int) -> tuple[str, str]:
    return "not UTF-8", f"byte {error.object[error.start]:#04x} at offset {offset + error.start}"


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):  # as would be written as Infinity, which is no JSON
        raise ValueError(f"the number {digits:.40} is too large")
    return number
