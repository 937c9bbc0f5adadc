"""The SentencePiece kind of tokenizer: BPE over characters with a "▁" for every space and bytes for the rest.

LLaMA, Mistral, Yi, SOLAR and Mixtral use it. It differs from byte-level BPE in three ways that one sees: a text begins
with a space that nobody wrote (so that a word has one id wherever it stands), merges are chosen by the score of the
piece they make, and a character outside the vocabulary costs one id a byte. Ids equal those of the library
`sentencepiece` for `tokenizer.model`, and of `tokenizers` for `tokenizer.json`.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import regex

from .added_tokens import AddedToken, AddedTokens, Segment
from .formats.parts import template_of
from .pieces import SPACE, Borders, Kind, Piece, PieceEncoder, byte_of, ranked_merges, sort_pieces
from .sentencepiece_training import learn_pieces
from .tokenizer import Tokenizer
from .training import Source

PREFIXES = ("always", "first", "never")
# Every byte that is no UTF-8 becomes a U+FFFD of its own, as sentencepiece has it; Python joins some.
_EACH_BYTE = "llm_from_scratch.replace_each_byte"
codecs.register_error(_EACH_BYTE, lambda error: ("\ufffd" * (error.end - error.start), error.end))  # type: ignore


class SentencePieceTokenizer(Tokenizer):
    """BPE over pieces, made by `Tokenizer.from_pretrained` or `Tokenizer.train(..., kind="sentencepiece")`.

    pieces:        by id; a string with nothing (Kind.UNUSED) where the vocabulary has a gap
    merges:        (m, 3) ids (left, right, result), oldest first, from a file that lists pairs; None: the scores decide
    added_tokens:  special tokens and others beside the pieces; control and user-defined pieces are added by themselves
    prefix:        where a space is put in front: "always" at the beginning of a text and after a special token, "first"
                   at the beginning of a text only, or "never"
    double_prefix: put one before a text that begins with a space, too (all but the `Metaspace` of tokenizer.json)
    squeeze:       several spaces count as one, and those around a text as none (sentencepiece's default when training)
    words:         "runs", "each" or "none": see `pieces.Borders`; None finds out
    unknown_text:  what an unknown piece decodes to; None: its own name
    inline:        added tokens that belong to the text: the text after them is not a new beginning
    fuse_unknown:  unknown characters in a row become one unknown piece

    >>> tokenizer = Tokenizer.train("low lower lowest", 300, kind="sentencepiece")
    >>> ids = tokenizer.encode("lower, low")
    >>> [tokenizer.id_to_token(id) for id in ids]
    ['▁lower', '<0x2C>', '▁low']
    >>> tokenizer.decode(ids)
    'lower, low'
    """

    kind = "sentencepiece"
    normalizer = None
    ignore_merges = False
    _own_special = ("<unk>", "<s>", "</s>")

    def __init__(
        self,
        pieces: Sequence[Piece],
        merges: np.ndarray | None = None,
        added_tokens: Sequence[AddedToken] = (),
        *,
        prefix: str = "always",
        double_prefix: bool = True,
        squeeze: bool = False,
        words: str | None = None,
        byte_fallback: bool = True,
        unknown_text: str | None = " \u2047 ",
        inline: Collection[str] | None = None,
        fuse_unknown: bool = True,
        post_processor: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
    ):
        if prefix not in PREFIXES:
            raise ValueError(f"prefix must be one of {PREFIXES}, got {prefix!r}")
        self.pieces = list(pieces)
        self.prefix, self.double_prefix, self.squeeze = prefix, double_prefix, squeeze
        self.byte_fallback, self.unknown_text, self.fuse_unknown = byte_fallback, unknown_text, fuse_unknown
        self.from_scores = merges is None
        ids, scores, byte_ids, unknown = sort_pieces(self.pieces, byte_fallback)
        known = {token.content for token in added_tokens}
        own = [
            AddedToken(piece.text, number, special=piece.kind != Kind.USER_DEFINED)
            for number, piece in enumerate(self.pieces)
            if piece.kind in (Kind.CONTROL, Kind.UNKNOWN, Kind.USER_DEFINED) and piece.text not in known
        ]
        added = AddedTokens(sorted([*own, *added_tokens], key=lambda token: token.id))
        users = [piece.text for piece in self.pieces if piece.kind == Kind.USER_DEFINED]
        self._inline = {added.by_content[text].id for text in (users if inline is None else inline)}
        self.inline = [added.by_id[number].content for number in sorted(self._inline)]
        for text in self.inline:
            if " " in text or SPACE in text:
                raise ValueError(f"the user-defined piece {text!r} holds a space, which is not supported")
        size = 1 + max([len(self.pieces) - 1, *added.by_id])
        if merges is None:
            self.merges, ranks, extra = ranked_merges(ids, scores)
        else:
            self.merges, extra = np.ascontiguousarray(merges, np.int32).reshape(-1, 3), []
            plain = ~np.isin(self.merges[:, 2], list(added.special.values()))  # no text becomes a special token
            self.merges = np.ascontiguousarray(self.merges[plain])
            ranks = np.arange(len(self.merges), dtype=np.int32)
            if self.merges.size and not (0 <= self.merges.min() and self.merges.max() < len(self.pieces)):
                raise ValueError(f"merges name ids outside [0, {len(self.pieces)})")
        self._encoder = PieceEncoder(
            {text: number for text, number in ids.items() if len(text) == 1},
            self.merges, ranks, extra, len(self.pieces),
            byte_ids=[byte_ids[byte] for byte in range(256)] if byte_fallback else None,
            unknown=unknown, fuse=fuse_unknown,
        )  # fmt: skip
        if words is None:
            crossing = SPACE not in ids or any(SPACE in text.lstrip(SPACE) for text in ids)
            words = "none" if crossing else "runs"
        self.pre_tokenizer = Borders(words)  # type: ignore[assignment]
        self._unknown = unknown
        spelt: dict[int, bytes] = {}
        for number, piece in enumerate(self.pieces):
            if piece.kind == Kind.BYTE:
                spelt[number] = bytes([byte_of(piece.text) or 0])
            elif number == unknown and unknown_text is not None:
                spelt[number] = unknown_text.encode("utf-8")
            elif piece.text:
                spelt[number] = piece.text.replace(SPACE, " ").encode("utf-8")
        ordinary = {text.replace(SPACE, " ").encode("utf-8"): number for text, number in ids.items()}
        self._ids = {spelt[number]: number for number in byte_ids.values()} | ordinary
        self._finish({**{t.id: t.content.encode("utf-8") for t in added_tokens}, **spelt}, size, added)
        self._begins = np.array([token is not None and token[:1] == b" " for token in self._bytes])
        self._begins[list(byte_ids.values())] = False
        if unknown is not None:
            self._begins[unknown] = False
        self._special = set(added.special.values())
        self._borders = set(added.by_id) - self._inline
        self._surround(post_processor, roles)

    @classmethod
    def _train(  # type: ignore[override]
        cls,
        source: Source,
        vocab_size: int,
        special: list[str],
        added: list[str],
        roles: Mapping[str, str],
        **rest: Any,
    ) -> SentencePieceTokenizer:
        pieces = learn_pieces(source, vocab_size, special, added, **rest)
        return cls(pieces, roles=roles, post_processor=template_of({k: v for k, v in roles.items() if v}, True, False))

    # --- Text to ids ------------------------------------------------------------------------------------------

    def _encode_segments(self, found: Iterable[Segment]) -> Iterator[np.ndarray]:
        beginning = self.prefix != "never"  # does the next stretch of text get a space in front?
        edge = True  # is it the beginning of a text, whose spaces `squeeze` takes away?
        walk = iter(found)
        segment = next(walk, None)
        while segment is not None:
            following = next(walk, None)
            text, number = segment
            segment = following
            if number < 0:
                last = following is None or (following[1] >= 0 and following[1] not in self._inline)
                spaced = self._spaced(text, beginning, edge, last)
                if spaced:
                    beginning = edge = False
                    yield self._encoder(spaced, self.pre_tokenizer)  # type: ignore[arg-type]
            elif number in self._inline:
                if beginning:
                    yield self._encoder(" ", self.pre_tokenizer)  # type: ignore[arg-type]
                beginning = edge = False
                yield np.array([number], np.int32)
            else:
                beginning, edge = self.prefix == "always", True
                yield np.array([number], np.int32)

    def _spaced(self, text: str, beginning: bool, first: bool, last: bool) -> str:
        """What is encoded for a stretch of text: a space in front, extra spaces gone, "▁" as a space."""
        if self.squeeze:
            text = regex.sub(" +", " ", text)
            text = text.lstrip(" ") if first else text
        if text and beginning and (self.double_prefix or not text.startswith((" ", SPACE))):
            text = " " + text
        if self.squeeze and last:
            text = text.rstrip(" " + SPACE)
        return text.replace(SPACE, " ")

    # --- Ids to text ------------------------------------------------------------------------------------------

    def _spell(self, numbers: list[int], skip: bool, beginning: bool) -> tuple[bytes, bool]:
        """Without the space that `encode` put in front; it is taken away again after a border that is shown."""
        parts: list[bytes] = []
        strips = self.prefix != "never" or self.squeeze
        for number in numbers:
            if number in self._borders and not (number == self._unknown and self.unknown_text is not None):
                if not (skip and number in self._special):
                    parts.append(self.added_tokens.by_id[number].content.encode("utf-8"))
                    beginning = self.prefix == "always"
                continue
            token = self._bytes[number]
            if token is None:
                raise ValueError(f"id {number} is a gap: this vocabulary has no token with that id")
            if beginning and strips:
                if self._begins[number]:
                    token = token[1:]
                beginning = self.squeeze and not token
            else:
                beginning = False
            parts.append(token)
        return b"".join(parts), beginning

    def _error_handler(self, errors: str) -> str:
        return _EACH_BYTE if errors == "replace" else errors

    # --- Looking things up ------------------------------------------------------------------------------------

    def id_to_bytes(self, id: int) -> bytes:
        """The bytes of one piece, its space included."""
        token = self._bytes[self._one_id(id)]
        if token is None:
            raise ValueError(f"id {id} is a gap: this vocabulary has no token with that id")
        return token

    def id_to_token(self, id: int) -> str:
        """A piece as its file has it: "▁the", "<0x0A>", "<s>"."""
        number = self._one_id(id)
        added = self.added_tokens.by_id.get(number)
        if added is None and (number >= len(self.pieces) or not self.pieces[number].text):
            raise ValueError(f"id {id} is a gap: this vocabulary has no token with that id")
        return added.content if added is not None else self.pieces[number].text

    def token_to_id(self, token: str | bytes) -> int | None:
        """The id of a piece, or None: bytes as they are (b" the"), a str as `id_to_token` writes it ("▁the")."""
        if isinstance(token, bytes):
            return self._ids.get(token)
        if token in self.added_tokens.by_content:
            return self.added_tokens.by_content[token].id
        if not hasattr(self, "_numbers"):
            self._numbers = {piece.text: n for n, piece in enumerate(self.pieces) if piece.text}
        return self._numbers.get(token)
