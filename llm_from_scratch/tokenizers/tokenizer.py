"""The byte-level BPE tokenizer: text to ids and back, exactly.

Every text that is valid Unicode can be encoded, because all 256 bytes are tokens, and decoding gives back the same
text. Training is in `training.py`, files in `formats/`, the loops in `kernels/bpe.py`. SentencePiece's kind of BPE,
which works on characters and normalises text, is not this class.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .added_tokens import AddedToken, AddedTokens
from .byte_level import to_bytes, to_characters
from .checks import check_ids, check_text, check_training
from .encoding import Encoder
from .formats import load, save_directory
from .formats.parts import template
from .pre_tokenizer import PreTokenizer
from .streams import LARGE, StreamDecoder, segments
from .training import Source, count_words, learn

ROLES = ("bos", "eos", "pad", "unk")
_USUAL = {
    "bos": ("<s>", "<|begin_of_text|>", "<|startoftext|>"),
    "eos": ("<|endoftext|>", "</s>", "<|end_of_text|>"),
    "pad": ("<pad>", "<|pad|>", "[PAD]"),
    "unk": ("<unk>",),
}


class Tokenizer:
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

    >>> tokenizer = Tokenizer.train("low lower lowest", vocab_size=262, special_tokens=["<|endoftext|>"])
    >>> ids = tokenizer.encode("lowest slow<|endoftext|>", allowed_special="all")
    >>> [tokenizer.id_to_bytes(id) for id in ids]
    [b'low', b'e', b'st', b' ', b's', b'low', b'<|endoftext|>']
    >>> tokenizer.decode(ids)
    'lowest slow<|endoftext|>'
    >>> len(tokenizer.encode("<|endoftext|>")), tokenizer.eos_id      # as plain text it is 13 characters
    (13, 0)
    """

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
    ):
        self.pre_tokenizer = pre_tokenizer if pre_tokenizer is not None else PreTokenizer("gpt2")
        self.added_tokens = AddedTokens(added_tokens)
        self.merges = np.ascontiguousarray(merges, np.int32).reshape(-1, 3)
        self.ignore_merges = ignore_merges
        self.normalizer = normalizer
        self.post_processor = post_processor
        contents = {token.id: token.content.encode("utf-8") for token in added_tokens}
        everything = {**tokens, **contents}
        if not everything or min(everything) < 0:
            raise ValueError("a tokenizer needs tokens with ids from 0 on")
        self._bytes: list[bytes | None] = [None] * (max(everything) + 1)
        for number, token in everything.items():
            self._bytes[number] = token
        self._ids = {token: number for number, token in tokens.items() if number not in contents and token}
        used = self.merges
        if used.size and not (0 <= used.min() and used.max() < len(self._bytes)):
            raise ValueError(f"merges name ids outside [0, {len(self._bytes)})")
        self._encode = Encoder(
            self._ids, self.merges, self.pre_tokenizer, ignore_merges=ignore_merges, normalizer=normalizer
        )
        self._before, self._after = template(post_processor, self.added_tokens)
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
        ties: str = "tokenizers",
        min_frequency: int = 1,
        roles: Mapping[str, str] | None = None,
        progress: bool = False,
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
        ties:            among equally frequent pairs, "tokenizers": the smaller pair of ids, as in the library of that
                         name, whose merges come out the same; "lexicographic": the greater pair of byte strings
        min_frequency:   pairs that occur less often are not merged
        roles:           such as {"eos": "<|endoftext|>"}; by default the usual names are recognised
        progress:        show a bar on the terminal

        Raises ValueError for an empty text, a vocab_size below 256 + special tokens, duplicate special tokens, an
        unknown pattern or rule, and files that are not UTF-8.
        """
        special = check_training(vocab_size, special_tokens, ties, min_frequency)
        words = PreTokenizer(pattern)
        if progress:
            from tqdm import tqdm

            with tqdm(unit=" characters", unit_scale=True, desc="counting words") as bar:
                counts = count_words(source, words, special, bar)
                bar.set_description(f"learning merges from {len(counts):,} distinct words")
                tokens, merges = learn(counts, vocab_size, special, ties, min_frequency)
        else:
            counts = count_words(source, words, special)
            tokens, merges = learn(counts, vocab_size, special, ties, min_frequency)
        if not counts:
            raise ValueError("the training text is empty: give a source with some text in it")
        if roles is None:
            roles = {role: next((n for n in names if n in special), "") for role, names in _USUAL.items()}
        for role, token in roles.items():
            if role not in ROLES or (token and token not in special):
                raise ValueError(f"roles maps {list(ROLES)} to special tokens, got {role!r}: {token!r}")
        return cls(
            {number: token for number, token in enumerate(tokens) if number >= len(special)},
            merges,
            [AddedToken(content, number) for number, content in enumerate(special)],
            words,
            roles=roles,
        )

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Tokenizer:
        """Read a directory with `tokenizer.json` (or GPT-2's `vocab.json` and `merges.txt`), or such a file itself.

        ValueError names what in the file is damaged or not supported; FileNotFoundError what is missing.
        """
        return cls(**load(Path(path)))

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write `tokenizer.json`, which the library `tokenizers` opens, and `tokenizer_config.json`."""
        save_directory(self, Path(directory))

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
        if len(found) == 1:
            return self._encode_segment(*found[0])
        return np.concatenate([self._encode_segment(*segment) for segment in found] or [np.empty(0, np.int32)])

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
        for segment in segments(chunks, self.pre_tokenizer, self.added_tokens, contents, at_spaces_only=at_spaces_only):
            yield self._encode_segment(*segment)

    def encode_iter(self, chunks: Iterable[str], *, allowed_special: Collection[str] | str = ()) -> Iterator[int]:
        """`encode_chunks`, one id at a time."""
        for ids in self.encode_chunks(chunks, allowed_special=allowed_special):
            yield from ids.tolist()

    def _encode_segment(self, text: str, number: int) -> np.ndarray:
        return self._encode(text) if number < 0 else np.array([number], np.int32)

    # --- Ids to text ------------------------------------------------------------------------------------------

    def decode_bytes(self, ids: Iterable[int] | np.ndarray, *, skip_special_tokens: bool = False) -> bytes:
        """The bytes of the tokens. ids: a sequence or a 1-D array of integers; anything else is an error."""
        numbers = check_ids(ids, len(self._bytes))
        if skip_special_tokens:
            special = set(self.added_tokens.special.values())
            numbers = [number for number in numbers if number not in special]
        try:
            return b"".join([self._bytes[number] for number in numbers])  # type: ignore[misc]
        except TypeError:
            hole = next(number for number in numbers if self._bytes[number] is None)
            raise ValueError(f"id {hole} is a gap: this vocabulary has no token with that id") from None

    def decode(
        self, ids: Iterable[int] | np.ndarray, errors: str = "replace", *, skip_special_tokens: bool = False
    ) -> str:
        r"""The text of the tokens. Bytes that are not UTF-8 become "\ufffd", or as `errors` says (see bytes.decode).

        >>> tokenizer = Tokenizer.train("a", vocab_size=256)
        >>> tokenizer.decode(tokenizer.encode("né")[:2])
        'n\ufffd'
        """
        return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode("utf-8", errors)

    def stream_decoder(self, errors: str = "replace", *, skip_special_tokens: bool = False) -> StreamDecoder:
        """A decoder for ids that arrive one by one: its `push(id)` returns text, never half a character."""
        return StreamDecoder(self, errors, skip_special_tokens)

    # --- Looking things up ------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """One more than the greatest id: the rows that an embedding needs."""
        return len(self._bytes)

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def special_tokens(self) -> dict[str, int]:
        """Special tokens and their ids."""
        return self.added_tokens.special

    def id_to_bytes(self, id: int) -> bytes:
        """The bytes of one token."""
        return self.decode_bytes([id])

    def id_to_token(self, id: int) -> str:
        """One token as it stands in `tokenizer.json`: in the byte-level alphabet, or an added token as it is."""
        token = self.id_to_bytes(id)
        added = self.added_tokens.by_id.get(int(id))
        return added.content if added is not None else to_characters(token)

    def token_to_id(self, token: str | bytes) -> int | None:
        """The id of a token, or None: bytes as they are, a str as `id_to_token` writes it ("Ġthe", "<|endoftext|>")."""
        if isinstance(token, bytes):
            return self._ids.get(token)
        if token in self.added_tokens.by_content:
            return self.added_tokens.by_content[token].id
        spelt = to_bytes(token)
        return None if spelt is None else self._ids.get(spelt)

    @property
    def vocabulary(self) -> dict[bytes, int]:
        """Ordinary tokens and their ids (a copy)."""
        return dict(self._ids)

    def byte_lengths(self) -> np.ndarray:
        """How many bytes each token stands for, (vocab_size,) int32, special tokens 0: for bits per byte."""
        special = set(self.added_tokens.special.values())
        lengths = [0 if n in special else len(token or b"") for n, token in enumerate(self._bytes)]
        return np.array(lengths, np.int32)

    def bytes_per_token(self, text: str) -> float:
        """How many bytes of this text a token covers on average: the larger, the shorter the sequences."""
        count = self.encode_array(text).size
        if not count:
            raise ValueError("bytes_per_token needs a text that is not empty")
        return len(text.encode("utf-8")) / count

    @property
    def bos_id(self) -> int | None:
        """The id of the token for the beginning of a text, or None."""
        return self._role("bos")

    @property
    def eos_id(self) -> int | None:
        """The id of the token for the end of a text, or None."""
        return self._role("eos")

    @property
    def pad_id(self) -> int | None:
        """The id of the padding token, or None."""
        return self._role("pad")

    def _role(self, role: str) -> int | None:
        token = self.roles.get(role)
        return None if token is None else self.added_tokens.by_content[token].id

    def __repr__(self) -> str:
        return (
            f"Tokenizer(vocab_size={self.vocab_size}, pattern={self.pre_tokenizer.pattern!r}, "
            f"special_tokens={list(self.special_tokens)})"
        )
