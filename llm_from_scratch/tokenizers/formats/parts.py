"""What the formats have in common: reading JSON, vocabularies and merges in the byte-level alphabet, templates."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..added_tokens import AddedToken, AddedTokens
from ..byte_level import to_bytes


def added_token_json(token: AddedToken, *, normalized: bool) -> dict[str, Any]:
    """One entry of "added_tokens" in a tokenizer.json."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": normalized}
    return {"id": token.id, "content": token.content, **flags, "special": token.special}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a UTF-8 file. ValueError names the file and the place of the damage."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_no_duplicates)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r} stands twice in one object")
            seen.add(key)
    return made


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


def template(post_processor: Any, added: AddedTokens) -> tuple[list[int], list[int]]:
    """The ids that a post-processor puts before and after a text. ValueError names what is not supported."""
    if post_processor is None:
        return [], []
    kind = post_processor.get("type") if isinstance(post_processor, Mapping) else post_processor
    if kind == "ByteLevel":  # concerns offsets only
        return [], []
    if kind == "Sequence":
        before: list[int] = []
        after: list[int] = []
        for step in post_processor.get("processors", []):
            first, last = template(step, added)
            before, after = first + before, after + last
        return before, after
    if kind != "TemplateProcessing":
        raise ValueError(
            f"post_processor {kind!r} is not supported: expected ByteLevel, TemplateProcessing or Sequence"
        )
    sides: tuple[list[int], list[int]] = ([], [])
    side = 0
    for item in post_processor.get("single", []):
        if "Sequence" in item:
            side = 1
            continue
        name = item.get("SpecialToken", {}).get("id")
        if name not in added.by_content:
            raise ValueError(f"post_processor names {name!r}, which is not an added token")
        sides[side].append(added.by_content[name].id)
    return sides
