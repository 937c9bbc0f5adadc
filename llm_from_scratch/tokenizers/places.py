"""Where in a text each token of it stands: what the `tokenizers` library calls offsets.

A tokenizer changes text on its way: letters are normalised, spaces put in front of words or taken away, "▁" written for
them. Each change is followed character by character, so that a token knows the part of the text as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .added_tokens import Accept, Span
from .borders import SPACE
from .byte_level import to_bytes
from .pieces import byte_of
from .steps import Steps, flat

if TYPE_CHECKING:
    from .tokenizer import Tokenizer


def encode_with_places(
    tokenizer: Tokenizer, text: str, accept: Accept | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids of a text, and where each begins and ends in it, in characters: three arrays (n,).

    Special tokens that the text spells are such, unless `accept` says no to their place (`AddedTokens.segments`).
    Tokens that share a character (its bytes) both have it; one that stands for nothing, such as a space put in front,
    has a place without length before what follows it. ValueError for a tokenizer whose tokens cannot be followed.

    >>> from llm_from_scratch.tokenizers import Tokenizer
    >>> tokenizer = Tokenizer.train("hello hello", 260, special_tokens=["<s>"])
    >>> ids, starts, ends = encode_with_places(tokenizer, "hello né<s>")
    >>> list(zip(starts.tolist(), ends.tolist()))
    [(0, 3), (3, 5), (5, 6), (6, 7), (7, 8), (7, 8), (8, 11)]
    """
    found = list(tokenizer.added_tokens.located(text, tokenizer.added_tokens.choose("all"), accept))
    ids: list[int] = []
    spans: list[Span] = []
    at, end = 0, 0  # the next segment of `found`, and where the one before it ended
    for made, number in tokenizer.parts.splitter.spaced([(plain, number) for plain, number, _ in found]):
        if number >= 0:
            while found[at][1] != number:  # what was nothing but spaces may be gone
                at += 1
        elif at == len(found) or found[at][1] >= 0:  # a space put in front of an added token
            new = _encoded(tokenizer, made)
            ids, spans = ids + new, spans + [(end, end)] * len(new)
            continue
        plain, _, places = found[at]
        at += 1
        if places:
            end = places[-1][1]
        if number >= 0:
            ids.append(number)
            spans.append((places[0][0], end))
            continue
        new = _encoded(tokenizer, made)
        made = _as_cut(tokenizer, made)
        ids, spans = ids + new, spans + _places(tokenizer, new, made, _followed(plain, made, places))
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    return np.array(ids, np.int64), starts, ends


def _encoded(tokenizer: Tokenizer, made: str) -> list[int]:
    return tokenizer.parts.encoder(tokenizer.parts.splitter.split(made)).tolist()


def _as_cut(tokenizer: Tokenizer, text: str) -> str:
    """The text as its words have it, which tokens are pieces of."""
    words = tokenizer.parts.splitter.split(text)
    if not isinstance(words, list):
        return words[0].tobytes().decode("utf-8")
    if _in_bytes(tokenizer):
        return b"".join(to_bytes(word) or b"" for word in words).decode("utf-8", "replace")
    return "".join(words)


def _in_bytes(tokenizer: Tokenizer) -> bool:
    splitter = tokenizer.parts.splitter
    return isinstance(splitter, Steps) and any(step.get("type") == "ByteLevel" for step in flat(splitter.described))


def _followed(plain: str, made: str, places: Sequence[Span]) -> list[Span]:
    """The place of each character of `made`, which is `plain` with spaces put in, taken away or written as "▁"."""
    for number in range(len(places) - 2, -1, -1):  # what a normaliser put in front, too, goes before what follows it
        if places[number][0] == places[number][1]:
            places = [*places[:number], (places[number + 1][0],) * 2, *places[number + 1 :]]
    spans, at = [], 0
    for character in made:
        found = plain.find(character, at)
        if character in (" ", SPACE):
            found = at if plain[at : at + 1] in (" ", SPACE) else -1
        elif found < 0 and plain[at : at + 1] == " ":
            found = at  # a space that is written as something else
        if found < 0:  # put in front
            edge = places[at][0] if at < len(plain) else places[-1][1]
            spans.append((edge, edge))
            continue
        spans.append(places[found])
        at = found + 1
    return spans


def _places(tokenizer: Tokenizer, ids: Sequence[int], made: str, spans: Sequence[Span]) -> list[Span]:
    """The place of each token of a stretch of text. What no token spells belongs to the unknown ones between."""
    data = made.encode("utf-8")
    owner = [number for number, character in enumerate(made) for _ in character.encode("utf-8")]
    found: list[Span] = []
    at = 0
    waiting = 0  # unknown tokens, which cover what lies before the next known one
    for number in ids:
        piece = _piece(tokenizer, number)
        start = data.find(piece, at + 1) if waiting else at
        if not piece or start < 0 or not data.startswith(piece, start):
            waiting += 1
            continue
        if waiting:
            found += _unknown(spans, owner, at, start, waiting)
            waiting = 0
        found.append(_span(spans, owner, start, start + len(piece)))
        at = start + len(piece)
    if waiting and at < len(data):
        found, at, waiting = found + _unknown(spans, owner, at, len(data), waiting), len(data), 0
    if at < len(data) or waiting:
        raise ValueError(
            f"this {tokenizer.parts.kind} tokenizer changes {made[:40]!r} on its way to tokens, so that nobody can say "
            "which token stands where"
        )
    return found


def _piece(tokenizer: Tokenizer, number: int) -> bytes:
    """What a token spells, with its spaces as the words have them."""
    if tokenizer.parts.kind != "pipeline":
        return tokenizer.parts.vocabulary.spelt(number)
    name = tokenizer.parts.vocabulary.name(number)
    byte = byte_of(name)
    if byte is not None:
        return bytes([byte])
    return (to_bytes(name) or b"") if _in_bytes(tokenizer) else name.encode("utf-8")


def _unknown(spans: Sequence[Span], owner: Sequence[int], start: int, end: int, count: int) -> list[Span]:
    """The places of so many unknown tokens in a row: a character each, or all of what they cover."""
    characters = range(owner[start], owner[end - 1] + 1)
    if len(characters) == count:
        return [spans[number] for number in characters]
    return [_span(spans, owner, start, end)] * count


def _span(spans: Sequence[Span], owner: Sequence[int], start: int, end: int) -> Span:
    parts = spans[owner[start] : owner[end - 1] + 1]
    return min(first for first, _ in parts), max(last for _, last in parts)
