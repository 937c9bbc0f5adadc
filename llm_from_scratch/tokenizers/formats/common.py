"""What the formats have in common: vocabularies and merges in the byte-level alphabet, a document's frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..byte_level import to_bytes, to_characters
from ..checks import flag
from ..ends import template_json
from ..parts import Parts

FLAGS = ("normalized", "single_word", "lstrip", "rstrip")


def document(parts: Parts, *, normalizer: Any, pre_tokenizer: Any, decoder: Any, model: Any) -> dict[str, Any]:
    """The content of a tokenizer.json."""
    added = sorted(parts.added.by_id.values(), key=lambda token: token.id)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token.id, "content": token.content, **{name: getattr(token, name) for name in FLAGS},
             "special": token.special} for token in added
        ],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": template_json(parts.ends.post_processor, parts.added),
        "decoder": decoder,
        "model": model,
    }  # fmt: skip


def bpe_json(vocabulary: dict[str, int], merges: list[Any], **settings: Any) -> dict[str, Any]:
    """The "model" of a tokenizer.json. settings: those that are not as usual."""
    usual = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    }
    return {**usual, **settings, "vocab": vocabulary, "merges": merges}


def check_flags(entry: Mapping[str, Any], where: str, special: bool) -> dict[str, bool]:
    """The flags of an added token that is written out. ValueError for one that is neither true nor false."""
    for name in (*FLAGS, "special"):
        flag(entry, name, False, f"{where}: ")
    normalized = entry.get("normalized", not (special or entry.get("special", False)))
    return {"normalized": normalized, **{name: entry.get(name, False) for name in FLAGS[1:]}}


def check_vocabulary(vocabulary: Any, path: Path) -> dict[str, int]:
    """ValueError unless it maps strings to distinct whole numbers from 0 on."""
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise ValueError(f"{path}: the vocabulary must be an object of tokens and ids, and not empty")
    owner: dict[int, str] = {}
    for token, number in vocabulary.items():
        # A lying id must not make us allocate: real vocabularies have few gaps.
        if type(number) is not int or not 0 <= number < 10 * len(vocabulary) + 100_000:
            raise ValueError(f"{path}: token {token!r} has the impossible id {number!r}")
        if number in owner:
            raise ValueError(f"{path}: tokens {owner[number]!r} and {token!r} have the same id {number}")
        owner[number] = token
    return vocabulary


def ordinary_tokens(vocabulary: Mapping[str, int]) -> dict[int, bytes]:
    """The bytes of each token by id. What is not written in the byte-level alphabet stands for itself, in UTF-8."""
    tokens = {}
    for token, number in vocabulary.items():
        spelt = to_bytes(token)
        tokens[number] = token.encode("utf-8") if spelt is None else spelt
    return tokens


def spell(token: bytes) -> str:
    """How a file would write a token if it could hold any text: as text, or in the byte-level alphabet."""
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return to_characters(token)


def read_merges(lines: Iterable[Any], vocabulary: Mapping[str, int], path: Path) -> np.ndarray:
    """Merges as (m, 3) ids from "left right" strings or [left, right] pairs.

    ValueError for a merge that is malformed, stands twice, or names or makes a token that is not in the vocabulary.
    """
    rows: dict[tuple[int, int], int] = {}
    for number, line in enumerate(lines):
        parts = line.split(" ") if isinstance(line, str) else line
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(p, str) and p for p in parts):
            raise ValueError(f"{path}: merge {number} is {line!r}, expected two tokens")
        left, right = parts
        for token in (left, right, left + right):
            if token not in vocabulary:
                raise ValueError(
                    f"{path}: merge {number}, {left!r} + {right!r}, needs {token!r}: not in the vocabulary"
                )
        pair = (vocabulary[left], vocabulary[right])
        if pair in rows:
            raise ValueError(f"{path}: merge {number}, {left!r} + {right!r}, stands twice")
        rows[pair] = vocabulary[left + right]
    return np.array([(*pair, result) for pair, result in rows.items()], np.int32).reshape(-1, 3)
