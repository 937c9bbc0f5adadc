"""BPE over characters as the library `tokenizers` has it: unknown characters become bytes or `<unk>`.

The general model of `tokenizer.json`. The two usual cases, byte-level BPE and LLaMA's, have faster encoders of their
own (`byte_bpe.py`, `pieces.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ..kernels import bpe


class CharacterBPE:
    """Encodes words.

    ids:           of each token
    merges:        (m, 3) ids (left, right, result), oldest first
    unknown:       the id for a character that is no token; without one such a character is an error
    fuse:          several of them in a row become one
    byte_fallback: they become their bytes ("<0xE6>") instead, if all of those are tokens
    ignore_merges: a word that is a token is that token

    >>> model = CharacterBPE({"a": 0, "b": 1, "ab": 2, "?": 3}, np.array([[0, 1, 2]], np.int32), unknown=3)
    >>> model(["ab", "xyb"]).tolist()
    [2, 3, 3, 1]
    """

    def __init__(
        self,
        ids: Mapping[str, int],
        merges: np.ndarray,
        *,
        unknown: int | None = None,
        fuse: bool = False,
        byte_fallback: bool = False,
        ignore_merges: bool = False,
    ):
        self.ids, self.merges = ids, np.ascontiguousarray(merges, np.int32).reshape(-1, 3)
        self._ranks, self._table = np.arange(len(merges), dtype=np.int32), bpe.merge_table(self.merges)
        self._unknown, self._fuse, self._whole, self._bytes = unknown, fuse, ignore_merges, byte_fallback
        self._byte_ids = [ids.get(f"<0x{byte:02X}>") if byte_fallback else None for byte in range(256)]

    def without(self, numbers: Collection[int]) -> CharacterBPE:
        """The same model, but no word becomes these tokens (the unknown one keeps its office)."""
        return CharacterBPE(
            {text: number for text, number in self.ids.items() if number not in numbers},
            self.merges[~np.isin(self.merges[:, 2], list(numbers))],
            unknown=self._unknown, fuse=self._fuse, byte_fallback=self._bytes, ignore_merges=self._whole,
        )  # fmt: skip

    def __call__(self, words: Iterable[str]) -> np.ndarray:
        """The ids of words one after the other, (n,) int32. ValueError for a character that cannot be written."""
        places: dict[str, int] = {}
        which = np.array([places.setdefault(word, len(places)) for word in words], np.int32)
        symbols: list[int] = []
        ends = []
        for word in places:
            symbols += [self.ids[word]] if self._whole and word in self.ids else self._symbols(word)
            ends.append(len(symbols))
        ids, id_ends = bpe.merge_ranked(
            np.array(symbols, np.int32), np.array(ends, np.int64), self.merges, self._ranks, self._table
        )
        return bpe.gather_words(ids, id_ends, which)

    def _symbols(self, word: str) -> list[int]:
        symbols: list[int] = []
        waiting = False  # for an unknown token, which the library writes only when the next known character comes
        for character in word:
            number = self.ids.get(character)
            if number is not None:
                if waiting:
                    symbols.append(self._unknown)  # type: ignore[arg-type]
                symbols.append(number)
                waiting = False
                continue
            spelt = [self._byte_ids[byte] for byte in character.encode("utf-8")]
            if None not in spelt:
                symbols += spelt  # type: ignore[arg-type]
                continue
            if self._unknown is None:
                raise ValueError(
                    f"the text needs the character {character!r}, for which this vocabulary has neither a token nor "
                    "bytes, nor has it an unknown token"
                )
            if waiting and not self._fuse:
                symbols.append(self._unknown)
            waiting = True
        return [*symbols, self._unknown] if waiting else symbols  # type: ignore[list-item]
