"""Tokenizers: text to ids and back.

A `Tokenizer` is composed of what `parts` lists; `Tokenizer.train` and `.from_pretrained` make one of any kind.
`naive` is the algorithm as one would first write it, to read before the rest.
"""

from .added_tokens import AddedToken, AddedTokens
from .kinds import PipelineTokenizer, SentencePieceTokenizer
from .pre_tokenizer import ALIASES, NAMES, PreTokenizer
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
