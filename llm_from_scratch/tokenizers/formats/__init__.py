"""Tokenizer files, one format a module: `tokenizer.json`, GPT-2's pair, SentencePiece's `tokenizer.model`, ranks, GGUF.

`load(path)` finds out which it is and returns the parts of the tokenizer; what stands beside the file completes them
(`surroundings`). A new format is a module with a `load` of its own, which returns the arguments of one of `PARTS`, and
a line here. `save` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...files.atomic import write_json
from .. import byte_bpe, pipeline, sentencepiece
from ..borders import Borders
from ..parts import Parts
from ..pieces import PieceEncoder
from ..pre_tokenizer import PreTokenizer
from ..steps import Steps
from . import gguf, gpt2_pair, sentencepiece_json, sentencepiece_model, tiktoken_ranks, tokenizer_json
from .surroundings import Surroundings, surround

PARTS: dict[str, Callable[..., Parts]] = {
    "byte-level": byte_bpe.parts,
    "sentencepiece": sentencepiece.parts,
    "pipeline": pipeline.parts,
}
"""What makes the parts of each kind of tokenizer."""

# What writes each, and the splitter, encoder and decoder that it has words for.
_WRITERS: dict[str, tuple[Callable[[Parts], dict[str, Any]], tuple[type, type, type]]] = {
    "byte-level": (tokenizer_json.to_json, (PreTokenizer, byte_bpe.ByteEncoder, byte_bpe.ByteDecoder)),
    "sentencepiece": (sentencepiece_json.to_json, (Borders, PieceEncoder, sentencepiece.PieceDecoder)),
    "pipeline": (tokenizer_json.pipeline_json, (Steps, pipeline.WordEncoder, pipeline.NameDecoder)),
}


def load(path: Path) -> Parts:
    """The parts of a tokenizer from a directory or a file.

    FileNotFoundError when there is nothing to read, ValueError when it is damaged or of an unsupported kind.
    """
    try:
        return assemble(_read(path))
    except ValueError as error:
        raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from None


def assemble(arguments: Mapping[str, Any]) -> Parts:
    """The parts that a reader describes: "kind" says whose, byte-level BPE's by default, the rest are arguments."""
    rest = {name: value for name, value in arguments.items() if name != "kind"}
    return PARTS[arguments.get("kind", "byte-level")](**rest)


def save(parts: Parts, directory: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`, each whole or not at all.

    What began as `tokenizer.model` is written as such, too. TypeError for parts that no file can describe.
    """
    write, kinds = _WRITERS[parts.kind]
    for part, kind in zip((parts.splitter, parts.encoder, parts.decoder), kinds):
        if not isinstance(part, kind):
            raise TypeError(f"no file can say what a {type(part).__name__} does: to save, use a {kind.__name__}")
    content = write(parts)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "tokenizer.json", content)
    if isinstance(parts.encoder, PieceEncoder) and parts.encoder.from_scores:
        sentencepiece_model.save(parts, directory / "tokenizer.model")
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": token for role, token in parts.ends.roles.items()},
    }
    write_json(directory / "tokenizer_config.json", settings)


def _read(path: Path) -> dict[str, Any]:
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
