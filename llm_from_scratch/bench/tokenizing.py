"""Tokenizers as contenders: BPE trained on a text, and a text encoded, each on as many threads as it is given.

The peers are the tokenizers library and, for encoding, tiktoken with the merges that the former learned.
"""

from __future__ import annotations

import json
from typing import Any

from ..tokenizers import Tokenizer
from ..tokenizers.byte_level import to_bytes
from .case import Work


def training(text: str, vocab: int) -> Work:
    """Training on a string."""
    return lambda: Tokenizer.train(text, vocab_size=vocab)


def encoding(text: str, vocab: int) -> Work:
    """Encoding a string."""
    tokenizer = Tokenizer.train(text, vocab_size=vocab)
    return lambda: tokenizer.encode_array(text)


def their_training(text: str, vocab: int) -> Work:
    """The tokenizers library, byte level, fed in lines."""
    import tokenizers  # noqa: F401  # absent now, not at the first run

    return lambda: _trained(text, vocab)


def _trained(text: str, vocab: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def tokenizers_encoding(text: str, vocab: int) -> Work:
    """The tokenizers library, in lines, as it is usually fed."""
    tokenizer = _trained(text, vocab)
    lines = text.splitlines(keepends=True)
    return lambda: tokenizer.encode_batch(lines)


def tiktoken_encoding(text: str, vocab: int) -> Work:
    """tiktoken with the merges that the tokenizers library learned."""
    import tiktoken

    trained = json.loads(_trained(text, vocab).to_str())["model"]
    ranks = {to_bytes(token): rank for token, rank in trained["vocab"].items()}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    encoding = tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda: encoding.encode_ordinary(text)
