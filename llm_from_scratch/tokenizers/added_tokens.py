"""Tokens that stand beside the merges: special tokens and other whole strings with an id of their own.

A special token ("<|endoftext|>") steers the model. Written in a text it is plain characters unless the caller
allows it: otherwise a user's text could end a document or speak as somebody else. Other added tokens (GPT-NeoX's
runs of spaces) are ordinary text and always recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import regex

from .normalizers import WHITE_SPACE, Normalizer

_WORD = regex.compile(r"\w")


@dataclass(frozen=True)
class AddedToken:
    """One added token, its flags as `tokenizer.json` has them.

    normalized:     looked for after the others, in the normalised text, where it stands in its normalised form
    single_word:    found only between signs that are no letters, digits or underscores
    lstrip, rstrip: takes the white space to its left or right with it
    """

    content: str
    id: int
    special: bool = True
    normalized: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False


Segment = tuple[str, int]
"""A stretch of plain text and -1, or the text at which an added token was found and its id."""

Span = tuple[int, int]
"""Where in a text something begins and ends."""

Accept = Callable[[int, int], bool]
"""Given where a special token was found in a text (start, end): may it be one here?"""


class AddedTokens:
    """Finds added tokens in text, the longest at the leftmost place.

    normalizer: what the tokenizer does to plain text; tokens that are `normalized` are looked for behind it

    >>> found = AddedTokens([AddedToken("<|end|>", 0), AddedToken("<|end|><|end|>", 1)])
    >>> found.segments("a<|end|><|end|>b<|end|>", found.choose("all"))
    [('a', -1), ('<|end|><|end|>', 1), ('b', -1), ('<|end|>', 0)]
    >>> found.segments("a<|end|>", found.choose(()))
    [('a<|end|>', -1)]
    """

    def __init__(self, tokens: Collection[AddedToken] = (), normalizer: Normalizer | None = None):
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
        self.normalizer = normalizer
        for token in tokens:
            if token.normalized and normalizer is not None and not normalizer(token.content):
                raise ValueError(f"the added token {token.content!r} is nothing once it is normalised")
        self._plain = frozenset(token.content for token in tokens if not token.special)
        self._special = frozenset(self.by_content) - self._plain
        self._matchers: dict[tuple[frozenset[str], bool], tuple[regex.Pattern, dict[str, AddedToken]] | None] = {}

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
        """Cut a text at added tokens and normalise what lies between them; empty stretches are left out.

        accept: asked about each special token found, by its place in the text; where it says no, a shorter token may
        begin there, or the text is plain. The place of a `normalized` token is what it was made of.
        """
        return [(plain, number) for plain, number, _ in self._found(text, contents, accept, accept is not None)]

    def located(
        self, text: str, contents: frozenset[str], accept: Accept | None = None
    ) -> Iterator[tuple[str, int, list[Span]]]:
        """`segments`, with the place in the text that each character of a segment was made of."""
        for plain, number, spans in self._found(text, contents, accept, True):
            assert spans is not None
            yield plain, number, spans

    def _found(
        self, text: str, contents: frozenset[str], accept: Accept | None, places: bool
    ) -> Iterator[tuple[str, int, list[Span] | None]]:
        for start, end, number in self._cut(text, contents, False, accept):
            spans: list[Span] | None = [(i, i + 1) for i in range(start, end)] if places else None
            if number >= 0:
                yield text[start:end], number, spans
                continue
            plain = text[start:end]
            if self.normalizer is not None and places:
                plain, spans = self.normalizer.aligned(plain, start)
            elif self.normalizer is not None:
                plain = self.normalizer(plain)
            inside = None if accept is None or spans is None else _through(accept, spans)
            for a, b, known in self._cut(plain, contents, True, inside):
                yield plain[a:b], known, None if spans is None else spans[a:b]

    def longest(self, contents: frozenset[str]) -> int:
        """How many characters must be seen from a position on to know what begins there."""
        stages = sum(self._matcher(contents, normalized) is not None for normalized in (False, True))
        return stages * max(map(len, contents), default=0)

    def can_stream(self, contents: frozenset[str]) -> bool:
        """Can a text be cut beside these tokens? Not if they look at what is around them, or at normalised text."""
        composed = self.normalizer is not None and self.normalizer.described == {"type": "NFC"}

        def moves(token: AddedToken) -> bool:
            # Composing letters leaves runs of spaces, GPT-NeoX's added tokens, where they are.
            return token.normalized and self.normalizer is not None and not (composed and token.content.isspace())

        return not any(
            token.lstrip or token.rstrip or token.single_word or moves(token)
            for token in map(self.by_content.__getitem__, contents)
        )

    def _matcher(
        self, contents: frozenset[str], normalized: bool
    ) -> tuple[regex.Pattern, dict[str, AddedToken]] | None:
        if (contents, normalized) not in self._matchers:
            chosen = [token for token in map(self.by_content.__getitem__, contents) if token.normalized == normalized]
            look = self.normalizer if normalized and self.normalizer is not None else str
            # Of two that look the same once normalised the later one counts.
            sought = {look(token.content): token for token in sorted(chosen, key=lambda token: token.id)}
            # The first alternative that fits wins, hence the longest first.
            pattern = "|".join(map(regex.escape, sorted(sought, key=len, reverse=True)))
            self._matchers[contents, normalized] = (regex.compile(pattern), sought) if sought else None
        return self._matchers[contents, normalized]

    def _cut(
        self, text: str, contents: frozenset[str], normalized: bool, accept: Accept | None
    ) -> Iterator[tuple[int, int, int]]:
        """Where added tokens and the plain stretches between them begin and end, and the id or -1."""
        matcher = self._matcher(contents, normalized)
        at = 0
        match = None if matcher is None else matcher[0].search(text)
        while matcher is not None and match is not None:
            (start, end), token = match.span(), matcher[1][match[0]]
            if token.single_word and (_word_at(text, start - 1) or _word_at(text, end)):
                match = matcher[0].search(text, end)
                continue
            if token.special and accept is not None and not accept(start, end):
                match = matcher[0].match(text, start, end - 1) or matcher[0].search(text, start + 1)
                continue
            match = matcher[0].search(text, end)
            if token.lstrip:
                while start > at and text[start - 1] in WHITE_SPACE:
                    start -= 1
                start = max(start, at)
            if token.rstrip:  # the next token may begin in what is taken here, as in the library
                while end < len(text) and text[end] in WHITE_SPACE:
                    end += 1
            if start > at:
                yield at, start, -1
            if end > start:
                yield start, end, token.id
            at = end
        if at < len(text):
            yield at, len(text), -1


def _word_at(text: str, place: int) -> bool:
    return 0 <= place < len(text) and _WORD.match(text[place]) is not None


def _through(accept: Accept, spans: list[tuple[int, int]]) -> Accept:
    """The question about a place in normalised text, as one about the text that its characters were made of."""

    def inside(start: int, end: int) -> bool:
        made_of = [span for span in spans[start:end] if span[0] < span[1]]
        return not made_of or accept(min(span[0] for span in made_of), max(span[1] for span in made_of))

    return inside
