"""Encoding plain text: cut it into words, merge each distinct word once, write the words out again.

Text repeats itself: of a million words some tens of thousands are distinct, and only those go through the merges.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..kernels import bpe, splitting
from .pre_tokenizer import PreTokenizer


class Encoder:
    """Encodes plain text, in which added tokens have no meaning.

    ids: the id of each ordinary token; merges (m, 3) int32 (left, right, result), oldest first; ranks (m,) int32: when
    the order of `merges` is not which goes first (tiktoken ranks tokens, and several pairs may make the same).

    >>> ids = {bytes([byte]): byte for byte in range(256)} | {b"he": 256, b"the": 257}
    >>> encoder = Encoder(ids, np.array([[104, 101, 256], [116, 256, 257]], np.int32), PreTokenizer("gpt2"))
    >>> encoder("the he")
    array([257,  32, 256], dtype=int32)
    """

    def __init__(
        self,
        ids: Mapping[bytes, int],
        merges: np.ndarray,
        pre_tokenizer: PreTokenizer,
        *,
        ignore_merges: bool = False,
        ranks: np.ndarray | None = None,
    ):
        self._ids = ids
        self._merges = merges
        self._ranks = ranks
        self._table = bpe.merge_table(merges)
        self._byte_ids = np.array([ids.get(bytes([byte]), -1) for byte in range(256)], np.int32)
        self._pre_tokenizer = pre_tokenizer
        self._ignore_merges = ignore_merges

    def __call__(self, text: str) -> np.ndarray:
        """The ids of a text, (n,) int32."""
        data, ends = self._pre_tokenizer.split(text)
        first, _, which = splitting.unique_words(data, ends)
        starts = np.concatenate(([0], ends))[first]
        lengths = ends[first] - starts
        word_ends = np.cumsum(lengths)
        # The bytes of the distinct words, one word after the other.
        distinct = data[np.arange(int(lengths.sum())) + np.repeat(starts - (word_ends - lengths), lengths)]
        symbols = self._byte_ids[distinct]
        if symbols.size and symbols.min() < 0:
            byte = int(distinct[symbols.argmin()])
            raise ValueError(f"the text needs the byte {byte:#04x}, for which this vocabulary has no token")
        if self._ranks is None:
            ids, id_ends = bpe.merge_words(symbols, word_ends, self._merges, self._table)
        else:
            ids, id_ends = bpe.merge_ranked(symbols, word_ends, self._merges, self._ranks, self._table)
        if self._ignore_merges:
            ids, id_ends = self._prefer_whole(distinct.tobytes(), word_ends.tolist(), ids, id_ends)
        return bpe.gather_words(ids, id_ends, which)

    def _prefer_whole(
        self, raw: bytes, ends: list[int], ids: np.ndarray, id_ends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A word that is a token is that token, whatever the merges make of it (LLaMA 3)."""
        new: list[list[int]] = []
        start = id_start = 0
        for end, id_end in zip(ends, id_ends.tolist(), strict=True):
            whole = self._ids.get(raw[start:end])
            new.append([whole] if whole is not None else ids[id_start:id_end].tolist())
            start, id_start = end, id_end
        flat = [number for word in new for number in word]
        return np.array(flat, np.int32), np.cumsum([len(word) for word in new], dtype=np.int64)
