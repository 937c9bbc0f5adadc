"""What a tokenizer is made of. Each kind of tokenizer is a function that returns these parts; so does each file format.

text     added tokens cut it; what lies between them is normalised        AddedTokens
segments spaces are put where the kind wants them, then words are cut     Splitter
words    pieces of words become ids                                       Encoder
ids      their bytes and names                                            Vocabulary
ids      back to text                                                     Decoder
a text   what begins and ends it                                          Ends
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .added_tokens import AddedTokens, Segment
from .ends import Ends
from .vocabulary import Vocabulary


class Splitter(Protocol):
    """Cuts text into words."""

    @property
    def pattern(self) -> str | None:
        """What it is called, if it has a name."""

    @property
    def can_stream(self) -> bool:
        """Is it known where a text may be cut?"""

    def spaced(self, found: Iterable[Segment]) -> Iterable[Segment]:
        """The segments of a whole text with spaces where this kind puts some before or between them."""

    def split(self, text: str) -> Any:
        """The words of a stretch of text, as the encoder beside takes them."""

    def last_cut(self, text: str, low: int, high: int, *, at_spaces_only: bool = False) -> int:
        """The greatest position in (low, high] where the text may be cut; 0 if there is none."""


class Encoder(Protocol):
    """Words to ids. merges: (m, 3) ids (left, right, result), oldest first; none where the kind has none."""

    merges: np.ndarray

    def __call__(self, words: Any, allowed: frozenset[str] = frozenset()) -> np.ndarray:
        """The ids of words one after the other, (n,) int32. allowed: special tokens that words may become."""


class Decoder(Protocol):
    """Ids to text.

    incremental: may it be given ids piece by piece, or can what follows change what came before?
    replace:     Python's name for what "replace" does with bytes that are no UTF-8
    """

    incremental: bool
    replace: str

    def spell(self, numbers: list[int], skip: bool, beginning: bool) -> tuple[bytes, bool]:
        """The bytes of ids, and whether what follows is a beginning still. skip: leave special tokens out."""


@dataclass(frozen=True)
class Parts:
    """One tokenizer. kind: "byte-level", "sentencepiece" or "pipeline", which decides how it is written to a file."""

    kind: str
    splitter: Splitter
    encoder: Encoder
    vocabulary: Vocabulary
    decoder: Decoder
    ends: Ends

    @property
    def added(self) -> AddedTokens:
        """The added tokens, and the normaliser of what lies between them."""
        return self.vocabulary.added
