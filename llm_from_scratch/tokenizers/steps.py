"""The steps of a pre-tokenizer as `tokenizer.json` names them: Split, Digits, Punctuation, ByteLevel.

Each step cuts strings into smaller strings. They are the general, slow way, in plain Python over `regex`; the
published patterns with a hand-written splitter do not pass through here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import regex

from ..kernels.splitting import SCHEMES
from .byte_level import to_characters

Step = Callable[[list[str]], list[str]]

BEHAVIOURS = ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")

# A set inside a set ("[^(\s|[.,!?])]", BLOOM) is a union for the library that reads tokenizer.json, and for `regex`
# only in its second version of the syntax.
_NESTED_SET = regex.compile(r"(?<!\\)(?:\\\\)*\[\^?(?:[^\]\[\\]|\\.)+\[(?!:)")


@functools.cache
def compile_pattern(pattern: str) -> regex.Pattern:
    r"""Compile a pattern with the meaning it has in `tokenizer.json`: `^` and `$` match at line ends, sets may nest.

    Raises ValueError for a pattern that `regex` cannot read.

    >>> compile_pattern(r" ?[^(\s|[.,!?])]+").findall("Hello (world)!")
    ['Hello', 'world']
    """
    flags = regex.MULTILINE
    if _NESTED_SET.search(pattern):
        flags |= regex.V1
        pattern = "(?-f)" + pattern if "(?i" in pattern else pattern  # V1 would also match ﬁ for fi
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise ValueError(
            f"the pre-tokenisation pattern {pattern!r} is not a valid regular expression: {error}"
        ) from None


def pieces(pattern: regex.Pattern, text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text into matches and what lies between them: (piece, is it a match). Empty matches are passed over."""
    at = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        if start == end:
            continue
        if start > at:
            yield text[at:start], False
        yield text[start:end], True
        at = end
    if at < len(text):
        yield text[at:], False


def arrange(found: Iterable[tuple[str, bool]], behaviour: str) -> list[str]:
    """What becomes of the matches.

    >>> found = [("a", False), ("-", True), ("-", True), ("b", False)]
    >>> [arrange(found, behaviour) for behaviour in BEHAVIOURS]  # doctest: +NORMALIZE_WHITESPACE
    [['a', '-', '-', 'b'], ['a', 'b'], ['a-', '-', 'b'], ['a', '-', '-b'], ['a', '--', 'b']]
    """
    if behaviour == "Isolated":
        return [piece for piece, _ in found]
    if behaviour == "Removed":
        return [piece for piece, matched in found if not matched]
    joined: list[str] = []
    before: bool | None = None
    for piece, matched in found:
        if behaviour == "MergedWithPrevious":
            join = matched and before is False
        elif behaviour == "MergedWithNext":
            join = not matched and before is True
        else:
            join = matched == before
        if join:
            joined[-1] += piece
        else:
            joined.append(piece)
        before = matched
    return joined


def _cut(pattern: regex.Pattern, behaviour: str, invert: bool = False) -> Step:
    def step(texts: list[str]) -> list[str]:
        return [
            piece
            for text in texts
            for piece in arrange(((p, matched != invert) for p, matched in pieces(pattern, text)), behaviour)
        ]

    return step


def _to_byte_level(texts: list[str]) -> list[str]:
    return [to_characters(text.encode("utf-8")) for text in texts]


def make_steps(described: list[dict[str, Any]]) -> list[Step]:
    """Functions for the steps that a `tokenizer.json` describes. ValueError names what is not supported."""
    steps: list[Step] = []
    byte_level = False
    for settings in described:
        kind = settings.get("type")
        if kind == "ByteLevel":
            if byte_level:
                raise ValueError("pre_tokenizer: two ByteLevel steps")
            if settings.get("add_prefix_space", True):
                steps.append(lambda texts: [text if text.startswith(" ") else " " + text for text in texts])
            if settings.get("use_regex", True):
                steps.append(_cut(compile_pattern(SCHEMES["gpt2"]), "Isolated"))
            steps.append(_to_byte_level)
            byte_level = True
        elif kind == "Split":
            steps.append(_cut(compile_pattern(split_pattern(settings)), *_behaviour(settings)))
        elif kind == "Digits":
            behaviour = "Isolated" if settings.get("individual_digits", False) else "Contiguous"
            steps.append(_cut(compile_pattern(r"\p{N}"), behaviour))
        elif kind == "Punctuation":
            steps.append(_cut(compile_pattern(r"[\p{P}$+<=>^`|~]"), *_behaviour(settings)))
        else:
            raise ValueError(
                f"pre_tokenizer step {kind!r} is not supported: expected ByteLevel, Split, Digits or Punctuation"
            )
    if not byte_level:
        raise ValueError("pre_tokenizer has no ByteLevel step: this is not a byte-level tokenizer")
    return steps


def _behaviour(settings: dict[str, Any]) -> tuple[str, bool]:
    behaviour = settings.get("behavior", "Isolated")
    if behaviour not in BEHAVIOURS:
        raise ValueError(f"pre_tokenizer behavior {behaviour!r} is not supported: expected one of {BEHAVIOURS}")
    return behaviour, bool(settings.get("invert", False))


def split_pattern(settings: dict[str, Any]) -> str:
    """The regular expression of a Split step, which may also name a plain string."""
    pattern = settings.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        return pattern["Regex"]
    if isinstance(pattern, dict) and isinstance(pattern.get("String"), str):
        return regex.escape(pattern["String"], special_only=True)
    raise ValueError(
        f"pre_tokenizer Split needs a pattern of the form {{'Regex': ...}} or {{'String': ...}}, got {pattern!r}"
    )
