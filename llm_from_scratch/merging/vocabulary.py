"""The tokenizers of models that are merged: equal vocabularies, or the rows of their embeddings mean different
tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..tokenizers import Tokenizer

_VOCABULARY = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json")
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json")


def tokenizer_files(directory: Path) -> list[Path]:
    """The files of a directory that make its tokenizer."""
    return [directory / name for name in (*_VOCABULARY, *_BESIDE) if (directory / name).is_file()]


def check_vocabularies(directories: Sequence[Path]) -> list[str]:
    """ValueError naming the first token in which two directories' tokenizers differ; notes of what was not compared.

    Files that are equal byte for byte are not opened. A directory without a tokenizer is compared with none.
    """
    having = [path for path in directories if any((path / name).is_file() for name in _VOCABULARY)]
    notes = [f"{path} has no tokenizer: its vocabulary was not compared" for path in directories if path not in having]
    if not having:
        return notes
    first, texts = having[0], [_content(path) for path in having]
    for path, text in zip(having[1:], texts[1:]):
        if text == texts[0]:
            continue
        mine, other = _tokens(first), _tokens(path)
        for id in range(max(len(mine), len(other))):
            tokens = [found[id] if id < len(found) else None for found in (mine, other)]
            if tokens[0] != tokens[1]:
                raise ValueError(
                    f"the vocabularies of {first} and {path} differ: token {id} is {tokens[0]!r} and {tokens[1]!r}; "
                    "models of one vocabulary are merged"
                )
    return notes


def _content(directory: Path) -> list[bytes | None]:
    paths = [directory / name for name in _VOCABULARY]
    return [path.read_bytes() if path.is_file() else None for path in paths]


def _tokens(directory: Path) -> list[str]:
    tokenizer = Tokenizer.from_pretrained(directory)
    return [tokenizer.id_to_token(id) for id in range(tokenizer.vocab_size)]
