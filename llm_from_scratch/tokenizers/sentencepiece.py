"""The SentencePiece kind of tokenizer: BPE over characters with a "▁" for every space and bytes for the rest.

LLaMA, Mistral, Yi, SOLAR and Mixtral use it. It differs from byte-level BPE in three ways that one sees: a text begins
with a space that nobody wrote (so that a word has one id wherever it stands), merges are chosen by the score of the
piece they make, and a character outside the vocabulary costs one id a byte. Ids equal those of the library
`sentencepiece` for `tokenizer.model`, and of `tokenizers` for `tokenizer.json`.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .added_tokens import AddedToken, AddedTokens
from .borders import SPACE, Borders
from .ends import Ends, roles_among, template_of
from .parts import Parts
from .pieces import Kind, Piece, PieceEncoder, byte_of
from .sentencepiece_training import learn_pieces
from .training import Source
from .vocabulary import Vocabulary

# Every byte that is no UTF-8 becomes a U+FFFD of its own, as sentencepiece has it; Python joins some.
_EACH_BYTE = "llm_from_scratch.replace_each_byte"
codecs.register_error(_EACH_BYTE, lambda error: ("\ufffd" * (error.end - error.start), error.end))  # type: ignore


def parts(
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
) -> Parts:
    """The parts of a SentencePiece tokenizer. The first arguments are described at `SentencePieceTokenizer`.

    prefix, double_prefix, squeeze: where spaces are put, see `borders.Borders`; by default as LLaMA has them
    words:         its rule, "runs", "each" or "none"; None finds out
    byte_fallback: characters without a piece become bytes, not the unknown piece
    unknown_text:  what an unknown piece decodes to; None: its own name
    inline:        added tokens that belong to the text: the text after them is not a new beginning
    fuse_unknown:  unknown characters in a row become one unknown piece
    post_processor, roles: as in `byte_bpe.parts`
    """
    known = {token.content for token in added_tokens}
    own = [
        AddedToken(piece.text, number, special=piece.kind != Kind.USER_DEFINED)
        for number, piece in enumerate(pieces)
        if piece.kind in (Kind.CONTROL, Kind.UNKNOWN, Kind.USER_DEFINED) and piece.text not in known
    ]
    beside = sorted([*own, *added_tokens], key=lambda token: token.id)
    if merges is not None:
        special = [token.id for token in beside if token.special]  # no text becomes one of these
        merges = np.ascontiguousarray(merges, np.int32).reshape(-1, 3)
        merges = merges[~np.isin(merges[:, 2], special)]
    encoder = PieceEncoder(list(pieces), merges, byte_fallback=byte_fallback, fuse=fuse_unknown)
    added = AddedTokens(beside)
    if inline is None:
        inline = [piece.text for piece in pieces if piece.kind == Kind.USER_DEFINED]
    for text in inline:
        if " " in text or SPACE in text:
            raise ValueError(f"the user-defined piece {text!r} holds a space, which is not supported")
    within = [added.by_content[text].id for text in inline]
    if words is None:
        crossing = SPACE not in encoder.ids or any(SPACE in text.lstrip(SPACE) for text in encoder.ids)
        words = "none" if crossing else "runs"
    borders = Borders(words, prefix=prefix, double_prefix=double_prefix, squeeze=squeeze, inline=within)
    spelt = {token.id: token.content.encode("utf-8") for token in added_tokens}
    for number, piece in enumerate(pieces):
        if piece.kind == Kind.BYTE:
            spelt[number] = bytes([byte_of(piece.text) or 0])
        elif number == encoder.unknown and unknown_text is not None:
            spelt[number] = unknown_text.encode("utf-8")
        elif piece.text:
            spelt[number] = piece.text.replace(SPACE, " ").encode("utf-8")
    ids = {spelt[number]: number for number in encoder.byte_ids.values()}
    ids |= {text.replace(SPACE, " ").encode("utf-8"): number for text, number in encoder.ids.items()}
    names = {number: piece.text for number, piece in enumerate(pieces) if piece.text}
    vocabulary = Vocabulary(spelt, ids, added, names, size=1 + max([len(pieces) - 1, *added.by_id]))
    decoder = PieceDecoder(vocabulary, borders, encoder, unknown_text)
    return Parts("sentencepiece", borders, encoder, vocabulary, decoder, Ends(vocabulary, post_processor, roles))


def train(
    source: Source, vocab_size: int, special: list[str], added: list[str], roles: Mapping[str, str] | None, *,
    min_frequency: int, character_coverage: float, split_digits: bool, bar: Any = None,
) -> Parts:  # fmt: skip
    """Learn pieces from text; the arguments, once checked, are those of `Tokenizer.train`."""
    special = list(dict.fromkeys(["<unk>", "<s>", "</s>", *special]))
    roles = roles_among(special, roles)
    pieces = learn_pieces(
        source, vocab_size, special, added, min_frequency=min_frequency, character_coverage=character_coverage,
        split_digits=split_digits, bar=bar,
    )  # fmt: skip
    return parts(pieces, roles=roles, post_processor=template_of(roles, True, False))


class PieceDecoder:
    """Puts pieces in a row, without the space that was put in front: it is taken away again at the beginning and after
    a border that is shown.

    unknown_text: what an unknown piece decodes to; None: its own name
    """

    incremental, replace = True, _EACH_BYTE

    def __init__(self, vocabulary: Vocabulary, borders: Borders, encoder: PieceEncoder, unknown_text: str | None):
        self._vocabulary, self._prefix, self._squeeze = vocabulary, borders.prefix, borders.squeeze
        self.unknown_text = unknown_text
        self._borders = set(vocabulary.added.by_id) - borders.inline
        if unknown_text is not None:
            self._borders.discard(encoder.unknown)
        self._begins = np.array([token is not None and token[:1] == b" " for token in vocabulary.bytes])
        self._begins[list(encoder.byte_ids.values())] = False
        if encoder.unknown is not None:
            self._begins[encoder.unknown] = False

    def spell(self, numbers: list[int], skip: bool, beginning: bool) -> tuple[bytes, bool]:
        """The bytes of ids. ValueError for a gap."""
        parts: list[bytes] = []
        known = self._vocabulary
        strips = self._prefix != "never" or self._squeeze
        for number in numbers:
            if number in self._borders:
                if not (skip and number in known.special):
                    parts.append(known.added.by_id[number].content.encode("utf-8"))
                    beginning = self._prefix == "always"
                continue
            token = known.bytes[number]
            if token is None:
                token = known.spelt(number)  # names the gap
            if beginning and strips:
                if self._begins[number]:
                    token = token[1:]
                beginning = self._squeeze and not token
            else:
                beginning = False
            parts.append(token)
        return b"".join(parts), beginning
