"""What a tokenizer knows about its ids: their bytes, and their names as files write them."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from .added_tokens import AddedTokens
from .byte_level import to_bytes, to_characters


class Vocabulary:
    """Tokens by id.

    tokens: the bytes of each id; an id without any is a gap
    ids:    of the ordinary tokens, by their bytes
    added:  the tokens beside them
    names:  as the file has them; None: the bytes in the byte-level alphabet
    size:   at least as many ids (the last ones may be gaps)

    >>> from llm_from_scratch.tokenizers.added_tokens import AddedToken
    >>> vocabulary = Vocabulary({0: b" a", 2: b"<s>"}, {b" a": 0}, AddedTokens([AddedToken("<s>", 2)]))
    >>> len(vocabulary), vocabulary.name(0), vocabulary.number("Ġa"), vocabulary.number("<s>")
    (3, 'Ġa', 0, 2)
    >>> vocabulary.name(1)
    Traceback (most recent call last):
    ValueError: id 1 is a gap: this vocabulary has no token with that id
    """

    def __init__(
        self,
        tokens: Mapping[int, bytes],
        ids: Mapping[bytes, int],
        added: AddedTokens,
        names: Mapping[int, str] | None = None,
        size: int = 0,
    ):
        if not tokens or min(tokens) < 0:
            raise ValueError("a tokenizer needs tokens with ids from 0 on")
        self.bytes: list[bytes | None] = [None] * max(size, max(tokens) + 1)
        for number, token in tokens.items():
            self.bytes[number] = token
        self.ids, self.added, self.special = ids, added, frozenset(added.special.values())
        self._names = names

    def __len__(self) -> int:
        return len(self.bytes)

    def spelt(self, number: int) -> bytes:
        """The bytes of an id. ValueError for a gap."""
        token = self.bytes[number]
        if token is None:
            raise _gap(number)
        return token

    def name(self, number: int) -> str:
        """The name of an id. ValueError for a gap."""
        if number in self.added.by_id:
            return self.added.by_id[number].content
        if self._names is None:
            return to_characters(self.spelt(number))
        if number not in self._names:
            raise _gap(number)
        return self._names[number]

    def number(self, token: str | bytes) -> int | None:
        """The id of a token by its bytes or its name, or None."""
        if isinstance(token, bytes):
            return self.ids.get(token)
        if token in self.added.by_content:
            return self.added.by_content[token].id
        if self._names is None:
            spelt = to_bytes(token)
            return None if spelt is None else self.ids.get(spelt)
        return self._numbers.get(token)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in (self._names or {}).items()}

    def byte_lengths(self) -> np.ndarray:
        """How many bytes each token stands for, (size,) int32, special tokens 0."""
        lengths = [0 if number in self.special else len(token or b"") for number, token in enumerate(self.bytes)]
        return np.array(lengths, np.int32)


def _gap(number: int) -> ValueError:
    return ValueError(f"id {number} is a gap: this vocabulary has no token with that id")
