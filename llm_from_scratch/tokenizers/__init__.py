"""Tokenizers: text to ids and back.

`Tokenizer` is byte-level BPE. `naive` is the algorithm as one would first write it, to read before the rest.
"""

from .added_tokens import AddedToken, AddedTokens
from .pre_tokenizer import ALIASES, NAMES, PreTokenizer
from .streams import StreamDecoder
from .tokenizer import Tokenizer

__all__ = ["ALIASES", "NAMES", "AddedToken", "AddedTokens", "PreTokenizer", "StreamDecoder", "Tokenizer"]
