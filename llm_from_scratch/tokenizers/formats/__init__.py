"""Tokenizer files, one format a module: `tokenizer.json`, GPT-2's pair, SentencePiece's `tokenizer.model`, ranks, GGUF.

`load(path)` finds out which it is and returns what the constructor of `Tokenizer` takes, completed by what stands
beside it (`surroundings`). A new format is a module with a `load` of its own and a line here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import gguf, gpt2_pair, sentencepiece_model, tiktoken_ranks, tokenizer_json
from .surroundings import Surroundings, surround
from .tokenizer_json import save_directory

__all__ = ["load", "save_directory"]


def load(path: Path) -> dict[str, Any]:
    """The arguments of `Tokenizer` from a directory or a file.

    FileNotFoundError when there is nothing to read, ValueError when it is damaged or of an unsupported kind.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: expected a directory with tokenizer.json, or such a file")
    path = path if path.is_file() else _find(path)
    if path.suffix == ".gguf":
        return gguf.load(path)
    around = Surroundings(path.parent)
    if path.suffix == ".tiktoken":
        made = tiktoken_ranks.load(path, around)
    elif path.suffix == ".model" or path.name.startswith("tokenizer.model"):
        made = sentencepiece_model.load(path, around)
    elif path.name == "vocab.json":
        made = gpt2_pair.load(path.parent, around)
    elif path.suffix == ".json":
        made = tokenizer_json.load(path, around)
    else:
        raise ValueError(
            f"{path} is neither tokenizer.json, nor a .model, .tiktoken or .gguf file, nor the directory of one"
        )
    return surround(made, around)


def _find(directory: Path) -> Path:
    """The file of a directory that is read."""
    if (directory / "tokenizer.json").is_file():
        return directory / "tokenizer.json"
    if (directory / "vocab.json").is_file() and (directory / "merges.txt").is_file():
        return directory / "vocab.json"
    if (directory / "tokenizer.model").is_file():
        return directory / "tokenizer.model"
    rank_files = sorted(directory.glob("*.tiktoken"))
    if len(rank_files) > 1:
        names = [file.name for file in rank_files]
        raise ValueError(f"{directory} holds {len(rank_files)} rank files: name one of {names}")
    if rank_files:
        return rank_files[0]
    raise FileNotFoundError(
        f"{directory} holds neither tokenizer.json nor GPT-2's vocab.json and merges.txt, tokenizer.model or *.tiktoken"
    )
