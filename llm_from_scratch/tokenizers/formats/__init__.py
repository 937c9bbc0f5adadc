"""Tokenizer files, one format a module: `tokenizer.json`, GPT-2's pair, SentencePiece's `tokenizer.model`, ranks, GGUF.

`load(path)` finds out which it is and returns what the constructor of `Tokenizer` takes. A new format is a module
with a `load` of its own and a line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import gguf, gpt2_pair, sentencepiece_model, tiktoken_ranks, tokenizer_json
from .tokenizer_json import save_directory

__all__ = ["load", "save_directory"]


def load(path: Path) -> dict[str, Any]:
    """The arguments of `Tokenizer` from a directory or a file.

    FileNotFoundError when there is nothing to read, ValueError when it is damaged or of an unsupported kind.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: expected a directory with tokenizer.json, or such a file")
    if path.is_file():
        if path.suffix == ".gguf":
            return gguf.load(path)
        if path.suffix == ".tiktoken":
            return tiktoken_ranks.load(path)
        if path.suffix == ".model" or path.name.startswith("tokenizer.model"):
            return sentencepiece_model.load(path)
        if path.suffix != ".json":
            raise ValueError(
                f"{path} is neither tokenizer.json, nor a .model, .tiktoken or .gguf file, nor the directory of one"
            )
        return gpt2_pair.load(path.parent) if path.name == "vocab.json" else tokenizer_json.load(path)
    if (path / "tokenizer.json").is_file():
        return tokenizer_json.load(path / "tokenizer.json")
    if (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        return gpt2_pair.load(path)
    if (path / "tokenizer.model").is_file():
        return sentencepiece_model.load(path / "tokenizer.model")
    rank_files = sorted(path.glob("*.tiktoken"))
    if len(rank_files) > 1:
        raise ValueError(f"{path} holds {len(rank_files)} rank files: name one of {[file.name for file in rank_files]}")
    if rank_files:
        return tiktoken_ranks.load(rank_files[0])
    raise FileNotFoundError(
        f"{path} holds neither tokenizer.json nor GPT-2's vocab.json and merges.txt, tokenizer.model or *.tiktoken"
    )
