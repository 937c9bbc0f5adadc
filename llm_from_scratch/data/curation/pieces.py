"""The words of a text as the rules of quality count them, and the checks that the settings of several rules share."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any, Literal

import regex

# Scripts that put no space between words: each of their characters, with its marks, counts as a word. They are named by
# their blocks, which are searched for eight times as fast as \p{Han} and its like.
_BLOCKS = (
    "\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # Japanese
    "\u3021-\u3029\u3038-\u303b\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese
)
SPACE = r"\s\x1c-\x1f"  # what str.split takes for white space
UNSPACED = re.compile(f"[{_BLOCKS}]")
WORD = rf"[{_BLOCKS}]\p{{M}}*|[^{SPACE}{_BLOCKS}]+"
_WORD = regex.compile(WORD)
_MANY = 100
_MARKS = regex.compile(rf"([\p{{M}}\uff9e\uff9f]{{{_MANY},}}+)")  # in NFKC those two are marks as well


def words(text: str) -> list[str]:
    """What stands between white space, punctuation included; in scripts without spaces, each character.

    >>> words("To be, or not\\tto be?")
    ['To', 'be,', 'or', 'not', 'to', 'be?']
    >>> words("他走了 home")
    ['他', '走', '了', 'home']
    """
    return text.split() if text.isascii() or not UNSPACED.search(text) else _WORD.findall(text)


def unicode_form(form: Literal["NFC", "NFKC"], text: str) -> str:
    """A text in a form of Unicode. A run of a hundred marks or more, which no language has, stays as it is.

    Marks are sorted, and that takes time with the square of the run: a run of a million would take hours.

    >>> unicode_form("NFC", "cafe\u0301")
    'caf\xe9'
    """
    if len(text) < _MANY or not _MARKS.search(text):
        return unicodedata.normalize(form, text)
    parts = _MARKS.split(text)  # every second is a run
    return "".join(part if place % 2 else unicodedata.normalize(form, part) for place, part in enumerate(parts))


def check_number(rule: str, name: str, value: Any, low: float = 0, high: float = math.inf, whole: bool = False) -> None:
    """Raise unless a setting of a rule is a number from `low` to `high`.

    >>> check_number("gopher", "most_bullets", 90, 0, 1)
    Traceback (most recent call last):
    ValueError: gopher: most_bullets is 90, expected a number from 0 to 1
    """
    kind = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise TypeError(f"{rule}: {name} is {value!r}, expected {kind}")
    if not low <= value <= high:
        bounds = f"from {low:g} up" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"{rule}: {name} is {value!r}, expected {kind} {bounds}")


def check_strings(rule: str, name: str, values: Any) -> tuple[str, ...]:
    """A setting that is several strings, none of them blank, as a tuple.

    >>> check_strings("language", "keep", "en")
    Traceback (most recent call last):
    TypeError: language: keep is 'en', expected several strings, such as ('en',)
    """
    if isinstance(values, str) or not isinstance(values, (tuple, list)):
        raise TypeError(f"{rule}: {name} is {values!r}, expected several strings, such as ({values!r},)")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise TypeError(f"{rule}: {name} holds {value!r}, expected strings that are not blank")
    return tuple(values)


def check_text(name: str, text: Any) -> str:
    """TypeError unless a rule was given a string."""
    if not isinstance(text, str):
        raise TypeError(f"{name} works on a text, a str; got {type(text).__name__}")
    return text
