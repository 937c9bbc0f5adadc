"""The rules that remember other texts: exact and near duplicates of what was kept.

Of texts that are alike the first stays. What is compared is computed beside the text (`key`, by whichever process has
it); what is remembered is in one place, and of texts that are kept alone, so that it can be read back from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .bands import check_threshold, choose_bands
from .exact import digest
from .index import DuplicateIndex
from .signatures import minhash, positive


@dataclass(frozen=True)
class Exact:
    """Texts that differ in white space alone, or in how Unicode writes a letter."""

    name: ClassVar[str] = "exact"
    does: ClassVar[str] = "removes a text that was there before, but for white space"
    reason: ClassVar[str] = "the text of an earlier document"

    def key(self, text: str) -> int:
        """What is equal for equal texts."""
        return digest(text)


@dataclass(frozen=True)
class Near:
    """Texts that share most of their runs of words (MinHash, see `index`).

    threshold: the Jaccard index from which two texts are alike; ngram: words in a run.
    """

    threshold: float = 0.8
    ngram: int = 5
    permutations: int = 128

    name: ClassVar[str] = "near"
    does: ClassVar[str] = "removes a text that shares most of its runs of words with an earlier one"
    reason: ClassVar[str] = "nearly the text of an earlier document"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        positive("ngram", self.ngram)
        choose_bands(self.threshold, self.permutations)

    def key(self, text: str) -> np.ndarray:
        """The low bits of a signature, all that the index compares."""
        return minhash(text, permutations=self.permutations, ngram=self.ngram).astype(np.uint16)


class Memory:
    """What the rules remember, in their order.

    >>> memory = Memory([Exact()])
    >>> [memory.place(number, [key]) for number, key in enumerate("aba")]
    [[('exact', None)], [('exact', None)], [('exact', 0)]]
    """

    def __init__(self, rules: Sequence[Exact | Near]) -> None:
        self._rules = list(rules)
        self._exact: dict[Any, int] = {}
        self._near = [
            DuplicateIndex(threshold=rule.threshold, permutations=rule.permutations)
            for rule in rules
            if isinstance(rule, Near)
        ]

    def place(self, number: int, keys: Sequence[Any]) -> list[tuple[str, int | None]]:
        """Each rule that looked, up to the first that knows such a text, with its number. If none does, it is kept."""
        told: list[tuple[str, int | None]] = []
        for rule, key in zip(self._rules, keys, strict=True):
            earlier = self._exact.get(key) if isinstance(rule, Exact) else self._near[0].place(number, key)
            told.append((rule.name, earlier))
            if earlier is not None:
                return told
        for rule, key in zip(self._rules, keys, strict=True):
            if isinstance(rule, Exact):
                self._exact[key] = number
        return told
