"""A tokenizer from the metadata of an open GGUF file; `Tokenizer.from_pretrained("….gguf")` opens the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .formats import assemble
from .formats.gguf import arguments
from .tokenizer import Tokenizer


def tokenizer_from_gguf_metadata(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that `tokenizer.ggml.*` describes.

    Raises ValueError for metadata that are missing, damaged, or of a kind that is neither byte-level BPE nor
    SentencePiece-BPE.

    >>> tokenizer_from_gguf_metadata({"tokenizer.ggml.model": "bert"})
    Traceback (most recent call last):
    ValueError: tokenizer.ggml.model 'bert' is neither byte-level BPE ('gpt2') nor SentencePiece ('llama')
    """
    return Tokenizer.of(assemble(arguments(metadata)))
