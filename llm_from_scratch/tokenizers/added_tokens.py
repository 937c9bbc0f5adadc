"""Tokens that stand beside the merges: special tokens and other whole strings with an id of their own.

A special token ("<|endoftext|>") steers the model. Written in a text it is plain characters unless the caller
allows it: otherwise a user's text could end a document or speak as somebody else. Other added tokens (GPT-NeoX's
runs of spaces) are ordinary text and always recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import regex


@dataclass(frozen=True)
class AddedToken:
    """One added token. `normalized` ones are looked for after the others, as `tokenizer.json` has it."""

    content: str
    id: int
    special: bool = True
    normalized: bool = False


Segment = tuple[str, int]
"""A stretch of plain text and -1, or the content of an added token and its id."""

Accept = Callable[[int, int], bool]
"""Given where a special token was found in a text (start, end): may it be one here?"""


class AddedTokens:
    """Finds added tokens in text, the longest at the leftmost place.

    >>> found = AddedTokens([AddedToken("<|end|>", 0), AddedToken("<|end|><|end|>", 1)])
    >>> found.segments("a<|end|><|end|>b<|end|>", found.choose("all"))
    [('a', -1), ('<|end|><|end|>', 1), ('b', -1), ('<|end|>', 0)]
    >>> found.segments("a<|end|>", found.choose(()))
    [('a<|end|>', -1)]
    """

    def __init__(self, tokens: Collection[AddedToken] = ()):
        self.by_content: dict[str, AddedToken] = {}
        for token in tokens:
            if not token.content:
                raise ValueError("an added token must not be empty")
            if token.content in self.by_content:
                raise ValueError(f"duplicate special or added token {token.content!r}: give each once")
            self.by_content[token.content] = token
        self.by_id = {token.id: token for token in tokens}
        if len(self.by_id) != len(self.by_content):
            raise ValueError("two added tokens have the same id")
        self._plain = frozenset(token.content for token in tokens if not token.special)
        self._matchers: dict[frozenset[str], list[regex.Pattern]] = {}

    @property
    def special(self) -> dict[str, int]:
        """Special tokens and their ids, in the order of ids."""
        ordered = sorted(self.by_id.values(), key=lambda token: token.id)
        return {token.content: token.id for token in ordered if token.special}

    def choose(self, allowed_special: Collection[str] | str) -> frozenset[str]:
        """The contents to look for: all that are not special, and the special ones that are allowed."""
        if allowed_special == "all":
            return frozenset(self.by_content)
        if isinstance(allowed_special, str):
            raise ValueError(
                f'allowed_special must be "all" or a collection of special tokens, got {allowed_special!r}: '
                "for one token pass a list of one"
            )
        chosen = frozenset(allowed_special)
        for content in chosen:
            if content not in self.by_content:
                raise ValueError(
                    f"allowed_special names {content!r}, which is not a special token of this tokenizer; "
                    f"it has {list(self.special)}"
                )
        return chosen | self._plain

    def segments(self, text: str, contents: frozenset[str], accept: Accept | None = None) -> list[Segment]:
        """Cut a text at added tokens; empty stretches are left out.

        accept: asked about each special token that is found; where it says no, a shorter token may begin there.
        """
        found: list[Segment] = [(text, -1)] if text else []
        for matcher in self._matchers_for(contents):
            at, before, found = 0, found, []
            for part, number in before:
                found += self._cut(part, at, matcher, accept) if number < 0 else [(part, number)]
                at += len(part)
        return found

    def longest(self, contents: frozenset[str]) -> int:
        """How many characters must be seen from a position on to know what begins there."""
        return len(self._matchers_for(contents)) * max(map(len, contents), default=0)

    def _matchers_for(self, contents: frozenset[str]) -> list[regex.Pattern]:
        if contents not in self._matchers:
            made = []
            for normalized in (False, True):
                # The first alternative that fits wins, hence the longest first.
                ordered = sorted((c for c in contents if self.by_content[c].normalized == normalized), key=len)
                if ordered:
                    made.append(regex.compile("|".join(map(regex.escape, reversed(ordered)))))
            self._matchers[contents] = made
        return self._matchers[contents]

    def _cut(self, text: str, offset: int, matcher: regex.Pattern, accept: Accept | None) -> Iterator[Segment]:
        at = 0
        match = matcher.search(text)
        while match is not None:
            start, end = match.span()
            token = self.by_content[match[0]]
            if token.special and accept is not None and not accept(offset + start, offset + end):
                match = matcher.match(text, start, end - 1) or matcher.search(text, start + 1)
                continue
            if start > at:
                yield text[at:start], -1
            yield match[0], token.id
            at = end
            match = matcher.search(text, at)
        if at < len(text):
            yield text[at:], -1
