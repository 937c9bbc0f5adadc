"""SentencePiece-BPE on plain text: pieces, and encoding with byte fallback.

A piece is a string of characters, "▁" (U+2581) standing for a space. Text is taken character by character, then any two
neighbours that spell a piece may be joined, the piece with the highest score first. A character that no piece holds is
written as its UTF-8 bytes, each a piece of its own ("<0xE6>"), or as the unknown piece if the model has no such pieces.
Nothing here knows special tokens: see `sentencepiece.py`; spaces are put in `borders.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..kernels import bpe
from .borders import SPACE
from .encoding import Words, distinct


class Kind(enum.IntEnum):
    """What a piece is for; the numbers are those of `tokenizer.model` and of GGUF files."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """A piece as `tokenizer.model` lists it; its id is its place in the list."""

    text: str
    score: float = 0.0
    kind: Kind = Kind.NORMAL


def byte_of(text: str) -> int | None:
    """The byte that a piece such as "<0x0A>" names, or None.

    >>> byte_of("<0x0A>"), byte_of("<0x0a>"), byte_of("<s>")
    (10, None, None)
    """
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        digits = text[3:5]
        if all(digit in "0123456789ABCDEF" for digit in digits):
            return int(digits, 16)
    return None


def sort_pieces(
    pieces: Sequence[Piece], byte_fallback: bool
) -> tuple[dict[str, int], dict[str, float], dict[int, int], int | None]:
    """The pieces that text is made of: ids and scores of the normal ones, ids by byte, the id of the unknown one.

    ValueError for pieces that are empty or stand twice, two unknown ones, and bytes that are missing or misnamed.
    """
    ids: dict[str, int] = {}
    scores: dict[str, float] = {}
    byte_ids: dict[int, int] = {}
    unknown: int | None = None
    seen: set[str] = set()
    for number, piece in enumerate(pieces):
        if piece.kind == Kind.UNUSED:
            continue
        if piece.text in seen or not piece.text:
            raise ValueError(f"piece {number}, {piece.text!r}, " + ("is empty" if not piece.text else "stands twice"))
        seen.add(piece.text)
        if piece.kind == Kind.BYTE:
            byte = byte_of(piece.text)
            if byte is None:
                raise ValueError(f"piece {number}, {piece.text!r}, is marked as a byte and names none")
            byte_ids[byte] = number
        elif piece.kind == Kind.UNKNOWN:
            if unknown is not None:
                raise ValueError(f"pieces {unknown} and {number} are both marked as unknown")
            unknown = number
        elif piece.kind == Kind.NORMAL and " " not in piece.text:  # no text has spaces left for such a piece
            ids[piece.text], scores[piece.text] = number, piece.score
    if byte_fallback and len(byte_ids) < 256:
        missing = next(byte for byte in range(256) if byte not in byte_ids)
        raise ValueError(f"byte fallback needs a piece for each of the 256 bytes: <0x{missing:02X}> is missing")
    return ids, scores, byte_ids, unknown


def ranked_merges(pieces: Mapping[str, int], scores: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Every way to join two strings into a piece, the highest score first.

    pieces: the ids of the pieces that merges may make; scores: theirs. A character that occurs in a piece without being
    one itself gets an id behind the others -> merges (m, 3) int32 (left, right, result), ranks (m,) int32 (equal for
    equal scores), the characters with ids of their own.

    >>> ranked_merges({"a": 0, "b": 1, "ab": 2, "abc": 3}, {"a": -3.0, "b": -3.0, "ab": -2.0, "abc": -1.0})
    (array([[2, 4, 3], [0, 1, 2]], dtype=int32), array([0, 1], dtype=int32), ['c'])
    """
    size = max(pieces.values(), default=-1) + 1
    ids = dict(pieces)
    extra = sorted({character for piece in pieces if len(piece) > 1 for character in piece} - pieces.keys())
    ids.update((character, size + n) for n, character in enumerate(extra))
    order = sorted({scores[piece] for piece in pieces}, reverse=True)
    rank_of = {score: rank for rank, score in enumerate(order)}
    rows = []
    for piece, number in sorted(pieces.items(), key=lambda item: (-scores[item[0]], item[1])):
        rank = rank_of[scores[piece]]
        ways = [(ids.get(piece[:i]), ids.get(piece[i:])) for i in range(1, len(piece))]
        rows += sorted((rank, left, right, number) for left, right in ways if left is not None and right is not None)
    table = np.array(rows, np.int32).reshape(-1, 4)
    return np.ascontiguousarray(table[:, 1:]), np.ascontiguousarray(table[:, 0]), extra


