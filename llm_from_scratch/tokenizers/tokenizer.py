"""The byte-level BPE tokenizer: text to ids and back, exactly.

Every text that is valid Unicode can be encoded, because all 256 bytes are tokens, and decoding gives back the same
text. Training is in `training.py`, files in `formats/`, the loops in `kernels/bpe.py`. SentencePiece's kind of BPE,
which works on characters, is a subclass in `sentencepiece.py`; `Tokenizer.from_pretrained` returns what a file holds.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .added_tokens import AddedToken, AddedTokens, Segment
from .checks import check_text, check_training
from .encoding import Encoder
from .formats import load, save_directory
from .formats.parts import template
from .normalizers import Normalizer
from .pre_tokenizer import PreTokenizer
from .streams import LARGE, StreamDecoder, segments
from .training import Source, count_words, learn, progress_bar
from .vocabulary import Vocabulary

ROLES = ("bos", "eos", "pad", "unk")
_USUAL = {
    "bos": ("<s>", "<|begin_of_text|>", "<|startoftext|>"),
    "eos": ("<|endoftext|>", "</s>", "<|end_of_text|>"),
    "pad": ("<pad>", "<|pad|>", "[PAD]"),
    "unk": ("<unk>",),
}


class Tokenizer(Vocabulary):
    r"""Byte-level byte-pair encoding.

    Made by `Tokenizer.train` or `Tokenizer.from_pretrained`; the constructor takes the parts:

    tokens:         the bytes of each ordinary token by id
    merges:         (m, 3) ids (left, right, result), oldest first, each pair once
    added_tokens:   special tokens and other strings with an id of their own
    pre_tokenizer:  which cuts text into words
    ignore_merges:  a word that is a token itself is that token, whatever the merges say (LLaMA 3)
    normalizer:     None or "NFC", applied to plain text
    post_processor: the object of that name in `tokenizer.json`; says what add_special_tokens adds
    roles:          special tokens by role, out of bos, eos, pad, unk
    ranks:          (m,) for files that rank tokens instead of pairs (tiktoken): which merge goes first, ties allowed

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
    _own_special: ClassVar[tuple[str, ...]] = ()
    _kinds: ClassVar[dict[str, type[Tokenizer]]] = {}

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        Tokenizer._kinds[cls.kind] = cls

    def __init__(
        self,
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
    ):
        self.pre_tokenizer = pre_tokenizer if pre_tokenizer is not None else PreTokenizer("gpt2")
        self.merges = np.ascontiguousarray(merges, np.int32).reshape(-1, 3)
        self.ignore_merges = ignore_merges
        self.normalizer = normalizer
        # What is one byte is needed by ordinary text, so that nothing can keep it for itself (a padding token "!").
        added_tokens = [
            dataclasses.replace(token, special=False) if len(tokens.get(token.id, b"")) == 1 else token
            for token in added_tokens
        ]
        if normalizer not in (None, "NFC"):
            raise ValueError(f"normalizer must be None or 'NFC', got {normalizer!r}")
        added = AddedTokens(added_tokens, Normalizer({"type": normalizer}) if normalizer else None)
        contents = {t.id: t.content.encode("utf-8") for t in added_tokens if len(tokens.get(t.id, b"")) != 1}
        self._finish({**tokens, **contents}, 0, added)
        special = set(added.special.values())
        self.tokens = dict(tokens)
        self._ids = {token: number for number, token in tokens.items() if number not in special and token}
        used = self.merges
        if used.size and not (0 <= used.min() and used.max() < len(self._bytes)):
            raise ValueError(f"merges name ids outside [0, {len(self._bytes)})")
        # Nor may merges make a special token of plain text.
        plain = ~np.isin(used[:, 2], list(special))
        self._encode = Encoder(
            self._ids, used[plain], self.pre_tokenizer, ignore_merges=ignore_merges,
            ranks=None if ranks is None else np.ascontiguousarray(ranks)[plain],
        )  # fmt: skip
        self._surround(post_processor, roles)

    def _surround(self, post_processor: Mapping[str, Any] | None, roles: Mapping[str, str] | None) -> None:
        """What goes around a text, and which special token has which role."""
        self.post_processor = post_processor
        self._before, self._after = template(post_processor, self.added_tokens)
        known = {number for number, token in enumerate(self._bytes) if token is not None}
        unknown = next((number for number in self._before + self._after if number not in known), None)
        if unknown is not None:
            raise ValueError(f"post_processor adds the id {unknown}, for which this vocabulary has no token")
        self.roles = {role: token for role, token in (roles or {}).items() if token in self.added_tokens.by_content}

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

        source:          a text, the path of a UTF-8 file (pathlib.Path: a str is always text), or an iterable of
                         texts and paths, which may be an iterator larger than memory. Each is a document: words do
                         not reach from one into the next.
        vocab_size:      tokens in all: special tokens, the 256 bytes, and what is learnt. The result is smaller when
                         the text holds no more pairs.
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
        if kind not in Tokenizer._kinds:
            raise ValueError(f"kind must be one of {list(Tokenizer._kinds)}, got {kind!r}")
        if kind != Tokenizer.kind and (pattern, ties) != ("gpt2", "tokenizers"):
            raise ValueError(f"pattern and ties are settings of byte-level BPE and have no meaning for kind={kind!r}")
        maker = Tokenizer._kinds[kind]
        special, added = check_training(vocab_size, special_tokens, added_tokens, ties, min_frequency)
        special = [*maker._own_special, *(token for token in special if token not in maker._own_special)]
        if roles is None:
            roles = {role: next((n for n in names if n in special), "") for role, names in _USUAL.items()}
        for role, token in roles.items():
            if role not in ROLES or (token and token not in special):
                raise ValueError(f"roles maps {list(ROLES)} to special tokens, got {role!r}: {token!r}")
        settings: dict[str, Any] = {"min_frequency": min_frequency}
        if kind == Tokenizer.kind:
            settings |= {"pattern": pattern, "ties": ties}
        else:
            settings |= {"character_coverage": character_coverage, "split_digits": split_digits}
        with progress_bar(progress) as bar:
            return maker._train(source, vocab_size, special, added, roles, bar=bar, **settings)

    @classmethod
    def _train(
        cls, source: Source, vocab_size: int, special: list[str], added: list[str], roles: Mapping[str, str], *,
        bar: Any, pattern: str, ties: str, min_frequency: int,
    ) -> Tokenizer:  # fmt: skip
        words = PreTokenizer(pattern)
        reserved = [*special, *added]
        counts = count_words(source, words, reserved, bar)
        if bar is not None:
            bar.set_description(f"learning merges from {len(counts):,} distinct words")
        tokens, merges = learn(counts, vocab_size, reserved, ties, min_frequency)
        if not counts:
            raise ValueError("the training text is empty: give a source with some text in it")
        beside = [AddedToken(content, number, number < len(special)) for number, content in enumerate(reserved)]
        tokens_by_id = {number: token for number, token in enumerate(tokens) if number >= len(reserved)}
        return cls(tokens_by_id, merges, beside, words, roles=roles)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a directory or a file: `tokenizer.json`, GPT-2's `vocab.json` and `merges.txt`, SentencePiece's
        `tokenizer.model`, ranks such as `qwen.tiktoken`, or a .gguf file.

        ValueError names what in the file is damaged or not supported; FileNotFoundError what is missing.
        """
        try:
            return cls.from_arguments(load(Path(path)))
        except ValueError as error:
            raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that a reader in `formats` describes: "kind" names the class, the rest are its arguments."""
        rest = {name: value for name, value in arguments.items() if name != "kind"}
        return Tokenizer._kinds[arguments.get("kind", cls.kind)](**rest)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, which the library `tokenizers` opens, and `tokenizer_config.json`.

        What began as `tokenizer.model` is written as such, too.
        """
        save_directory(self, Path(directory))

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
        return [*self._before, *ids, *self._after] if add_special_tokens else ids

    def encode_batch(self, texts: Iterable[str], **settings: Any) -> list[list[int]]:
        """`encode` for each text."""
        if isinstance(texts, str):
            raise TypeError("encode_batch takes several texts: for one text call encode")
        return [self.encode(text, **settings) for text in texts]

    def encode_array(self, text: str, *, allowed_special: Collection[str] | str = ()) -> np.ndarray:
        """`encode` into an array, (n,) int32: for large texts."""
        check_text(text)
        if len(text) > LARGE:
            parts = list(self.encode_chunks([text], allowed_special=allowed_special))
            return np.concatenate(parts) if parts else np.empty(0, np.int32)
        found = self.added_tokens.segments(text, self.added_tokens.choose(allowed_special))
        parts = list(self._encode_segments(found))
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
        if isinstance(chunks, str):
            chunks = [chunks]
        at_spaces_only = self.normalizer is not None  # a mark could join the letter before it
        yield from self._encode_segments(
            segments(chunks, self.pre_tokenizer, self.added_tokens, contents, at_spaces_only=at_spaces_only)
        )

    def encode_iter(self, chunks: Iterable[str], *, allowed_special: Collection[str] | str = ()) -> Iterator[int]:
        """`encode_chunks`, one id at a time."""
        for ids in self.encode_chunks(chunks, allowed_special=allowed_special):
            yield from ids.tolist()

    def _encode_segments(self, found: Iterable[Segment]) -> Iterator[np.ndarray]:
        for text, number in found:
            yield self._encode(text) if number < 0 else np.array([number], np.int32)

    def stream_decoder(
        self, errors: str = "replace", *, skip_special_tokens: bool = False, after: Iterable[int] | np.ndarray = ()
    ) -> StreamDecoder:
        """A decoder for ids that arrive one by one: its `push(id)` returns text, never half a character.

        after: ids that came before, whose text is known: a SentencePiece tokenizer drops a space at the beginning of
        a text only.
        """
        return StreamDecoder(self, errors, skip_special_tokens, after)

    def bytes_per_token(self, text: str) -> float:
        """How many bytes of this text a token covers on average: the larger, the shorter the sequences."""
        count = self.encode_array(text).size
        if not count:
            raise ValueError("bytes_per_token needs a text that is not empty")
        return len(text.encode("utf-8")) / count

    def __repr__(self) -> str:
        return (
            f"Tokenizer(vocab_size={self.vocab_size}, pattern={self.pre_tokenizer.pattern!r}, "
            f"special_tokens={list(self.special_tokens)})"
        )


Tokenizer._kinds[Tokenizer.kind] = Tokenizer
