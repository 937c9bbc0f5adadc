"""SentencePiece-BPE on plain text: pieces, the borders they do not cross, and encoding with byte fallback.

A piece is a string of characters, "▁" (U+2581) standing for a space. Text is taken character by character, then any two
neighbours that spell a piece may be joined, the piece with the highest score first. A character that no piece holds is
written as its UTF-8 bytes, each a piece of its own ("<0xE6>"), or as the unknown piece if the model has no such pieces.
Nothing here knows special tokens: see `sentencepiece.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..kernels import bpe, splitting
from .checks import utf8

SPACE = "▁"


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


class Borders:
    """Where words begin, which no piece crosses, and where a stream may be cut.

    rule: "runs"  a word is a run of spaces and what follows it up to the next space: right where no piece has a space
                  behind something else
          "each"  every space begins a word (`Metaspace` with split=true)
          "none"  the whole text is one word: some piece reaches across spaces
    """

    pattern = "sentencepiece"

    def __init__(self, rule: str = "runs"):
        if rule not in ("runs", "each", "none"):
            raise ValueError(f"the rule for words must be 'runs', 'each' or 'none', got {rule!r}")
        self.rule = rule

    @property
    def can_stream(self) -> bool:
        return self.rule != "none"

    def split(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The text (spaces as spaces) as UTF-8 and where its words end: (n,) uint8, (k,) int64."""
        data = np.frombuffer(utf8(text), np.uint8)
        if not data.size:
            return data, np.empty(0, np.int64)
        if self.rule == "none":
            return data, np.array([data.size])
        space = data == 32
        begins = space[1:].copy() if self.rule == "each" else space[1:] & ~space[:-1]
        return data, np.append(np.flatnonzero(begins) + 1, data.size)

    def last_cut(self, text: str, low: int, high: int, *, at_spaces_only: bool = False) -> int:
        """The greatest position in (low, high] with a space that follows something else; 0 if there is none."""
        at = min(high, len(text) - 1)
        while self.can_stream and at > low:
            at = text.rfind(" ", low + 1, at + 1)
            if at < 0:
                break
            if text[at - 1] not in (" ", SPACE):
                return at
            at -= 1
        return 0

    def __repr__(self) -> str:
        return f"Borders({self.rule!r})"


class PieceEncoder:
    """Encodes text whose spaces are spaces (prefixes and "▁" have been seen to).

    singles:  the id of every character that merges start from, "▁" included
    merges, ranks: as `ranked_merges` makes them; ids from `size` on are characters that are no pieces
    extra:    those characters
    size:     the number of pieces
    byte_ids: the ids of the 256 byte pieces, or None; then characters without a piece become `unknown`
    fuse:     unknown characters in a row become one unknown piece

    >>> merges = np.array([[0, 1, 3]], np.int32), np.array([0], np.int32)
    >>> encoder = PieceEncoder({"▁": 0, "a": 1}, *merges, [], 260, byte_ids=range(4, 260))
    >>> encoder(" a é", Borders())                                   # "▁a", "▁", and two bytes
    array([  3,   0, 199, 173], dtype=int32)
    """

    def __init__(
        self,
        singles: Mapping[str, int],
        merges: np.ndarray,
        ranks: np.ndarray,
        extra: Sequence[str],
        size: int,
        *,
        byte_ids: Iterable[int] | None = None,
        unknown: int | None = None,
        fuse: bool = True,
    ):
        known = {" " if character == SPACE else character: number for character, number in singles.items()}
        known.update((character, size + n) for n, character in enumerate(extra))
        self._codes = np.array(sorted(map(ord, known)), np.uint32)
        self._numbers = np.array([known[chr(code)] for code in self._codes.tolist()], np.int32)
        self._merges, self._ranks, self._extra = merges, ranks, list(extra)
        self._table = bpe.merge_table(merges)
        self._size = size
        self._byte_ids = None if byte_ids is None else list(byte_ids)
        self._unknown, self._fuse = unknown, fuse

    def __call__(self, text: str, borders: Borders) -> np.ndarray:
        """The ids of a text, (n,) int32: every distinct word is merged once."""
        data, ends = borders.split(text)
        first, _, which = splitting.unique_words(data, ends)
        starts = np.concatenate(([0], ends))[first]
        lengths = ends[first] - starts
        word_ends = np.cumsum(lengths)
        distinct = data[np.arange(int(lengths.sum())) + np.repeat(starts - (word_ends - lengths), lengths)]
        symbols, missing = self._symbols(distinct)
        # How many characters end before each word's end: bytes that do not continue one.
        characters = np.concatenate(([0], np.cumsum((distinct & 0xC0) != 0x80)))[word_ends].astype(np.int64)
        ids, id_ends = bpe.merge_ranked(symbols, characters, self._merges, self._ranks, self._table)
        if ids.size and ids.max() >= self._size:
            ids, id_ends = self._fall_back(ids, id_ends, [*self._extra, *missing])
        ids = bpe.gather_words(ids, id_ends, which)
        if self._unknown is not None and self._fuse and self._byte_ids is None:
            unknown = ids == self._unknown
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
        symbols[~found] = self._size + len(self._extra) + which
        return symbols, [chr(code) for code in missing.tolist()]

    def _fall_back(self, ids: np.ndarray, ends: np.ndarray, characters: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Write characters that are no pieces as bytes, or as the unknown piece."""
        written = [np.array(self._spell(character), np.int32) for character in characters]
        lengths = np.array([part.size for part in written])
        beyond = ids >= self._size
        counts = np.ones(ids.size, np.int64)
        counts[beyond] = lengths[ids[beyond] - self._size]
        new = np.repeat(ids, counts)
        places = new >= self._size
        new[places] = np.concatenate([written[number] for number in (ids[beyond] - self._size).tolist()])
        return new, np.concatenate(([0], np.cumsum(counts)))[ends]

    def _spell(self, character: str) -> list[int]:
        if self._byte_ids is not None:
            spelt = SPACE if character == " " else character
            return [self._byte_ids[byte] for byte in spelt.encode("utf-8")]
        if self._unknown is None:
            raise ValueError(
                f"the text needs the character {character!r}, for which this vocabulary has neither a piece nor bytes, "
                "nor has it an unknown token"
            )
        return [self._unknown]