class PieceEncoder:
    """Encodes words whose spaces are spaces (prefixes and "▁" have been seen to).

    pieces: by id
    merges: (m, 3) ids (left, right, result), oldest first; None: the scores of the pieces decide
    byte_fallback: characters without a piece become bytes, not the unknown piece
    fuse:   unknown characters in a row become one unknown piece

    >>> from llm_from_scratch.tokenizers.borders import Borders
    >>> pieces = [Piece("▁"), Piece("a"), Piece("▁a"), *(Piece(f"<0x{b:02X}>", 0.0, Kind.BYTE) for b in range(256))]
    >>> PieceEncoder(pieces)(Borders().split(" a é"))                    # "▁a", "▁", and two bytes
    array([  2,   0, 198, 172], dtype=int32)
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        merges: np.ndarray | None = None,
        *,
        byte_fallback: bool = True,
        fuse: bool = True,
    ):
        self.pieces, self.byte_fallback, self.fuse, self.from_scores = pieces, byte_fallback, fuse, merges is None
        self.ids, scores, self.byte_ids, self.unknown = sort_pieces(pieces, byte_fallback)
        if merges is None:
            self.merges, self._ranks, self._extra = ranked_merges(self.ids, scores)
        else:
            self.merges, self._ranks, self._extra = merges, np.arange(len(merges), dtype=np.int32), []
            if merges.size and not (0 <= merges.min() and merges.max() < len(pieces)):
                raise ValueError(f"merges name ids outside [0, {len(pieces)})")
        # The characters that merges start from; those that are no pieces have ids behind all others.
        known = {" " if text == SPACE else text: number for text, number in self.ids.items() if len(text) == 1}
        known.update((character, len(pieces) + n) for n, character in enumerate(self._extra))
        self._codes = np.array(sorted(map(ord, known)), np.uint32)
        self._numbers = np.array([known[chr(code)] for code in self._codes.tolist()], np.int32)
        self._table = bpe.merge_table(self.merges)

    def __call__(self, words: Words, allowed: frozenset[str] = frozenset()) -> np.ndarray:
        """The ids of words, (n,) int32."""
        data, ends, which = distinct(words)
        symbols, missing = self._symbols(data)
        # How many characters end before each word's end: bytes that do not continue one.
        characters = np.concatenate(([0], np.cumsum((data & 0xC0) != 0x80)))[ends].astype(np.int64)
        ids, id_ends = bpe.merge_ranked(symbols, characters, self.merges, self._ranks, self._table)
        if ids.size and ids.max() >= len(self.pieces):
            ids, id_ends = self._fall_back(ids, id_ends, [*self._extra, *missing])
        ids = bpe.gather_words(ids, id_ends, which)
        if self.unknown is not None and self.fuse and not self.byte_fallback:
            unknown = ids == self.unknown
            if unknown.any():
                ids = ids[~(unknown & np.concatenate(([False], unknown[:-1])))]
        return ids

    def _symbols(self, data: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """The id of each character; those without one get ids behind all others, and are returned beside."""
        codes = np.frombuffer(data.tobytes().decode("utf-8").encode("utf-32-le"), "<u4")
        if not codes.size or not self._codes.size:
            place, found = np.zeros(codes.size, np.int64), np.zeros(codes.size, bool)
        else:
            place = np.minimum(np.searchsorted(self._codes, codes), self._codes.size - 1)
            found = self._codes[place] == codes
        if found.all():
            return (self._numbers[place] if codes.size else np.empty(0, np.int32)), []
        missing, which = np.unique(codes[~found], return_inverse=True)
        symbols = np.empty(codes.size, np.int32)
        symbols[found] = self._numbers[place[found]] if found.any() else 0
        symbols[~found] = len(self.pieces) + len(self._extra) + which
        return symbols, [chr(code) for code in missing.tolist()]

    def _fall_back(self, ids: np.ndarray, ends: np.ndarray, characters: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Write characters that are no pieces as bytes, or as the unknown piece."""
        written = [np.array(self._spell(character), np.int32) for character in characters]
        lengths = np.array([part.size for part in written])
        size = len(self.pieces)
        beyond = ids >= size
        counts = np.ones(ids.size, np.int64)
        counts[beyond] = lengths[ids[beyond] - size]
        new = np.repeat(ids, counts)
        places = new >= size
        new[places] = np.concatenate([written[number] for number in (ids[beyond] - size).tolist()])
        return new, np.concatenate(([0], np.cumsum(counts)))[ends]

    def _spell(self, character: str) -> list[int]:
        if self.byte_fallback:
            spelt = SPACE if character == " " else character
            return [self.byte_ids[byte] for byte in spelt.encode("utf-8")]
        if self.unknown is None:
            raise ValueError(
                f"the text needs the character {character!r}, for which this vocabulary has neither a piece nor bytes, "
                "nor has it an unknown token"
            )
        return [self.unknown]
