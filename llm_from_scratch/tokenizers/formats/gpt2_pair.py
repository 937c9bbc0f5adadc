"""GPT-2's own files: `vocab.json` (token -> id) and `merges.txt` (a pair a line, oldest first)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...files.strict_json import read_json_object
from ..pre_tokenizer import PreTokenizer
from ..streams import read_text
from .common import check_vocabulary, ordinary_tokens, read_merges
from .surroundings import Surroundings

END_OF_TEXT = "<|endoftext|>"
_OTHERS = ("CLIPTokenizer", "WhisperTokenizer", "BlenderbotTokenizer", "DebertaTokenizer", "CTRLTokenizer",
           "OpenAIGPTTokenizer", "BertweetTokenizer", "PhobertTokenizer", "FlaubertTokenizer", "XLMTokenizer",
           "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer")  # fmt: skip


def load(directory: Path, around: Surroundings) -> dict[str, Any]:
    """The arguments of `byte_bpe.parts`. The pattern is GPT-2's unless `tokenizer_class` says Qwen2.

    `<|endoftext|>` (if there) is a special token with the roles that GPT-2 gives it.
    """
    path = directory / "merges.txt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: vocab.json needs it")
    vocabulary = check_vocabulary(read_json_object(directory / "vocab.json"), directory / "vocab.json")
    lines = [line.rstrip("\r") for line in "".join(read_text(path)).split("\n")]
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    merges = read_merges([line for line in lines if line], vocabulary, path)
    return {
        "tokens": ordinary_tokens(vocabulary),
        "vocabulary": vocabulary,
        "merges": merges,
        "roles": dict.fromkeys(("bos", "eos", "unk"), END_OF_TEXT),
        "begin_end": (False, False),
        **_style(around),
    }


def _style(around: Surroundings) -> dict[str, Any]:
    """How text is cut: the files do not say, the class of the tokenizer does."""
    name = around.tokenizer_class
    if name in _OTHERS:
        raise ValueError(
            f"{around.settings_path}: tokenizer_class {name!r} is not supported: not GPT-2's way of cutting"
        )
    if name == "Qwen2Tokenizer":
        return {"pre_tokenizer": PreTokenizer("qwen2"), "normalizer": "NFC"}
    if around.flag("add_prefix_space"):
        return {"pre_tokenizer": PreTokenizer.from_json({"type": "ByteLevel", "add_prefix_space": True})}
    return {"pre_tokenizer": PreTokenizer("gpt2")}
