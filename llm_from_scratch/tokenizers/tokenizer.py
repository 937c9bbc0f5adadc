"""The tokenizer: text to ids and back, exactly.

It is composed of parts (`parts.py`), and each kind of tokenizer is a choice of them: byte-level BPE (`byte_bpe.py`),
SentencePiece's BPE (`sentencepiece.py`), or what a `tokenizer.json` spells out (`pipeline.py`). Files: `formats/`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from . import byte_bpe, formats, sentencepiece
from .added_tokens import AddedToken, Segment
from .chat_template import ChatTemplate
from .checks import check_ids, check_text, check_training
from .parts import Parts
from .pre_tokenizer import PreTokenizer
from .streams import LARGE, GrowingDecoder, StreamDecoder, segments
from .training import Source, progress_bar


class Tokenizer:
    r"""Text to ids and back, by the parts in `parts`.

    Made by `Tokenizer.train` or `Tokenizer.from_pretrained`; the constructor makes byte-level BPE, which can encode any
    text, because all 256 bytes are tokens:

    tokens:         the bytes of each ordinary token by id
    merges:         (m, 3) ids (left, right, result), oldest first, each pair once
    added_tokens:   special tokens and other strings with an id of their own
    pre_tokenizer:  which cuts text into words
    settings:       see `byte_bpe.parts`

    >>> tokenizer = Tokenizer.train("low lower lowest", vocab_size=262, special_tokens=["<|endoftext|>"])
    >>> ids = tokenizer.encode("lowest slow<|endoftext|>", allowed_special="all")
    >>> [tokenizer.id_to_bytes(id) for id in ids]
    [b'low', b'e', b'st', b' ', b's', b'low', b'<|endoftext|>']
    >>> tokenizer.decode(ids)
    'lowest slow<|endoftext|>'
    >>> len(tokenizer.encode("<|endoftext|>")), tokenizer.eos_id      # as plain text it is 13 characters
    (13, 0)
    """

    kind: ClassVar[str] = "byte-level"
    _kinds: ClassVar[dict[str, type[Tokenizer]]] = {}  # those with a class of their own, in `kinds.py`

    def __init__(
        self,
        tokens: Mapping[int, bytes],
        merges: np.ndarray,
        added_tokens: Sequence[AddedToken] = (),
        pre_tokenizer: PreTokenizer | None = None,
        **settings: Any,
    ):
        self._compose(byte_bpe.parts(tokens, merges, added_tokens, pre_tokenizer, **settings))

    def _compose(self, parts: Parts) -> None:
        self.parts = parts
        self.added_tokens, self.pre_tokenizer, self.merges = parts.added, parts.splitter, parts.encoder.merges
        self.roles, self.post_processor = parts.ends.roles, parts.ends.post_processor
        self._home: Path | None = None

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            Tokenizer._kinds[cls.kind] = cls

    @staticmethod
    def of(parts: Parts) -> Tokenizer:
        """The tokenizer that these parts make."""
        made = object.__new__(Tokenizer._kinds.get(parts.kind, Tokenizer))
        made._compose(parts)
        return made

    # --- Making one -------------------------------------------------------------------------------------------

    @classmethod
    def train(
        cls,
        source: Source,
        vocab_size: int,
        *,
        pattern: str = "gpt2",
        special_tokens: Sequence[str] = (),
        added_tokens: Sequence[str] = (),
        ties: str = "tokenizers",
        min_frequency: int = 1,
        roles: Mapping[str, str] | None = None,
        progress: bool = False,
        kind: str | None = None,
        character_coverage: float = 0.9995,
        split_digits: bool = True,
    ) -> Tokenizer:
        """Learn a tokenizer from text.

        source:          a text, the path of a UTF-8 file (pathlib.Path: a str is always text), or an iterable of these,
                         which may be larger than memory. Words do not reach from one such document into the next.
        vocab_size:      tokens in all: special tokens, the 256 bytes, and what is learnt. The result is smaller when
                         the text holds no more pairs
        pattern:         a published pattern (gpt2, digits, cl100k, qwen2, o200k, bloom and their other names) or a
                         regular expression
        special_tokens:  get the first ids. Where the text spells one, it is a border between documents, and nothing
                         is learnt from it.
        added_tokens:    words that are one token wherever a text spells them, inside longer words too (" who" keeps
                         the space that it is given); get the next ids, and nothing is learnt from them either
        ties:            among equally frequent pairs, "tokenizers": the smaller pair of ids, as in the library of that
                         name, whose merges come out the same; "lexicographic": the greater pair of byte strings
        min_frequency:   pairs that occur less often are not merged
        roles:           such as {"eos": "<|endoftext|>"}; by default the usual names are recognised
        progress:        show a bar on the terminal
        kind:            "byte-level" (the default), or "sentencepiece": characters, "▁" for a space, bytes for the
                         rest, as LLaMA has it. <unk>, <s> and </s> come first, `pattern` and `ties` have no meaning,
                         each line of the text is a sentence (see `sentencepiece_training`), and these two count:
        character_coverage: the share of all characters that become pieces; the rest is written as bytes
        split_digits:    every digit is a piece of its own

        Raises ValueError for an empty text, a vocab_size below 256 + special and added tokens, one of these twice, an
        unknown pattern or rule, and files that are not UTF-8.
        """
        kind = cls.kind if kind is None else kind
        special, added = check_training(kind, vocab_size, pattern, special_tokens, added_tokens, ties, min_frequency)
        with progress_bar(progress) as bar:
            if kind == "byte-level":
                parts = byte_bpe.train(
                    source, vocab_size, special, added, roles,
                    pattern=pattern, ties=ties, min_frequency=min_frequency, bar=bar,
                )  # fmt: skip
            else:
                parts = sentencepiece.train(
                    source, vocab_size, special, added, roles, min_frequency=min_frequency,
                    character_coverage=character_coverage, split_digits=split_digits, bar=bar,
                )  # fmt: skip
        return Tokenizer.of(parts)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a directory or a file: `tokenizer.json`, GPT-2's `vocab.json` and `merges.txt`, SentencePiece's
        `tokenizer.model`, ranks such as `qwen.tiktoken`, or a .gguf file.

        ValueError names what in the file is damaged or not supported; FileNotFoundError what is missing.
        """
        made = Tokenizer.of(formats.load(Path(path)))
        made._home = Path(path)
        return made

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, which the library `tokenizers` opens, and `tokenizer_config.json`.

        What began as `tokenizer.model` is written as such, too, and a chat template beside them.
        """
        template = self.chat_template
        formats.save(self.parts, Path(directory))
        if template is not None:
            template.save(directory)

    save_pretrained = save

    # --- Text to ids ------------------------------------------------------------------------------------------

    def encode(
        self, text: str, *, allowed_special: Collection[str] | str = (), add_special_tokens: bool = False
    ) -> list[int]:
        """The ids of a text.

        allowed_special:     special tokens that the text may spell: a collection, or "all". By default none: a text
                             that spells "<|endoftext|>" is encoded as those 13 characters.
        add_special_tokens:  put what the tokenizer's file asks for around the text, such as a token for its beginning
        """
        ids = self.encode_array(text, allowed_special=allowed_special).tolist()
        return [*self.parts.ends.before, *ids, *self.parts.ends.after] if add_special_tokens else ids

    def encode_batch(self, texts: Iterable[str], **settings: Any) -> list[list[int]]:
        """`encode` for each text."""
        if isinstance(texts, str):
            raise TypeError("encode_batch takes several texts: for one text call encode")
        return [self.encode(text, **settings) for text in texts]

    def encode_array(self, text: str, *, allowed_special: Collection[str] | str = ()) -> np.ndarray:
        """`encode` into an array, (n,) int32: for large texts."""
        check_text(text)
        contents = self.added_tokens.choose(allowed_special)
        if len(text) > LARGE:
            parts = list(self.encode_chunks([text], allowed_special=allowed_special))
        else:
            parts = list(self.encode_segments(self.added_tokens.segments(text, contents), contents))
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.int32)])

    def encode_chunks(
        self, chunks: Iterable[str], *, allowed_special: Collection[str] | str = ()
    ) -> Iterator[np.ndarray]:
        """Encode a text that comes in pieces; yields arrays of ids (int32), together the ids of the whole text.

        Memory stays within a few times the largest of 65,536 characters, a chunk (up to a million characters) and the
        longest run of letters, digits or signs: see `streams.segments`, also for patterns that cannot be cut (a
        regular expression of one's own, where the whole text is held).
        """
        contents = self.added_tokens.choose(allowed_special)
        chunks = [chunks] if isinstance(chunks, str) else chunks
        at_spaces_only = self.added_tokens.normalizer is not None  # a mark could join the letter before it
        found = segments(chunks, self.pre_tokenizer, self.added_tokens, contents, at_spaces_only=at_spaces_only)
        yield from self.encode_segments(found, contents)

    def encode_iter(self, chunks: Iterable[str], *, allowed_special: Collection[str] | str = ()) -> Iterator[int]:
        """`encode_chunks`, one id at a time."""
        for ids in self.encode_chunks(chunks, allowed_special=allowed_special):
            yield from ids.tolist()

    def encode_segments(self, found: Iterable[Segment], allowed: frozenset[str] = frozenset()) -> Iterator[np.ndarray]:
        """The ids of a text that is cut at its added tokens (`AddedTokens.segments`)."""
        splitter, encoder = self.parts.splitter, self.parts.encoder
        for text, number in splitter.spaced(found):
            yield encoder(splitter.split(text), allowed) if number < 0 else np.array([number], np.int32)

    def bytes_per_token(self, text: str) -> float:
        """How many bytes of this text a token covers on average: the larger, the shorter the sequences."""
        count = self.encode_array(text).size
        if not count:
            raise ValueError("bytes_per_token needs a text that is not empty")
        return len(text.encode("utf-8")) / count

    # --- Ids to text ------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int] | np.ndarray, *, skip_special_tokens: bool = False) -> bytes:
        """The bytes of the tokens. ids: a sequence or a 1-D array of integers; anything else is an error."""
        return self.parts.decoder.spell(check_ids(ids, self.vocab_size), skip_special_tokens, True)[0]

    def decode(
        self, ids: Iterable[int] | np.ndarray, errors: str = "replace", *, skip_special_tokens: bool = False
    ) -> str:
        r"""The text of the tokens. Bytes that are not UTF-8 become "\ufffd", or as `errors` says (see bytes.decode).

        >>> tokenizer = Tokenizer.train("a", vocab_size=256)
        >>> tokenizer.decode(tokenizer.encode("né")[:2])
        'n\ufffd'
        """
        errors = self.parts.decoder.replace if errors == "replace" else errors
        return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", errors)

    def stream_decoder(
        self, errors: str = "replace", *, skip_special_tokens: bool = False, after: Iterable[int] | np.ndarray = ()
    ) -> StreamDecoder:
        """A decoder for ids that arrive one by one: its `push(id)` returns text, never half a character.

        after: ids that came before, whose text is known: a SentencePiece tokenizer drops a space at the beginning of
        a text only.
        """
        kind = StreamDecoder if self.parts.decoder.incremental else GrowingDecoder
        return kind(self.parts.decoder, self.vocab_size, errors, skip_special_tokens, after)

    # --- Looking things up ------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """One more than the greatest id: the rows that an embedding needs."""
        return len(self.parts.vocabulary)

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        return self.added_tokens.special

    @property
    def vocabulary(self) -> dict[bytes, int]:
        """Ordinary tokens and their ids (a copy)."""
        return dict(self.parts.vocabulary.ids)

    def id_to_bytes(self, id: int) -> bytes:
        """The bytes of one token, a space at its beginning included."""
        return self.parts.vocabulary.spelt(*check_ids([id], self.vocab_size))

    def id_to_token(self, id: int) -> str:
        """One token as its file has it: "Ġthe" in the byte-level alphabet, "▁the", "<0x0A>", "<|endoftext|>"."""
        return self.parts.vocabulary.name(*check_ids([id], self.vocab_size))

    def token_to_id(self, token: str | bytes) -> int | None:
        """The id of a token, or None: bytes as they are (b" the"), a str as `id_to_token` writes it."""
        return self.parts.vocabulary.number(token)

    def byte_lengths(self) -> np.ndarray:
        """How many bytes each token stands for, (vocab_size,) int32, special tokens 0: for bits per byte."""
        return self.parts.vocabulary.byte_lengths()

    @property
    def bos_id(self) -> int | None:
        """The id of the token for the beginning of a text, or None."""
        return self.parts.ends.ids.get("bos")

    @property
    def eos_id(self) -> int | None:
        """The id of the token for the end of a text, or None."""
        return self.parts.ends.ids.get("eos")

    @property
    def pad_id(self) -> int | None:
        """The id of the padding token, or None."""
        return self.parts.ends.ids.get("pad")

    @functools.cached_property
    def chat_template(self) -> ChatTemplate | None:
        """The template that stands beside the tokenizer's file, or in it; it may be set to another.

        ValueError for one that cannot be read.
        """
        return None if self._home is None else ChatTemplate.beside(self._home)

    def __repr__(self) -> str:
        pattern, special = self.pre_tokenizer.pattern, list(self.special_tokens)
        return f"Tokenizer(vocab_size={self.vocab_size}, pattern={pattern!r}, special_tokens={special})"
