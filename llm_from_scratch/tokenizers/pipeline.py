"""The tokenizer that a `tokenizer.json` spells out: normalizer, pre-tokenizer, model, post-processor and decoder.

It does what the library `tokenizers` does with the same file, step by step, and so reads what neither byte-level BPE
(`tokenizer.py`) nor LLaMA's kind (`sentencepiece.py`) covers: unigram models, other normalizers and pre-tokenizers,
`normalized` added tokens. Those two are faster, and files that fit them do not come here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .added_tokens import AddedToken, AddedTokens, Segment
from .character_bpe import CharacterBPE
from .checks import check_ids, utf8
from .decoders import TokenDecoder
from .normalizers import Normalizer
from .steps import Steps
from .streams import StreamDecoder, slices
from .tokenizer import Tokenizer
from .unigram import Unigram


class PipelineTokenizer(Tokenizer):
    """A tokenizer out of parts, made by `Tokenizer.from_pretrained`.

    model:         a `CharacterBPE` or `Unigram`
    described:     the object "model" of the file, kept for saving
    normalizer, pre_tokenizer, decoder, post_processor: the objects of those names

    """

    kind = "pipeline"
    ignore_merges = False

    def __init__(
        self,
        model: CharacterBPE | Unigram,
        described: Mapping[str, Any],
        added_tokens: Sequence[AddedToken] = (),
        *,
        normalizer: Any = None,
        pre_tokenizer: Any = None,
        decoder: Any = None,
        post_processor: Mapping[str, Any] | None = None,
        roles: Mapping[str, str] | None = None,
    ):
        self.model = model
        self._models: dict[frozenset[int], CharacterBPE | Unigram] = {}
        self.described = dict(described)
        self.normalizer = None if normalizer is None else Normalizer(normalizer)  # type: ignore[assignment]
        self.pre_tokenizer = Steps(pre_tokenizer)  # type: ignore[assignment]
        self.decoder = TokenDecoder(decoder)
        added = AddedTokens(added_tokens, self.normalizer)  # type: ignore[arg-type]
        self._numbers = {**model.ids, **{token.content: token.id for token in added_tokens}}
        self._names = {number: text for text, number in model.ids.items()}
        self._names |= {token.id: token.content for token in added_tokens}
        self.merges = model.merges if isinstance(model, CharacterBPE) else np.empty((0, 3), np.int32)
        spelt = {number: self.decoder([text]).encode("utf-8") for number, text in self._names.items()}
        self._ids = {token: number for number, token in sorted(spelt.items(), reverse=True)}
        self._finish(spelt, 0, added)
        self._surround(post_processor, roles)

    # --- Text to ids ------------------------------------------------------------------------------------------

    def encode_array(self, text: str, *, allowed_special: Collection[str] | str = ()) -> np.ndarray:
        """The ids of a text, (n,) int32."""
        parts = list(self.encode_chunks([text], allowed_special=allowed_special))
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def encode_chunks(
        self, chunks: Iterable[str], *, allowed_special: Collection[str] | str = ()
    ) -> Iterator[np.ndarray]:
        """Encode a text that comes in pieces, which are joined first: the parts may look anywhere."""
        contents = self.added_tokens.choose(allowed_special)
        text = chunks if isinstance(chunks, str) else "".join(slices(chunks))
        yield from self._encode_segments(self.added_tokens.segments(text, contents), contents)

    def _encode_segments(self, found: Iterable[Segment], allowed: frozenset[str] = frozenset()) -> Iterator[np.ndarray]:
        # No text may become a special token that is not allowed, whatever the model would make of it.
        kept = frozenset(number for token, number in self.added_tokens.special.items() if token not in allowed)
        if kept not in self._models:
            self._models[kept] = self.model.without(kept)
        first = True
        for text, number in found:
            if number >= 0:
                yield np.array([number], np.int32)
            else:
                utf8(text)
                yield self._models[kept](self.pre_tokenizer.words(text, first=first))  # type: ignore[call-arg]
            first = False

    # --- Ids to text ------------------------------------------------------------------------------------------

    def decode(
        self, ids: Iterable[int] | np.ndarray, errors: str = "replace", *, skip_special_tokens: bool = False
    ) -> str:
        """The text of the tokens, as the decoder makes it; bytes that are no UTF-8 are always replaced."""
        special = set(self.added_tokens.special.values()) if skip_special_tokens else set()
        numbers = check_ids(ids, len(self._bytes))
        return self.decoder([self.id_to_token(number) for number in numbers if number not in special])

    def decode_bytes(self, ids: Iterable[int] | np.ndarray, *, skip_special_tokens: bool = False) -> bytes:
        """`decode` as UTF-8."""
        return self.decode(ids, skip_special_tokens=skip_special_tokens).encode("utf-8")

    def stream_decoder(
        self, errors: str = "replace", *, skip_special_tokens: bool = False, after: Iterable[int] | np.ndarray = ()
    ) -> StreamDecoder:
        """A decoder for ids that arrive one by one."""
        return GrowingDecoder(self, errors, skip_special_tokens, after)

    # --- Looking things up ------------------------------------------------------------------------------------

    def id_to_bytes(self, id: int) -> bytes:
        """The bytes of one token alone."""
        self.id_to_token(id)
        return self._bytes[id] or b""

    def id_to_token(self, id: int) -> str:
        """A token as its file has it."""
        name = self._names.get(self._one_id(id))
        if name is None:
            raise ValueError(f"id {id} is a gap: this vocabulary has no token with that id")
        return name

    def token_to_id(self, token: str | bytes) -> int | None:
        """The id of a token, or None: bytes as it decodes, a str as its file has it."""
        return self._ids.get(token) if isinstance(token, bytes) else self._numbers.get(token)


class GrowingDecoder(StreamDecoder):
    """Decodes everything anew with each id, since a decoder may look back, and gives out what is new and complete."""

    def __init__(self, tokenizer: PipelineTokenizer, errors: str, skip_special_tokens: bool, after: Iterable[int]):
        self._pipeline, self._skip, self._given = tokenizer, skip_special_tokens, ""
        self._ids = check_ids(list(after), tokenizer.vocab_size)
        self._given = self._text()

    def _text(self) -> str:
        return self._pipeline.decode(self._ids, skip_special_tokens=self._skip)

    def push(self, ids: int | Iterable[int]) -> str:
        """The text that is complete after one more id, or several."""
        self._ids += check_ids([ids] if isinstance(ids, int) or not isinstance(ids, Iterable) else ids,
                               self._pipeline.vocab_size)  # fmt: skip
        text = self._text().rstrip("\ufffd")
        new = text[len(self._given) :]
        self._given += new
        return new

    def flush(self) -> str:
        """What is left of an unfinished character at the end; the decoder starts afresh."""
        rest = self._text()[len(self._given) :]
        self._ids, self._given = [], ""
        return rest
