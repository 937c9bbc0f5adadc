"""GPT-2's own files: `vocab.json` (token -> id) and `merges.txt` (a pair a line, oldest first)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..added_tokens import AddedToken
from ..pre_tokenizer import PreTokenizer
from .parts import check_vocabulary, ordinary_tokens, read_json, read_merges

END_OF_TEXT = "<|endoftext|>"


def load(directory: Path) -> dict[str, Any]:
    """The arguments of `Tokenizer`. The pattern is GPT-2's, `<|endoftext|>` (if there) its only special token."""
    path = directory / "merges.txt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: vocab.json needs it")
    vocabulary = check_vocabulary(read_json(directory / "vocab.json"), directory / "vocab.json")
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}"
        ) from None
    lines = [line.rstrip("\r") for line in lines]
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    merges = read_merges([line for line in lines if line], vocabulary, path)
    added = [AddedToken(END_OF_TEXT, vocabulary[END_OF_TEXT])] if END_OF_TEXT in vocabulary else []
    tokens = ordinary_tokens({token: n for token, n in vocabulary.items() if token != END_OF_TEXT})
    return {
        "tokens": tokens,
        "merges": merges,
        "added_tokens": added,
        "pre_tokenizer": PreTokenizer("gpt2"),
        "roles": {"bos": END_OF_TEXT, "eos": END_OF_TEXT} if added else {},
    }
