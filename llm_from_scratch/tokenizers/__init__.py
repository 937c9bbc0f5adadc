"""Tokenizers: text to ids and back.

`Tokenizer` is byte-level BPE, `SentencePieceTokenizer` the other kind; `Tokenizer.train` and `.from_pretrained`
make either. `naive` is the algorithm as one would first write it, to read before the rest.
"""

from .added_tokens import AddedToken, AddedTokens
from .pipeline import PipelineTokenizer
from .pre_tokenizer import ALIASES, NAMES, PreTokenizer
from .sentencepiece import SentencePieceTokenizer
from .streams import StreamDecoder
from .tokenizer import Tokenizer

__all__ = [
    "ALIASES",
    "NAMES",
    "AddedToken",
    "AddedTokens",
    "PipelineTokenizer",
    "PreTokenizer",
    "SentencePieceTokenizer",
    "StreamDecoder",
    "Tokenizer",
]
