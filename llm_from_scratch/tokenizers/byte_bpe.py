"""Byte-level byte-pair encoding: any text, in 256 bytes and what was learnt to join (GPT-2, LLaMA 3, Qwen and others).

The parts of such a tokenizer, and how they are learnt. Loops are in `kernels/bpe.py`, counting in `training.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ..kernels import bpe
from .added_tokens import AddedToken, AddedTokens
from .encoding import Words, distinct
from .ends import Ends, roles_among
from .normalizers import Normalizer
from .parts import Parts
from .pre_tokenizer import PreTokenizer
from .training import Source, count_words, learn
from .vocabulary import Vocabulary


def parts(
    tokens: Mapping[int, bytes],
    merges: np.ndarray,
    added_tokens: Sequence[AddedToken] = (),
    pre_tokenizer: PreTokenizer | None = None,
    *,
    ignore_merges: bool = False,
    normalizer: str | None = None,
    post_processor: Mapping[str, Any] | None = None,
    roles: Mapping[str, str] | None = None,
    ranks: np.ndarray | None = None,
) -> Parts:
    """The parts of a byte-level tokenizer. The first arguments are described at `Tokenizer`.

    ignore_merges:  a word that is a token itself is that token, whatever the merges say (LLaMA 3)
    normalizer:     None or "NFC", applied to plain text
    post_processor: the object of that name in `tokenizer.json`; says what add_special_tokens adds
    roles:          special tokens by role, out of bos, eos, pad, unk
    ranks:          (m,) for files that rank tokens instead of pairs (tiktoken): which merge goes first, ties allowed
    """
    merges = np.ascontiguousarray(merges, np.int32).reshape(-1, 3)
    # What is one byte is needed by ordinary text, so that nothing can keep it for itself (a padding token "!").
    added_tokens = [
        dataclasses.replace(token, special=False) if len(tokens.get(token.id, b"")) == 1 else token
        for token in added_tokens
    ]
    if normalizer not in (None, "NFC"):
        raise ValueError(f"normalizer must be None or 'NFC', got {normalizer!r}")
    added = AddedTokens(added_tokens, Normalizer({"type": normalizer}) if normalizer else None)
    contents = {t.id: t.content.encode("utf-8") for t in added_tokens if len(tokens.get(t.id, b"")) != 1}
    special = set(added.special.values())
    ids = {token: number for number, token in tokens.items() if number not in special and token}
    vocabulary = Vocabulary({**tokens, **contents}, ids, added)
    if merges.size and not (0 <= merges.min() and merges.max() < len(vocabulary)):
        raise ValueError(f"merges name ids outside [0, {len(vocabulary)})")
    splitter = PreTokenizer("gpt2") if pre_tokenizer is None else pre_tokenizer
    encoder = ByteEncoder(ids, merges, special=special, ignore_merges=ignore_merges, ranks=ranks)
    ends = Ends(vocabulary, post_processor, roles)
    return Parts("byte-level", splitter, encoder, vocabulary, ByteDecoder(vocabulary), ends)


def train(
    source: Source, vocab_size: int, special: list[str], added: list[str], roles: Mapping[str, str] | None, *,
    pattern: str, ties: str, min_frequency: int, bar: Any = None,
) -> Parts:  # fmt: skip
    """Learn merges from text; the arguments, once checked, are those of `Tokenizer.train`."""
    roles, splitter, reserved = roles_among(special, roles), PreTokenizer(pattern), [*special, *added]
    counts = count_words(source, splitter, reserved, bar)
    if bar is not None:
        bar.set_description(f"learning merges from {len(counts):,} distinct words")
    tokens, merges = learn(counts, vocab_size, reserved, ties, min_frequency)
    if not counts:
        raise ValueError("the training text is empty: give a source with some text in it")
    beside = [AddedToken(content, number, number < len(special)) for number, content in enumerate(reserved)]
    ordinary = {number: token for number, token in enumerate(tokens) if number >= len(reserved)}
    return parts(ordinary, merges, beside, splitter, roles=roles)


class ByteEncoder:
    """Encodes words of bytes.

    ids:           the id of each ordinary token
    merges:        (m, 3) int32 (left, right, result), oldest first
    special:       ids that no merge may make
    ignore_merges: a word that is a token is that token, whatever the merges make of it (LLaMA 3)
    ranks:         (m,) int32 when the order of `merges` is not which goes first (tiktoken ranks tokens, and several
                   pairs may make the same)

    >>> ids = {bytes([byte]): byte for byte in range(256)} | {b"he": 256, b"the": 257}
    >>> encoder = ByteEncoder(ids, np.array([[104, 101, 256], [116, 256, 257]], np.int32))
    >>> encoder(PreTokenizer("gpt2").split("the he"))
    array([257,  32, 256], dtype=int32)
    """

    def __init__(
        self,
        ids: Mapping[bytes, int],
        merges: np.ndarray,
        *,
        special: Collection[int] = (),
        ignore_merges: bool = False,
        ranks: np.ndarray | None = None,
    ):
        self.merges, self.ranks, self.ignore_merges = merges, ranks, ignore_merges
        plain = ~np.isin(merges[:, 2], list(special))
        self._ids, self._plain = ids, merges[plain]
        self._ranks = None if ranks is None else np.ascontiguousarray(ranks)[plain]
        self._table = bpe.merge_table(self._plain)
        self._byte_ids = np.array([ids.get(bytes([byte]), -1) for byte in range(256)], np.int32)

    def __call__(self, words: Words, allowed: frozenset[str] = frozenset()) -> np.ndarray:
        """The ids of words, (n,) int32."""
        data, ends, which = distinct(words)
        symbols = self._byte_ids[data]
        if symbols.size and symbols.min() < 0:
            byte = int(data[symbols.argmin()])
            raise ValueError(f"the text needs the byte {byte:#04x}, for which this vocabulary has no token")
        if self._ranks is None:
            ids, id_ends = bpe.merge_words(symbols, ends, self._plain, self._table)
        else:
            ids, id_ends = bpe.merge_ranked(symbols, ends, self._plain, self._ranks, self._table)
        if self.ignore_merges:
            ids, id_ends = self._prefer_whole(data.tobytes(), ends.tolist(), ids, id_ends)
        return bpe.gather_words(ids, id_ends, which)

    def _prefer_whole(
        self, raw: bytes, ends: list[int], ids: np.ndarray, id_ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        new: list[list[int]] = []
        start = id_start = 0
        for end, id_end in zip(ends, id_ends.tolist(), strict=True):
            whole = self._ids.get(raw[start:end])
            new.append([whole] if whole is not None else ids[id_start:id_end].tolist())
            start, id_start = end, id_end
        flat = [number for word in new for number in word]
        return np.array(flat, np.int32), np.cumsum([len(word) for word in new], dtype=np.int64)


class ByteDecoder:
    """Puts the bytes of tokens in a row."""

    incremental, replace = True, "replace"

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary

    def spell(self, numbers: list[int], skip: bool, beginning: bool) -> tuple[bytes, bool]:
        """The bytes of ids. ValueError for a gap."""
        known = self._vocabulary
        if skip:
            numbers = [number for number in numbers if number not in known.special]
        try:
            return b"".join([known.bytes[number] for number in numbers]), False  # type: ignore[misc]
        except TypeError:
            return b"".join(map(known.spelt, numbers)), False  # names the gap
