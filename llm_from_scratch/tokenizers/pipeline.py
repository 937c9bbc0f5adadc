"""The tokenizer that a `tokenizer.json` spells out: normalizer, pre-tokenizer, model, post-processor and decoder.

It does what the library `tokenizers` does with the same file, step by step, and so reads what neither byte-level BPE
(`byte_bpe.py`) nor LLaMA's kind (`sentencepiece.py`) covers: unigram models, other normalizers and pre-tokenizers,
`normalized` added tokens. Those two are faster, and files that fit them do not come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .added_tokens import AddedToken, AddedTokens
from .character_bpe import CharacterBPE
from .decoders import TokenDecoder
from .ends import Ends
from .normalizers import Normalizer
from .parts import Parts
from .steps import Steps
from .unigram import Unigram
from .vocabulary import Vocabulary


def parts(
    model: CharacterBPE | Unigram,
    described: Mapping[str, Any],
    added_tokens: Sequence[AddedToken] = (),
    *,
    normalizer: Any = None,
    pre_tokenizer: Any = None,
    decoder: Any = None,
    post_processor: Mapping[str, Any] | None = None,
    roles: Mapping[str, str] | None = None,
) -> Parts:
    """The parts that a `tokenizer.json` describes.

    described: the object "model" of the file, kept for saving; normalizer, pre_tokenizer, decoder, post_processor: the
    objects of those names
    """
    added = AddedTokens(added_tokens, None if normalizer is None else Normalizer(normalizer))
    splitter, steps = Steps(pre_tokenizer), TokenDecoder(decoder)
    names = {number: text for text, number in model.ids.items()} | {token.id: token.content for token in added_tokens}
    spelt = {number: steps([text]).encode("utf-8") for number, text in names.items()}
    ids = {token: number for number, token in sorted(spelt.items(), reverse=True)}
    vocabulary = Vocabulary(spelt, ids, added, names)
    encoder, ends = WordEncoder(model, described, added), Ends(vocabulary, post_processor, roles)
    return Parts("pipeline", splitter, encoder, vocabulary, NameDecoder(vocabulary, steps), ends)


class WordEncoder:
    """Encodes words with a model that might make special tokens of them.

    described: the object "model" of the file, kept for saving
    """

    def __init__(self, model: CharacterBPE | Unigram, described: Mapping[str, Any], added: AddedTokens):
        self.merges = model.merges if isinstance(model, CharacterBPE) else np.empty((0, 3), np.int32)
        self.described = dict(described)
        self._model, self._special = model, added.special
        self._models: dict[frozenset[str], CharacterBPE | Unigram] = {}  # by what is allowed

    def __call__(self, words: list[str], allowed: frozenset[str] = frozenset()) -> np.ndarray:
        """The ids of words, (n,) int32; none becomes a special token that is not allowed."""
        if allowed not in self._models:
            kept = [number for token, number in self._special.items() if token not in allowed]
            self._models[allowed] = self._model.without(kept)
        return self._models[allowed](words)


class NameDecoder:
    """Decodes the names of tokens with the decoder of a `tokenizer.json`, which may look at all of them.

    Bytes that are no UTF-8 are always replaced.
    """

    incremental, replace = False, "replace"

    def __init__(self, vocabulary: Vocabulary, steps: TokenDecoder):
        self._vocabulary, self.steps = vocabulary, steps

    def spell(self, numbers: list[int], skip: bool, beginning: bool) -> tuple[bytes, bool]:
        """The text of ids as UTF-8. ValueError for a gap."""
        known = self._vocabulary
        shown = [number for number in numbers if not (skip and number in known.special)]
        return self.steps([known.name(number) for number in shown]).encode("utf-8"), False
